"""The figures made from what the trainer logged: loss, gradient norm, and how much was turned down over time."""

from __future__ import annotations

import numpy as np

from turnwise.report.charts import Series, line_chart
from turnwise.report.frame import Size
from turnwise.report.metrics import Metrics, moving_average
from turnwise.report.page import Figure, RunFiles, Section
from turnwise.report.text import number, plural

_SMOOTH_FROM = 60  # log events from which a moving average is drawn over the raw curve
_X_LABEL = "optimizer step"


def loss_section(files: RunFiles) -> Section:
    """Training loss, evaluation loss and what else the trainer logged of each step."""
    section = Section("loss", "Loss while training")
    metrics = files.metrics
    if not metrics.events:
        section.missing = files.why("metrics.jsonl") if not metrics.skipped else "metrics.jsonl holds no log event."
        return section
    series, note = loss_series(metrics)
    first, last = _ends(metrics, "loss")
    sentence = f"Training loss: {number(first)} at the first log event, {number(last)} at the last (nats per token)."
    held_first, held_last = _ends(metrics, "eval_loss")
    if held_last is not None:
        sentence += f" Evaluation loss, never weighted: {number(held_first)} at first, {number(held_last)} at last."
    chart = line_chart(
        series,
        key="loss",
        title="Loss",
        description=sentence,
        x_label=_X_LABEL,
        y_label="loss (nats per token)",
    )
    section.figures.append(Figure(chart, f"{sentence} {note}".strip()))
    wanted = [
        ("grad_norm", "gradient norm", "Before clipping, as the trainer logged it."),
        ("learning_rate", "learning rate", "As the trainer logged it."),
        ("entropy", "entropy (nats)", "Mean entropy of the predicted tokens."),
        ("mean_token_accuracy", "token accuracy", "Share of supervised tokens that were predicted first."),
    ]
    logged = [one for one in wanted if np.isfinite(metrics.get(one[0])[1]).any()]
    size: Size = "third" if len(logged) == 3 else "half"
    section.figures += [_small(metrics, *one, size=size) for one in logged]
    if metrics.skipped:
        section.text.append(
            f"{plural(metrics.skipped, 'line')} of metrics.jsonl could not be read (a killed run may leave a torn last "
            "line) and are not shown."
        )
    return section


def loss_series(
    metrics: Metrics, name: str = "", style: str = "s0", held_style: str = "s1"
) -> tuple[list[Series], str]:
    """The curves of training and evaluation loss, and a note on smoothing (empty where none was done)."""
    series, note = smoothed(metrics, "loss", f"{name} training".strip(), style)
    held_x, held_y = metrics.get("eval_loss")
    if held_y.size:
        series.append(Series(f"{name} evaluation".strip(), held_x, held_y, held_style, "dotted"))
    return series, note


def smoothed(metrics: Metrics, name: str, label: str, style: str) -> tuple[list[Series], str]:
    """One logged curve; where it is long, its moving average over the faint raw curve, and a note that says so."""
    x, y = metrics.get(name)
    if not np.isfinite(y).any():
        return [], ""
    if y.size < _SMOOTH_FROM:
        return [Series(label, x, y, style)], ""
    width = max(5, y.size // 30)
    curves = [Series("", x, y, style, "faint"), Series(label, x, moving_average(y, width), style)]
    return curves, f"The strong line averages {width | 1} log events; the faint line is what was logged."


def rates_over_time(metrics: Metrics) -> list[Figure]:
    """Flag rate, mean weight and effective sample share as they were logged; what was not logged is left out."""
    flags, flags_note = smoothed(metrics, "resure/flag_rate", "flag rate", "s1")
    weights, weights_note = smoothed(metrics, "resure/mean_weight", "mean weight", "s0")
    weights += smoothed(metrics, "resure/effective_share", "effective sample share", "s2")[0]
    ramp_x, ramp_y = metrics.get("resure/ramp")
    if weights and np.isfinite(ramp_y).any():
        weights.append(Series("ramp", ramp_x, ramp_y, "s5", "dashed"))
    figures = []
    for series, title, caption, note in (
        (flags, "Flag rate", "Share of each logged batch that was flagged.", flags_note),
        (weights, "Supervision left", "What is left after weighting. The ramp switches weighting on.", weights_note),
    ):
        if series:
            chart = line_chart(
                series,
                key=title,
                title=title,
                description=caption,
                x_label=_X_LABEL,
                y_label="share",
                size="half",
                from_zero=True,
                as_percent=True,
            )
            figures.append(Figure(chart, f"{caption} {note}".strip(), "half"))
    return figures


def _small(metrics: Metrics, name: str, label: str, caption: str, *, size: Size) -> Figure:
    series, _ = smoothed(metrics, name, label, "s4")
    title = label[0].upper() + label[1:].partition(" (")[0]
    chart = line_chart(series, key=name, title=title, description=caption, x_label=_X_LABEL, y_label=label, size=size)
    return Figure(chart, caption, size)


def _ends(metrics: Metrics, name: str) -> tuple[float | None, float | None]:
    values = metrics.get(name)[1]
    finite = values[np.isfinite(values)]
    return (float(finite[0]), float(finite[-1])) if finite.size else (None, None)
