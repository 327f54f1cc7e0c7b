"""Charts of estimates with intervals over named places: lines along mixtures, bars per method."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from markupsafe import Markup

from turnwise.report.frame import Frame, Size, axes, category_labels, no_data, widen
from turnwise.report.text import interval, number, visible

Form = Literal["lines", "bars"]

_APART = 0.5  # share of a place over which the points of several series are spread, so that intervals do not cover
_GAP = 0.24  # share of a place that bars leave empty
_CAP = 4.0  # half the width of an interval's ends, in pixels


@dataclass(frozen=True)
class Point:
    """A value with its interval; the interval is None where there is none."""

    value: float
    bounds: tuple[float, float] | None = None
    drawn: tuple[float, float] | None = None
    """What of the interval is drawn; set by the chart."""


@dataclass(frozen=True)
class PointSeries:
    """Values over the places of a chart.

    Attributes:
        name: Its name in the legend.
        points: One per place; None is a gap.
        style: Class that gives the colour, `s0` to `s5`.
        kind: `line`, `dotted` (a second cycle of colours) or `dashed` (a reference, without points).
    """

    name: str
    points: Sequence[Point | None]
    style: str = "s0"
    kind: str = "line"


def interval_chart(
    places: Sequence[str],
    series: Sequence[PointSeries],
    *,
    form: Form,
    key: str,
    title: str,
    description: str,
    x_label: str,
    y_label: str,
    size: Size = "half",
    limits: tuple[float, float] = (-math.inf, math.inf),
) -> Markup:
    """Estimates with intervals over named places.

    Args:
        places: Names along the horizontal axis.
        series: One value per place each.
        form: `lines` joins a series' values, over a range that fits them; `bars` stand on zero.
        key: Distinguishes this chart's element ids from those of other charts on the page.
        title: What the chart shows.
        description: The same in a sentence, for readers who cannot see it.
        x_label: Name of the horizontal axis.
        y_label: Name and unit of the vertical axis.
        size: How much of the text width it takes.
        limits: Values that the measure can have; what of an interval lies outside is not drawn.

    Returns:
        An `<svg>`; one that says "no data" where nothing can be drawn.
    """
    series = [replace(one, points=[_within(point, limits) for point in one.points]) for one in series]
    legend = [(one.name, one.style, _kind(one, form)) for one in series]
    frame = Frame.of(title, legend, size)
    drawn = [point for one in series for point in one.points if point is not None]
    if not drawn:
        return frame.svg(key, description, [no_data(frame)])
    reach = [value for point in drawn for value in (point.value, *(point.drawn or ()))]
    low, high = min(reach), max(reach)
    if form == "bars":
        low, high = min(0.0, low), max(0.0, high)
    low, high = widen(low, high, 0.05)
    if form == "bars" and min(reach) >= 0:
        low = 0.0
    frame = frame.scaled(0.0, float(len(places)), low, high)
    parts = [*axes(frame, x_label, y_label, as_percent=False), *category_labels(frame, places)]
    if form == "bars" and low < 0:
        parts.append(
            Markup('<path class="zero" d="M{:.1f},{:.1f}H{:.1f}"/>').format(frame.left, frame.y(0), frame.right)
        )
    for position, one in enumerate(series):
        draw = _bars if form == "bars" else _line
        parts += [
            Markup('<g class="series {} k-{}">').format(one.style, _kind(one, form)),
            *draw(frame, places, one, position, len(series)),
            Markup("</g>"),
        ]
    return frame.svg(key, description, parts)


def _within(point: Point | None, limits: tuple[float, float]) -> Point | None:
    if point is None or point.bounds is None:
        return point
    low, high = point.bounds
    return replace(point, drawn=(max(low, limits[0]), min(high, limits[1])))


def _kind(one: PointSeries, form: Form) -> str:
    """Bars of the second cycle of colours are pale, as lines of it are dotted."""
    return one.kind if form == "lines" else "bar k-pale" if one.kind == "dotted" else "bar"


def _line(frame: Frame, places: Sequence[str], one: PointSeries, position: int, count: int) -> Iterator[Markup]:
    """A line broken at gaps; series stand a little apart, so that none hides another's interval."""
    shift = 0.0 if one.kind == "dashed" else _APART * ((position + 0.5) / count - 0.5)
    steps, joined = [], False
    for place, point in enumerate(one.points):
        if point is not None:
            steps.append(f"{'L' if joined else 'M'}{frame.x(place + 0.5 + shift):.1f},{frame.y(point.value):.1f}")
        joined = point is not None
    if one.kind == "dashed" and len(steps) == 1:
        steps = [f"M{frame.left:.1f},{steps[0].split(',')[1]}H{frame.right:.1f}"]
    yield Markup('<path class="line" d="{}"/>').format("".join(steps))
    if one.kind == "dashed":
        return
    for place, point in enumerate(one.points):
        if point is not None:
            x = frame.x(place + 0.5 + shift)
            yield from _whisker(frame, x, point)
            yield Markup('<circle class="dot" cx="{:.1f}" cy="{:.1f}" r="3.5"><title>{}</title></circle>').format(
                x, frame.y(point.value), visible(_hover(one, places[place], point))
            )


def _bars(frame: Frame, places: Sequence[str], one: PointSeries, position: int, count: int) -> Iterator[Markup]:
    share = (1 - _GAP) / count
    for place, point in enumerate(one.points):
        if point is None:
            continue
        left, right = (frame.x(place + _GAP / 2 + share * (position + side)) for side in (0, 1))
        upper, lower = sorted((frame.y(point.value), frame.y(0.0)))
        yield Markup(
            '<rect class="bar" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"><title>{}</title></rect>'
        ).format(left, upper, max(0.5, right - left - 1), lower - upper, visible(_hover(one, places[place], point)))
        yield from _whisker(frame, (left + right - 1) / 2, point)


def _whisker(frame: Frame, x: float, point: Point) -> Iterator[Markup]:
    if point.drawn is None:
        return
    low, high = (frame.y(bound) for bound in point.drawn)
    yield Markup(
        '<path class="whisker" d="M{0:.1f},{2:.1f}V{3:.1f}M{1:.1f},{2:.1f}h{4:.1f}M{1:.1f},{3:.1f}h{4:.1f}"/>'
    ).format(x, x - _CAP, low, high, 2 * _CAP)


def _hover(one: PointSeries, place: str, point: Point) -> str:
    return " ".join(filter(None, [f"{one.name}, {place}: {number(point.value)}", interval(point.bounds)]))
