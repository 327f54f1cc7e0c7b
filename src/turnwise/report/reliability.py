"""The sections made from the reliability ledger: weights, turn groups, planted noise, dialogues with text."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from turnwise.report.audit import BINS, Audit
from turnwise.report.charts import Series, histogram, line_chart
from turnwise.report.loss import rates_over_time
from turnwise.report.page import Figure, RunFiles, Section, Table
from turnwise.report.text import MISSING, as_number, number, percent, plural

GROUP_CAP = 8
"""Most turn groups drawn; the others are in the table."""


_FLAGGED = {
    "threshold": "loss above the threshold of their turn group",
    "mixture": "weight below one half",
    "trim": "among the highest losses of their batch",
}
"""What it means to be flagged, by the rule."""


def weights_section(files: RunFiles) -> Section:
    """How the weights are spread, overall and by what is known of noise."""
    section = Section("weights", "Weights")
    audit = files.audit
    if audit is None:
        section.missing = files.why("ledger.parquet")
        return section
    labels = known_labels(audit)
    full = float(audit.kind_full.sum())
    unit = plural(audit.rows, audit.unit) + (f" over {audit.epochs} epochs" if audit.epochs > 1 else "")
    section.text.append(
        f"The ledger holds {unit}, of {plural(audit.dialogues.num_rows, 'dialogue')}. {percent(full / audit.rows)} "
        f"kept the full weight of 1, {percent(audit.flag_rate)} were flagged ({_FLAGGED[_rule(files)]}), "
        f"the mean weight was {number(audit.mean_weight)}."
    )
    section.text += _judgement(files, audit.unit)
    if audit.non_finite:
        section.text.append(f"{plural(audit.non_finite, audit.unit)} had a loss that was not finite: weight 0.")
    if audit.weighted:
        edges = [position / BINS for position in range(BINS + 1)]
        bars = [
            (name, style, audit.below_one[rows].sum(axis=0) / max(1.0, audit.kind_rows[rows].sum()))
            for name, style, rows in labels
        ]
        section.figures.append(
            Figure(
                histogram(
                    edges,
                    bars,
                    key="weights",
                    title="Weights under 1",
                    description=f"{percent(1 - full / audit.rows)} of all {audit.unit}s had a weight under 1.",
                    x_label="weight",
                    y_label=f"share of {audit.unit}s",
                    as_percent=True,
                ),
                f"Only weights under 1 are drawn: {percent(1 - full / audit.rows)} of all {audit.unit}s. Shares are of "
                + ("each label's" if len(labels) > 1 else "all")
                + f" {audit.unit}s; those of weight exactly 1 are in the table.",
            )
        )
    else:
        section.text.append(f"No {audit.unit} was turned down, so there is no histogram to draw.")
    rows = [_weight_row("all", audit, slice(None))]
    rows += [_weight_row(name, audit, where) for name, _, where in labels if len(labels) > 1]
    section.tables.append(
        Table(
            f"Weights by label ({audit.unit}s, all epochs)",
            ["label", f"{audit.unit}s", "full weight", "flagged", "mean weight"],
            rows,
        )
    )
    section.figures += rates_over_time(files.metrics)
    return section


def groups_section(files: RunFiles) -> Section:
    """Threshold and flag rate of each turn group over time."""
    section = Section("groups", "Turn groups")
    audit = files.audit
    if audit is None or not audit.groups:
        section.missing = files.why("ledger.parquet") if audit is None else "The ledger names no turn group."
        return section
    by_size = sorted(audit.groups, key=lambda group: -float(audit.groups[group][0].sum()))
    shown = sorted(by_size[:GROUP_CAP])
    of = "turn index" if audit.unit == "turn" else "number of supervised turns"
    section.text.append(
        f"A {audit.unit} is compared with others of its group only: its group is its {of}. "
        + (f"The {GROUP_CAP} largest of {len(audit.groups)} groups are drawn. " if len(by_size) > GROUP_CAP else "")
        + f"Each point averages the {audit.unit}s of a stretch of optimizer steps."
    )
    styles = _spread(len(shown))
    thresholds, rates = [], []
    logged = files.metrics.groups("threshold")
    for group, style in zip(shown, styles, strict=True):
        rows, flagged, judged, threshold = audit.groups[group]
        if judged.sum():
            thresholds.append(Series(f"group {group}", audit.window_steps, _ratio(threshold, judged), style))
        elif group in logged:
            thresholds.append(Series(f"group {group}", *logged[group], style))
        rates.append(Series(f"group {group}", audit.window_steps, _ratio(flagged, rows), style))
    nominal = _nominal(files)
    if nominal is not None:
        rates.append(
            Series(
                f"nominal {percent(nominal)}", audit.window_steps, [nominal] * len(audit.window_steps), "s5", "dashed"
            )
        )
    if thresholds:
        section.figures.append(
            Figure(
                line_chart(
                    thresholds,
                    key="threshold",
                    title="Threshold by turn group",
                    description="Mean loss threshold of each turn group over the optimizer steps.",
                    x_label="optimizer step",
                    y_label="threshold (nats per token)",
                    size="half",
                ),
                "A loss above the threshold of its group is unreliable.",
                size="half",
            )
        )
    section.figures.append(
        Figure(
            line_chart(
                rates,
                key="flag-rate",
                title="Flag rate by turn group",
                description="Share of each turn group that was flagged, over the optimizer steps.",
                x_label="optimizer step",
                y_label=f"flagged share of {audit.unit}s",
                size="half",
                from_zero=True,
                as_percent=True,
            ),
            f"Share flagged: {_FLAGGED[_rule(files)]}."
            + (" The dashed line is the share expected of normal losses that do not change." if nominal else ""),
            size="half",
        )
    )
    if not thresholds:
        section.text.append("No threshold was set in this run.")
    section.tables.append(_group_table(audit))
    return section


def noise_section(files: RunFiles, outer: RunFiles | None = None) -> Section:
    """How well the weights find planted noise, where it is known."""
    section = Section("noise", "Finding planted noise")
    audit = files.audit
    if audit is None:
        section.missing = files.why("ledger.parquet")
        return section
    if not audit.weighted:
        section.missing = "No weight is under 1 in this run, so there is nothing that could find noise."
        return section
    noisy = float(audit.kind_rows[1:-1].sum())
    if not noisy:
        section.missing = "No planted noise is known for this data, so its detection cannot be measured."
        return section
    known = float(audit.kind_rows[:-1].sum())
    flagged = float(audit.kind_flagged[:-1].sum())
    hits = float(audit.kind_flagged[1:-1].sum())
    base = noisy / known
    sentence = (
        f"{percent(base)} of the {audit.unit}s with a known label are planted noise. Of those that were flagged, "
        f"{percent(hits / flagged) if flagged else MISSING} are noise; of the noise, {percent(hits / noisy)} was "
        "flagged."
    )
    auroc, precision = noise_auroc(files, outer), _given("precision_at_flagged", files, outer)
    if auroc is not None:
        sentence += f" The area under the ROC curve (weight against noise) is {number(auroc)} (chance: 0.5)."
    else:
        sentence += " The run's summary gives no AUROC."
    if precision is not None:
        sentence += f" Precision at the flagged share: {percent(precision)} (chance: {percent(base)})."
    section.text.append(sentence)
    lines = []
    for name, style, where in known_labels(audit):
        rows, hit = (audit.kind_window[side][where].sum(axis=0) for side in (0, 1))
        lines.append(Series(name, audit.window_steps, _ratio(hit, rows), style))
    section.figures.append(
        Figure(
            line_chart(
                lines,
                key="noise",
                title="Flag rate of clean and noisy supervision",
                description=sentence,
                x_label="optimizer step",
                y_label=f"flagged share of {audit.unit}s",
                from_zero=True,
                as_percent=True,
            ),
            "The further apart the lines, the better the weights tell noise from clean supervision.",
        )
    )
    section.tables.append(
        Table(
            f"By kind of noise ({audit.unit}s, all epochs)",
            ["kind", f"{audit.unit}s", "full weight", "flagged", "mean weight"],
            [
                _weight_row(kind, audit, slice(place, place + 1))
                for place, kind in enumerate([*audit.kinds, "unknown"])
                if audit.kind_rows[place]
            ],
        )
    )
    return section


def dialogues_section(files: RunFiles) -> Section:
    """The least reliable dialogues, with text."""
    section = Section("dialogues", "Least reliable dialogues")
    audit = files.audit
    if audit is None:
        section.missing = files.why("ledger.parquet")
        return section
    section.dialogues = files.least
    ranked = (
        "ranked by mean weight, then by how far the loss lay above the threshold"
        if audit.weighted
        else "ranked by mean loss, as no weight is under 1"
    )
    section.text.append(
        f"{plural(len(files.least), 'dialogue')} of {audit.dialogues.num_rows:,}, {ranked}. A high loss can also mean "
        "a rare but right answer: read before you delete."
    )
    if "dialogues.parquet" in files.problems or not (files.path / "dialogues.parquet").is_file():
        section.text.append(f"Texts are not shown. {files.why('dialogues.parquet')}")
    return section


def noise_auroc(files: RunFiles, outer: RunFiles | None = None) -> float | None:
    """Area under the ROC curve of weight against noise, from the run's summary or else the outer run's."""
    return _given("auroc_noise", files, outer)


def known_labels(audit: Audit) -> list[tuple[str, str, slice]]:
    """Clean, noisy and unlabelled rows as name, style and place in arrays over kinds; all rows as one without noise."""
    places = [
        ("clean", "s0", slice(0, 1)),
        ("noisy", "s1", slice(1, len(audit.kinds))),
        ("unlabelled", "s5", slice(len(audit.kinds), None)),
    ]
    if not audit.kind_rows[1:-1].sum():
        return [("all", "s0", slice(None))]
    return [place for place in places if audit.kind_rows[place[2]].sum()]


def _weight_row(name: str, audit: Audit, where: slice) -> list[str]:
    rows, flagged, full, weight = (
        float(sums[where].sum()) for sums in (audit.kind_rows, audit.kind_flagged, audit.kind_full, audit.kind_weight)
    )
    shares = [percent(part / rows) if rows else MISSING for part in (full, flagged)]
    return [name, number(int(rows)), *shares, number(weight / rows if rows else None)]


def _group_table(audit: Audit) -> Table:
    rows = []
    for group, (seen, flagged, judged, threshold) in list(audit.groups.items())[:40]:
        count = float(seen.sum())
        mean = float(threshold.sum() / judged.sum()) if judged.sum() else None
        rows.append([str(group), number(int(count)), percent(flagged.sum() / count), number(mean)])
    left_out = len(audit.groups) - len(rows)
    return Table(
        "By turn group (all epochs)" + (f"; {left_out} further groups are not shown" if left_out else ""),
        ["group", f"{audit.unit}s", "flagged", "mean threshold (nats per token)"],
        rows,
    )


def _ratio(part: npt.NDArray[np.float64], whole: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Part by whole, NaN where the whole is 0."""
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)


def _spread(count: int) -> list[str]:
    """Styles of ordered groups, spread over the ramp of eight shades."""
    return [f"g{round(place * 7 / max(1, count - 1))}" for place in range(count)]


def _rule(files: RunFiles) -> str:
    """The rule that gave the weights; a method that names its rule need not set it."""
    resure = files.config.get("resure")
    rule = resure.get("rule") if isinstance(resure, dict) else None
    method = files.config.get("method")
    return next((str(name) for name in (rule, method) if name in _FLAGGED and name != "threshold"), "threshold")


def _judgement(files: RunFiles, unit: str) -> list[str]:
    """What the rule `mixture` found before training."""
    found = files.summary.get("reliability")
    share = as_number(found.get("noise_share")) if isinstance(found, dict) else None
    if share is None:
        return []
    if share == 0.0:
        return [f"Before training nothing told the {unit}s from reliable ones, so every weight is 1."]
    return [
        f"Every {unit} was judged once, before training, by the losses of the starting model: an estimated "
        f"{percent(share)} are unreliable. reference.parquet holds the losses and weights."
    ]


def _nominal(files: RunFiles) -> float | None:
    """The share of a normal variable above alpha standard deviations, where the run's configuration tells alpha."""
    if _rule(files) != "threshold":
        return None
    resure = files.config.get("resure")
    alpha = as_number(resure.get("alpha")) if isinstance(resure, dict) else None
    return None if alpha is None else 0.5 * math.erfc(alpha / math.sqrt(2))


def _given(name: str, files: RunFiles, outer: RunFiles | None) -> float | None:
    values = (as_number(one.summary.get(name)) for one in (files, outer) if one is not None)
    return next((value for value in values if value is not None), None)
