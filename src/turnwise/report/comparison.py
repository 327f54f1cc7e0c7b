"""The sections that put systems side by side: several runs, and held-out figures by turn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from turnwise.report.charts import Series, grouped_bars, line_chart
from turnwise.report.loss import loss_series
from turnwise.report.page import Figure, RunFiles, Section, Table
from turnwise.report.text import MISSING, as_number, duration, interval, number, percent

Evaluations = Mapping[str, Mapping[str, Any]]

_BARS_CAP = 8  # turns and systems up to which accuracy is drawn as bars
_TURNS_CAP = 40


def comparison_section(files: RunFiles, runs: Mapping[str, RunFiles]) -> Section:
    """Base and trained systems side by side."""
    section = Section("comparison", "Comparison", tables_first=True)
    evaluations = files.evaluations
    if not evaluations and not runs:
        section.missing = "The summary compares nothing."
        return section
    if evaluations:
        section.text.append(
            _sentence(evaluations)
            + " There is one training run per method: a difference within the spread of seeds is not evidence."
        )
        section.tables.append(evaluation_table(evaluations))
        section.figures += turn_figures(evaluations)
    if runs:
        section.tables.append(
            Table(
                "Runs",
                ["run", "method", "status", "wall time", "training loss (nats per token)", "folder"],
                [
                    [
                        name,
                        str(run.summary.get("method", MISSING)),
                        str(run.manifest.get("status", MISSING)),
                        duration(run.summary.get("wall_seconds")),
                        number(_training_loss(run)),
                        run.path.name,
                    ]
                    for name, run in runs.items()
                ],
                texts=(1, 2, 5),
            )
        )
        curves = []
        note = ""
        styles = _styles([*evaluations, *runs])
        for name, run in runs.items():
            series, smoothed = loss_series(run.metrics, name, styles[name], styles[name])
            curves += series
            note = note or smoothed
        if curves:
            caption = (
                "Training loss as each method optimises it: a weighted loss and an unweighted one differ by design."
            )
            section.figures.append(
                Figure(
                    line_chart(
                        curves,
                        key="comparison-loss",
                        title="Training loss of the compared runs",
                        description=caption,
                        x_label="optimizer step",
                        y_label="loss (nats per token)",
                    ),
                    f"{caption} {note}".strip(),
                )
            )
    return section


def held_out_section(files: RunFiles) -> Section:
    """Held-out loss and accuracy by turn index."""
    section = Section("held-out", "Held-out figures by turn")
    if not files.evaluations:
        section.missing = (
            files.why("summary.json") if not files.summary else "The summary holds no held-out evaluation."
        )
        return section
    section.text.append(_sentence(files.evaluations))
    section.figures = turn_figures(files.evaluations)
    section.tables.append(evaluation_table(files.evaluations))
    return section


def evaluation_table(evaluations: Evaluations) -> Table:
    """Loss and accuracy per system with their counts, and intervals (`loss_interval`, ...) where they were given."""
    rows = []
    for name, one in evaluations.items():
        rows.append(
            [
                name,
                " ".join(filter(None, [number(as_number(one.get("loss"))), interval(one.get("loss_interval"))])),
                number(_total(one, "tokens")),
                " ".join(filter(None, [percent(one.get("accuracy")), _percent_interval(one.get("accuracy_interval"))])),
                number(_total(one, "answers")),
            ]
        )
    given = any(one.get(f"{metric}_interval") for one in evaluations.values() for metric in ("loss", "accuracy"))
    return Table(
        "Held-out loss and accuracy" + ("; intervals in brackets" if given else " (no intervals were computed)"),
        ["system", "loss (nats per token)", "n tokens", "accuracy", "n answers"],
        rows,
    )


def turn_figures(evaluations: Evaluations) -> list[Figure]:
    """Charts of loss and of accuracy by turn index, where they were measured."""
    figures = []
    styles = _styles(evaluations)
    losses = {name: _by_turn(one, "loss") for name, one in evaluations.items()}
    if any(losses.values()):
        caption = "Held-out loss by turn index (assistant replies from 0), not weighted. " + _counts(
            evaluations, "tokens"
        )
        chart = line_chart(
            [Series(name, list(range(len(y))), y, styles[name]) for name, y in losses.items() if y],
            key="loss-by-turn",
            title="Held-out loss by turn index",
            description=caption,
            x_label="turn index",
            y_label="loss (nats per token)",
            size="half",
        )
        figures.append(Figure(chart, caption, "half"))
    accuracies = {name: y for name, one in evaluations.items() if (y := _by_turn(one, "accuracy"))}
    if accuracies:
        turns = max(map(len, accuracies.values()))
        caption = "Accuracy of the answers by turn index. " + _counts(evaluations, "answers")
        if turns <= _BARS_CAP and len(accuracies) <= _BARS_CAP:
            bars = [(name, styles[name], [*y, *[None] * (turns - len(y))]) for name, y in accuracies.items()]
            chart = grouped_bars(
                [str(turn) for turn in range(turns)],
                bars,
                key="accuracy-by-turn",
                title="Accuracy by turn index",
                description=caption,
                x_label="turn index",
                y_label="accuracy",
                size="half",
                as_percent=True,
            )
        else:
            chart = line_chart(
                [Series(name, list(range(len(y))), y, styles[name]) for name, y in accuracies.items()],
                key="accuracy-by-turn",
                title="Accuracy by turn index",
                description=caption,
                x_label="turn index",
                y_label="accuracy",
                size="half",
                from_zero=True,
                as_percent=True,
            )
        figures.append(Figure(chart, caption, "half"))
    return figures


def _styles(names: Iterable[str]) -> dict[str, str]:
    """One colour per system, the same in every chart."""
    return {name: f"s{place % 6}" for place, name in enumerate(dict.fromkeys(names))}


def _sentence(evaluations: Evaluations) -> str:
    """The figures of every system in words, in the order of the summary."""
    losses = [
        f"{name} {number(as_number(one.get('loss')))}"
        for name, one in evaluations.items()
        if as_number(one.get("loss")) is not None
    ]
    accuracies = [
        f"{name} {percent(one.get('accuracy'))}"
        for name, one in evaluations.items()
        if as_number(one.get("accuracy")) is not None
    ]
    parts = []
    if losses:
        parts.append(f"Held-out loss in nats per token: {', '.join(losses)}.")
    if accuracies:
        parts.append(f"Accuracy: {', '.join(accuracies)}.")
    return " ".join(parts) or "The evaluation holds no loss and no accuracy."


def _counts(evaluations: Evaluations, what: str) -> str:
    """How many tokens or answers stand behind each turn index; systems are measured on the same ones."""
    for one in evaluations.values():
        counts = one.get(f"{what}_by_turn")
        if isinstance(counts, list) and counts:
            shown = ", ".join(number(count) for count in counts[:_TURNS_CAP])
            return f"n {what} per turn: {shown}{', …' if len(counts) > _TURNS_CAP else ''}."
    return ""


def _by_turn(one: Mapping[str, Any], metric: str) -> list[float | None]:
    values = one.get(f"{metric}_by_turn")
    return [as_number(value) for value in values] if isinstance(values, list) else []


def _total(one: Mapping[str, Any], what: str) -> int | None:
    counts = one.get(f"{what}_by_turn")
    if not isinstance(counts, list) or not counts:
        return None
    return int(sum(as_number(count) or 0 for count in counts))


def _percent_interval(bounds: Any) -> str:
    if not isinstance(bounds, list | tuple) or len(bounds) != 2 or any(as_number(bound) is None for bound in bounds):
        return ""
    return f"[{percent(bounds[0])}, {percent(bounds[1])}]"


def _training_loss(run: RunFiles) -> float | None:
    given = as_number(run.summary.get("train_loss"))
    return run.metrics.last("loss") if given is None else given
