"""Charts as inline SVG: pure functions from data to markup, with no script and no style attribute.

Colours and fonts are classes of the page's style sheet (`s0` ... for named series, `g0` ... for ordered groups), so
that a chart follows the reader's light or dark scheme and a strict content security policy. Every chart has a title
and a description for screen readers, labelled axes with units, ticks at round numbers, and a legend where it shows
more than one series. Values that are None, NaN or infinite are gaps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from turnwise.report.frame import (
    TICKS,
    Frame,
    Size,
    Values,
    as_array,
    axes,
    category_labels,
    labelled,
    no_data,
    text_at,
    ticks,
    widen,
)
from turnwise.report.text import number, visible

POINT_CAP = 400
"""Most points that a drawn series has; longer ones keep the lowest and highest point of each stretch."""

_MARKER_CAP = 40  # series of up to this many points show each point, with its value on hover


@dataclass(frozen=True)
class Series:
    """One line of a chart.

    Attributes:
        name: Its name in the legend; empty keeps it out of the legend.
        x: Positions, ascending.
        y: Values; None, NaN and infinities are gaps.
        style: Class that gives the colour, `s0` to `s5` or `g0` to `g7`.
        kind: `line`, `faint` (the raw data behind a smoothed line), `dashed` (a reference) or `dotted` (a second
            measurement of the same thing).
    """

    name: str
    x: Values
    y: Values
    style: str = "s0"
    kind: str = "line"


def downsample(x: Values, y: Values, cap: int = POINT_CAP) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """At most about `cap` points of a series, keeping the lowest and highest of each stretch: no spike is lost.

    Args:
        x: Positions, shape (N,).
        y: Values, shape (N,); gaps (None, NaN, infinite) come back as NaN. A stretch with no value at all stays a gap.
        cap: The most points to keep; at least 4.
    """
    x_N, y_N = as_array(x), as_array(y)  # noqa: N806 - N points
    if x_N.size <= cap:
        return x_N, y_N
    keep = {0, x_N.size - 1}
    for stretch in np.array_split(np.arange(x_N.size), max(1, (cap - 2) // 2)):
        finite = stretch[np.isfinite(y_N[stretch])]
        if finite.size:
            keep.add(int(finite[np.argmin(y_N[finite])]))
            keep.add(int(finite[np.argmax(y_N[finite])]))
        else:
            keep.add(int(stretch[0]))
    chosen = np.array(sorted(keep))
    return x_N[chosen], y_N[chosen]


def line_chart(
    series: Sequence[Series],
    *,
    key: str,
    title: str,
    description: str,
    x_label: str,
    y_label: str,
    size: Size = "wide",
    from_zero: bool = False,
    as_percent: bool = False,
    integer_x: bool = True,
) -> Markup:
    """Lines over a numeric axis.

    Args:
        series: What to draw; long series are downsampled.
        key: Distinguishes this chart's element ids from those of other charts on the page.
        title: What the chart shows.
        description: The same in a sentence with figures, for readers who cannot see it.
        x_label: Name and unit of the horizontal axis.
        y_label: Name and unit of the vertical axis.
        size: How much of the text width it takes.
        from_zero: Whether the vertical axis starts at 0 (where all values are at least 0).
        as_percent: Whether values are shares, labelled as per cent.
        integer_x: Whether the horizontal ticks are whole numbers.

    Returns:
        An `<svg>`; one that says "no data" where nothing can be drawn.
    """
    drawn = [(one, *downsample(one.x, one.y)) for one in series]
    points = [(x[np.isfinite(x) & np.isfinite(y)], y[np.isfinite(x) & np.isfinite(y)]) for _, x, y in drawn]
    xs, ys = (np.concatenate([pair[side] for pair in points] or [np.empty(0)]) for side in (0, 1))
    legend = [(one.name, one.style, one.kind) for one in series if one.name]
    frame = Frame.of(title, legend, size)
    if not ys.size:
        return frame.svg(key, description, [no_data(frame)])
    x_low, x_high = widen(float(xs.min()), float(xs.max()), 0.0)
    y_low, y_high = widen(float(ys.min()), float(ys.max()), 0.05)
    if from_zero and ys.min() >= 0:
        y_low = 0.0
    frame = frame.scaled(x_low, x_high, y_low, y_high, as_percent=as_percent)
    parts = list(axes(frame, x_label, y_label, as_percent=as_percent))
    for at, label in labelled(ticks(x_low, x_high, TICKS[size], integer=integer_x)):
        parts.append(text_at(frame.x(at), frame.bottom + 16, label, "tick middle"))
    for one, x, y in drawn:
        parts.extend(_line(frame, one, x, y, as_percent=as_percent))
    return frame.svg(key, description, parts)


def histogram(
    edges: Sequence[float],
    series: Sequence[tuple[str, str, Values]],
    *,
    key: str,
    title: str,
    description: str,
    x_label: str,
    y_label: str,
    size: Size = "wide",
    as_percent: bool = False,
) -> Markup:
    """Bars over bins.

    Args:
        edges: Bin edges, ascending, one more than there are bins.
        series: Per series its name, its style class and its value per bin.
        key: See `line_chart`, as for the other arguments.
        title: What the chart shows.
        description: The same in a sentence.
        x_label: Name and unit of the horizontal axis.
        y_label: Name and unit of the vertical axis.
        size: How much of the text width it takes.
        as_percent: Whether values are shares.
    """
    names = [f"{low:.4g} to {high:.4g}" for low, high in pairwise(edges)]
    frame, parts = _bars(title, names, series, x_label, y_label, size=size, as_percent=as_percent, gap=0.06)
    scale = replace(frame, x_low=edges[0], x_high=edges[-1])
    for at, label in labelled(ticks(edges[0], edges[-1], TICKS[size])):
        parts.append(text_at(scale.x(at), frame.bottom + 16, label, "tick middle"))
    return frame.svg(key, description, parts)


def grouped_bars(
    categories: Sequence[str],
    series: Sequence[tuple[str, str, Values]],
    *,
    key: str,
    title: str,
    description: str,
    x_label: str,
    y_label: str,
    size: Size = "wide",
    as_percent: bool = False,
) -> Markup:
    """Bars side by side per category, from zero; a missing value leaves its place empty. Arguments as `histogram`."""
    frame, parts = _bars(title, categories, series, x_label, y_label, size=size, as_percent=as_percent, gap=0.24)
    return frame.svg(key, description, [*parts, *category_labels(frame, categories)])


def _line(
    frame: Frame, one: Series, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], *, as_percent: bool
) -> Iterator[Markup]:
    """The line, broken at gaps; points of short series, and points between two gaps, as dots."""
    finite = np.isfinite(x) & np.isfinite(y)
    steps: list[str] = []
    lonely: list[int] = []
    for index in np.flatnonzero(finite).tolist():
        joined = index > 0 and finite[index - 1]
        steps.append(f"{'L' if joined else 'M'}{frame.x(x[index]):.1f},{frame.y(y[index]):.1f}")
        if not joined and not (index + 1 < finite.size and finite[index + 1]):
            lonely.append(index)
    yield Markup('<g class="series {} k-{}">').format(one.style, one.kind)
    if len(steps) > len(lonely):
        yield Markup('<path class="line" d="{}"/>').format("".join(steps))
    everywhere = one.kind in ("line", "dotted") and x.size <= _MARKER_CAP
    for index in np.flatnonzero(finite).tolist() if everywhere else lonely:
        value = f"{100 * y[index]:.4g} %" if as_percent else number(float(y[index]))
        yield Markup('<circle class="dot" cx="{:.1f}" cy="{:.1f}" r="3"><title>{}</title></circle>').format(
            frame.x(x[index]), frame.y(y[index]), visible(f"{one.name}, {x[index]:g}: {value}")
        )
    yield Markup("</g>")


def _bars(
    title: str,
    names: Sequence[str],
    series: Sequence[tuple[str, str, Values]],
    x_label: str,
    y_label: str,
    *,
    size: Size,
    as_percent: bool,
    gap: float,
) -> tuple[Frame, list[Markup]]:
    """Axes and bars; the bars of one place share `1 - gap` of its width."""
    columns = [(name, style, as_array(values)) for name, style, values in series]
    frame = Frame.of(title, [(name, style, "bar") for name, style, _ in columns], size)
    finite = np.concatenate([values[np.isfinite(values)] for _, _, values in columns] or [np.empty(0)])
    if not finite.size or not len(names):
        return frame, [no_data(frame)]
    low, high = min(0.0, float(finite.min())), max(0.0, float(finite.max()))
    _, high = widen(low, high, 0.05) if high > low else (0.0, 1.0)
    frame = frame.scaled(0.0, float(len(names)), low, high, as_percent=as_percent)
    parts = list(axes(frame, x_label, y_label, as_percent=as_percent))
    share = (1 - gap) / len(columns)
    for position, (name, style, values) in enumerate(columns):
        parts.append(Markup('<g class="series {} k-bar">').format(style))
        for place, value in enumerate(values):
            if not np.isfinite(value):
                continue
            left, right = (frame.x(place + gap / 2 + share * (position + side)) for side in (0, 1))
            upper, lower = sorted((frame.y(float(value)), frame.y(0.0)))
            shown = f"{100 * value:.4g} %" if as_percent else number(float(value))
            parts.append(
                Markup(
                    '<rect class="bar" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"><title>{}</title></rect>'
                ).format(
                    left,
                    upper,
                    max(0.5, right - left - 1),
                    lower - upper,
                    visible(f"{name}, {names[place]}: {shown}" if name else f"{names[place]}: {shown}"),
                )
            )
        parts.append(Markup("</g>"))
    return frame, parts
