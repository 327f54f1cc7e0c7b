"""A study's folder to one HTML file that opens offline: charts, the tables of `results.md`, and what they say."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from turnwise.errors import RunError
from turnwise.report.charts import Series, line_chart
from turnwise.report.frame import Size
from turnwise.report.intervals import Form, Point, PointSeries, interval_chart
from turnwise.report.manifest import config_text, pairs, text_of, when
from turnwise.report.page import Figure, Section, Table
from turnwise.report.shell import render_page
from turnwise.report.text import MISSING, duration, plural
from turnwise.run import MANIFEST_NAME, read_manifest, write_text
from turnwise.statistics.seeds import Estimate
from turnwise.study.findings import findings
from turnwise.study.markdown import MARKDOWN_NAME, to_markdown
from turnwise.study.rendering import TextTable, parts
from turnwise.study.results import Measure, Place, Results, read_results
from turnwise.study.tables import against_reference, by_part, detection, grid, recovered

REPORT_NAME = "report.html"

_TURN_CHARTS = 12
"""Most charts by turn; the table has every turn of every mixture."""

_MINUS = re.compile(r"(?<![\w.])-(?=\d)")


def build_study_report(folder: str | Path, output: str | Path | None = None) -> Path:
    """Write the report of a study, and its tables as `results.md` into its folder, from the files in it alone.

    Args:
        folder: The study's folder.
        output: Where to write; `report.html` in the folder by default.

    Returns:
        The path of the page.

    Raises:
        DataError: The study's files are absent or unreadable.
    """
    folder = Path(folder)
    target = folder / REPORT_NAME if output is None else Path(output)
    results = read_results(folder)
    write_text(folder / MARKDOWN_NAME, to_markdown(results))
    write_text(target, render_study(results, _manifest(folder)))
    return target


def render_study(results: Results, manifest: dict[str, Any]) -> str:
    """The page of a study whose figures have been read; the manifest may be empty."""
    sections = [Section("findings", "Findings", points=[_minus(sentence) for sentence in findings(results)])]
    if not sections[0].points:
        sections[0].missing = "The study has no figures yet."
    figures = {
        "quality": _quality_figures(results),
        "differences": _difference_figures(results),
        "recovered": _recovered_figures(results),
        "detection": _detection_figures(results),
        "parts": _turn_figures(results),
    }
    for part in parts(results):
        section = Section(part.id, part.title, missing=part.missing, text=part.text, figures=figures.get(part.id, []))
        section.tables = [_table(one) for one in part.tables]
        sections.append(section)
    sections.append(_made(results, manifest))
    return render_page(
        "study.html.j2",
        title=results.name,
        status=manifest.get("status") or ("incomplete" if results.failed or results.absent else "done"),
        sentence=_sentence(results),
        tiles=_tiles(results),
        facts=_facts(results, manifest),
        sections=sections,
    )


def _manifest(folder: Path) -> dict[str, Any]:
    """The folder's manifest; empty where there is none or it cannot be read, as the figures stand without it."""
    try:
        return read_manifest(folder / MANIFEST_NAME)
    except RunError:
        return {}


def _quality_figures(results: Results) -> list[Figure]:
    """Lines along the mixtures, as Figure 2 of the ReSURE paper."""
    figures = []
    for measure in results.qualities:
        cells = grid(results, measure).cells
        better = "higher" if measure.higher_is_better else "lower"
        figures.append(
            _figure(
                results,
                "lines",
                [(method, cells) for method in results.methods],
                key=f"quality-{measure.title}",
                title=_capital(measure.title),
                caption=f"{_capital(measure.title)} by mixture, in order of complexity; {better} is better. "
                f"{_interval_note(results)}{_dashed_note(results)}",
                y_label=_unit(measure),
                limits=(0.0, 1.0 if measure.metric == "accuracy" else math.inf),
            )
        )
    return figures


def _difference_figures(results: Results) -> list[Figure]:
    figures = []
    for measure in results.qualities:
        cells = {row.place: row.difference.estimate for row in against_reference(results, measure)}
        if not cells:
            continue
        worse = "below 0 is worse" if measure.higher_is_better else "above 0 is worse"
        figures.append(
            _figure(
                results,
                "bars",
                [(method, cells) for method in results.trained if method != results.reference],
                key=f"difference-{measure.title}",
                title=f"{_capital(measure.title)}: difference to {results.reference}",
                caption=f"Method minus {results.reference}, paired by seed; {worse}. {_interval_note(results)}",
                y_label=f"difference, {_unit(measure)}",
            )
        )
    return figures


def _recovered_figures(results: Results) -> list[Figure]:
    figures = []
    for measure in results.qualities:
        cells = {row.place: row.recovery.share for row in recovered(results, measure) if row.recovery.share is not None}
        if not cells:
            continue
        figures.append(
            _figure(
                results,
                "bars",
                [(method, cells) for method in results.trained if method not in (results.reference, results.oracle)],
                key=f"recovered-{measure.title}",
                title=f"{_capital(measure.title)}: damage undone",
                caption=f"0 is as {results.reference}, 1 as {results.oracle}; without clear damage there is no bar. "
                f"{_interval_note(results)}",
                y_label="share of the damage undone",
            )
        )
    return figures


def _detection_figures(results: Results) -> list[Figure]:
    figures = []
    for one in detection(results):
        if not one.measure.metric.startswith("auroc") or not one.measure.overall:
            continue
        unit = "turns" if one.measure.metric.endswith("turn") else "dialogues"
        figures.append(
            _figure(
                results,
                "lines",
                [(method, one.cells) for method in results.methods],
                key=f"detection-{one.measure.title}",
                title=f"Ranking of noisy {unit}",
                caption=f"Chance that a noisy one of two {unit} is rated less reliable; 0.5 is a coin. "
                f"{_interval_note(results)}",
                y_label="AUROC",
                limits=(0.0, 1.0),
            )
        )
    return figures


def _turn_figures(results: Results) -> list[Figure]:
    """Curves by turn, one chart per measure and mixture."""
    figures = []
    for measure in results.qualities:
        turns = [one for one in by_part(results, measure) if one.measure.turn is not None]
        for mixture in results.mixtures if turns else ():
            drawn = []
            for method, (style, kind) in _styles(results).items():
                values = [one.cells.get(Place(mixture, method)) for one in turns]
                if any(values):
                    means = [None if one is None else one.mean for one in values]
                    drawn.append(Series(method, [float(one.measure.turn or 0) for one in turns], means, style, kind))
            title = f"{_capital(measure.title)}, {mixture}"
            caption = f"{_capital(measure.title)} by turn index, trained on {mixture}; means over seeds."
            chart = line_chart(
                drawn,
                key=f"turns-{measure.title}-{mixture}",
                title=title,
                description=caption,
                x_label="turn index",
                y_label=_unit(measure),
                size="third",
            )
            figures.append(Figure(chart, caption, "third"))
    if len(figures) > _TURN_CHARTS:
        figures = figures[:_TURN_CHARTS]
        figures[-1] = Figure(
            figures[-1].svg, f"{figures[-1].caption} Further mixtures and measures are in the table.", "third"
        )
    return figures


def _figure(
    results: Results,
    form: Form,
    series: Iterable[tuple[str, Any]],
    *,
    key: str,
    title: str,
    caption: str,
    y_label: str,
    limits: tuple[float, float] = (-math.inf, math.inf),
) -> Figure:
    """A chart over mixtures: per method the estimates of its places. Methods without any stay out of the legend."""
    styles = _styles(results)
    drawn = []
    for method, cells in series:
        points = [_point(cells.get(Place(mixture, method))) for mixture in results.mixtures]
        if any(points):
            style, kind = styles[method]
            drawn.append(PointSeries(method, points, style, kind))
    crowded = len(results.mixtures) * len(drawn) > (24 if form == "lines" else 16)
    size: Size = "wide" if crowded else "half"
    chart = interval_chart(
        results.mixtures,
        drawn,
        form=form,
        key=key,
        title=f"{title} ({drawn[0].name})" if len(drawn) == 1 else title,  # one series has no legend
        description=caption,
        x_label="mixture",
        y_label=y_label,
        size=size,
        limits=limits,
    )
    return Figure(chart, caption, size)


def _point(found: Estimate | None) -> Point | None:
    if found is None or found.mean is None:
        return None
    return Point(found.mean, None if found.low is None or found.high is None else (found.low, found.high))


def _styles(results: Results) -> dict[str, tuple[str, str]]:
    """One colour per trained method, the same in every chart; from the sixth on the line is dotted."""
    styles = {
        method: (f"s{place % 5}", "line" if place < 5 else "dotted") for place, method in enumerate(results.trained)
    }
    return {method: styles.get(method, ("s5", "dashed")) for method in results.methods}


def _interval_note(results: Results) -> str:
    seeds = len(results.seeds)
    return f"Means over {seeds} seeds with 95 % intervals." if seeds > 1 else "One seed, so no intervals."


def _dashed_note(results: Results) -> str:
    names = ", ".join(method for method in results.methods if method in results.untrained)
    return f" Dashed: {names}, measured once." if names else ""


def _unit(measure: Measure) -> str:
    return "loss (nats per token)" if measure.metric == "loss" else measure.metric


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _minus(text: str) -> str:
    return _MINUS.sub("−", text)


def _table(one: TextTable) -> Table:
    texts = {0, *one.texts}
    rows = [[cell if place in texts else _minus(cell) for place, cell in enumerate(row)] for row in one.rows]
    return Table(_capital(one.caption), one.columns, rows, texts=tuple(one.texts))


def _sentence(results: Results) -> str:
    cells = len(results.trained) * len(results.mixtures) * len(results.seeds)
    missing = len(results.failed) + len(results.absent)
    text = (
        f"{plural(len(results.trained), 'training method')} on {plural(len(results.mixtures), 'mixture')} with "
        f"{plural(len(results.seeds), 'seed')}: {plural(cells, 'run')}"
    )
    return f"{text}, {missing} of them without results." if missing else f"{text}."


def _tiles(results: Results) -> list[tuple[str, str, str]]:
    """How many comparisons came out which way, and how much there is to compare."""
    tiles = []
    rows = [row for measure in results.qualities for row in against_reference(results, measure)]
    rows = [row for row in rows if row.place.method != results.oracle]
    if rows:
        counts = [sum(row.better == sign for row in rows) for sign in (1, -1, 0)]
        for label, count in zip(("Clearly better", "Clearly worse", "Not clear"), counts, strict=True):
            tiles.append((label, str(count), f"of {plural(len(rows), 'comparison')} with {results.reference}"))
    tiles.append(("Seeds", str(len(results.seeds)), "per mixture and method"))
    tiles.append(("Mixtures", str(len(results.mixtures)), f"{results.mixtures[0]} to {results.mixtures[-1]}"))
    return tiles


def _facts(results: Results, manifest: dict[str, Any]) -> list[tuple[str, str]]:
    facts = [
        ("Reference", results.reference or "none"),
        ("Oracle", results.oracle or "none"),
        ("Command", f"turnwise {manifest['command']}" if manifest.get("command") else MISSING),
        ("Started", when(manifest.get("started"))),
        ("Ended", when(manifest.get("ended"))),
        ("Training time of all cells", duration(results.described.get("seconds"))),
        ("Commit", text_of(results.described.get("commit", manifest.get("commit")))),
        ("Seeds", ", ".join(map(str, results.seeds)) or MISSING),
        ("Versions", pairs(manifest.get("versions") or results.described.get("versions"))),
    ]
    return [(name, value) for name, value in facts if value != MISSING]


def _made(results: Results, manifest: dict[str, Any]) -> Section:
    """How the study was made: mixtures, methods, inputs, configuration."""
    section = Section("made", "How the study was made")
    rows: Sequence[Sequence[str]] = [[name, f"{number:g}"] for name, number in results.complexity.items()]
    section.tables.append(Table("Mixtures in order of complexity", ["mixture", "complexity"], rows))
    roles = {results.reference: "reference", results.oracle: "oracle"}
    settings = results.described.get("methods")
    rows = [
        [
            method,
            roles.get(method, "untrained" if method in results.untrained else ""),
            pairs(settings[method])
            if isinstance(settings, dict) and isinstance(settings.get(method), dict)
            else MISSING,
        ]
        for method in results.methods
    ]
    section.tables.append(Table("Methods", ["method", "role", "settings"], rows, texts=(1, 2)))
    inputs = [one for one in manifest.get("inputs") or () if isinstance(one, dict)]
    if inputs:
        rows = [[text_of(one.get("path")), text_of(one.get("sha256"))] for one in inputs]
        section.tables.append(Table("Inputs", ["path", "SHA-256"], rows, texts=(1,)))
    config = manifest.get("config") or results.described.get("config")
    if isinstance(config, dict):
        section.blocks.append(("Resolved configuration", config_text(config)))
    return section
