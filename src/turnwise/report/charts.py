"""Charts as inline SVG: pure functions from data to markup, with no script and no style attribute.

Colours and fonts are classes of the page's style sheet (`s0` ... for named series, `g0` ... for ordered groups), so
that a chart follows the reader's light or dark scheme and a strict content security policy. Every chart has a title
and a description for screen readers, labelled axes with units, ticks at round numbers, and a legend where it shows
more than one series. Values that are None, NaN or infinite are gaps.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from turnwise.report.text import number, visible

Values = Sequence[float | None] | npt.NDArray[np.float64]

Size = Literal["wide", "half", "third"]
"""How much of the text width a chart takes."""

POINT_CAP = 400
"""Most points that a drawn series has; longer ones keep the lowest and highest point of each stretch."""

_LARGEST = 1e150  # beyond it, differences of values overflow; such a value is drawn as a gap
_MARKER_CAP = 40  # series of up to this many points show each point, with its value on hover
_CHARACTER = 6.6  # mean width of a character of 12 px text
_PIXELS: dict[Size, tuple[int, int]] = {"wide": (960, 320), "half": (440, 290), "third": (300, 250)}
_TICKS: dict[Size, int] = {"wide": 10, "half": 5, "third": 3}


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


def ticks(low: float, high: float, count: int = 5, *, integer: bool = False) -> list[float]:
    """Round numbers (1, 2, 2.5 or 5 times a power of ten apart) within `[low, high]`, about `count` of them."""
    if not (math.isfinite(low) and math.isfinite(high)) or high < low or math.isinf(high - low):
        raise ValueError(f"expected finite bounds with low <= high, found {low} and {high}")
    if high == low:
        return [low]
    raw = (high - low) / max(1, count)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * (1 - 1e-9))
    if integer:
        step = max(1.0, math.ceil(step))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [position * step for position in range(first, last + 1)]


def tick_labels(values: Sequence[float], *, as_percent: bool = False) -> list[str]:
    """Labels with just as many decimals as the distance of the ticks needs."""
    scaled = [100 * value if as_percent else value for value in values]
    suffix = " %" if as_percent else ""
    largest = max((abs(value) for value in scaled), default=0.0)
    step = scaled[1] - scaled[0] if len(scaled) > 1 else 0.0
    if largest >= 1e7 or (step and step < 1e-5):
        return [f"{value:.3g}{suffix}".replace("-", "−") for value in scaled]
    if not step:
        return [number(value) + suffix for value in scaled]
    decimals = next(d for d in range(9) if abs(step * 10**d - round(step * 10**d)) < 1e-6 * step * 10**d)
    return [f"{value + 0.0:,.{decimals}f}{suffix}".replace("-", "−") for value in scaled]


def downsample(x: Values, y: Values, cap: int = POINT_CAP) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """At most about `cap` points of a series, keeping the lowest and highest of each stretch: no spike is lost.

    Args:
        x: Positions, shape (N,).
        y: Values, shape (N,); gaps (None, NaN, infinite) come back as NaN. A stretch with no value at all stays a gap.
        cap: The most points to keep; at least 4.
    """
    x_N, y_N = _array(x), _array(y)  # noqa: N806 - N points
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
    frame = _Frame.of(title, legend, size)
    if not ys.size:
        return frame.svg(key, description, [_no_data(frame)])
    x_low, x_high = _widen(float(xs.min()), float(xs.max()), 0.0)
    y_low, y_high = _widen(float(ys.min()), float(ys.max()), 0.05)
    if from_zero and ys.min() >= 0:
        y_low = 0.0
    frame = frame.scaled(x_low, x_high, y_low, y_high, as_percent=as_percent)
    parts = list(_axes(frame, x_label, y_label, as_percent=as_percent))
    for at, label in _labelled(ticks(x_low, x_high, _TICKS[size], integer=integer_x)):
        parts.append(_text(frame.x(at), frame.bottom + 16, label, "tick middle"))
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
    for at, label in _labelled(ticks(edges[0], edges[-1], _TICKS[size])):
        parts.append(_text(scale.x(at), frame.bottom + 16, label, "tick middle"))
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
    width = (frame.right - frame.left) / max(1, len(categories))
    room = max(3, int(width / _CHARACTER))
    for position, category in enumerate(categories):
        shown = category if len(category) <= room else category[: room - 1] + "…"
        parts.append(_text(frame.left + (position + 0.5) * width, frame.bottom + 16, shown, "tick middle"))
    return frame.svg(key, description, parts)


@dataclass(frozen=True)
class _Frame:
    """Where the plot lies in the picture (pixels) and what range of values it spans."""

    title: str
    width: int
    height: int
    left: float
    right: float
    top: float
    bottom: float
    legend: tuple[tuple[float, float, str, str, str], ...] = ()
    x_low: float = 0.0
    x_high: float = 1.0
    y_low: float = 0.0
    y_high: float = 1.0

    @classmethod
    def of(cls, title: str, legend: Sequence[tuple[str, str, str]], size: Size) -> _Frame:
        """A picture with its title and, where there are several series, its legend, in as many rows as it needs."""
        width, height = _PIXELS[size]
        placed: list[tuple[float, float, str, str, str]] = []
        x, y = 2.0, 38.0
        for name, style, kind in legend if len(legend) > 1 else ():
            shown = visible(name)
            shown = shown if len(shown) <= 34 else shown[:33] + "…"
            needed = 44 + _CHARACTER * len(shown)
            if x > 2 and x + needed > width:
                x, y = 2.0, y + 18
            placed.append((x, y, shown, style, kind))
            x += needed
        top = y + 16 if placed else 34.0
        height += int(top) - 34
        return cls(title, width, height, 62, width - 14, top, height - 46, tuple(placed))

    def scaled(self, x_low: float, x_high: float, y_low: float, y_high: float, *, as_percent: bool = False) -> _Frame:
        """The same picture with ranges, and with room for the labels of the vertical axis."""
        labels = tick_labels(ticks(y_low, y_high), as_percent=as_percent)
        left = 34 + _CHARACTER * max(map(len, labels), default=0)
        return replace(self, left=left, x_low=x_low, x_high=x_high, y_low=y_low, y_high=y_high)

    def x(self, value: float) -> float:
        return self.left + (value - self.x_low) / (self.x_high - self.x_low) * (self.right - self.left)

    def y(self, value: float) -> float:
        return self.bottom - (value - self.y_low) / (self.y_high - self.y_low) * (self.bottom - self.top)

    def svg(self, key: str, description: str, parts: Sequence[Markup]) -> Markup:
        key = re.sub(r"[^A-Za-z0-9_-]", "-", key)
        legend = [
            Markup('<g class="legend {0} k-{1}"><path class="line" d="M{2:.1f},{3:.1f}h18"/>{4}</g>').format(
                style, kind, x, y - 4, _text(x + 24, y, name, "key")
            )
            for x, y, name, style, kind in self.legend
        ]
        return Markup(
            '<svg class="chart" role="img" aria-labelledby="{key}-title {key}-desc" viewBox="0 0 {width} {height}" '
            'xmlns="http://www.w3.org/2000/svg"><title id="{key}-title">{title}</title>'
            '<desc id="{key}-desc">{description}</desc>{body}</svg>'
        ).format(
            key=key,
            width=self.width,
            height=self.height,
            title=visible(self.title),
            description=visible(description),
            body=Markup("").join([_text(2, 15, self.title, "chart-title"), *legend, *parts]),
        )


def _array(values: Values) -> npt.NDArray[np.float64]:
    array = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    array[~(np.abs(array) <= _LARGEST)] = np.nan
    return array


def _widen(low: float, high: float, margin: float) -> tuple[float, float]:
    """A range with some air; a single value gets a range around it."""
    if high - low <= 1e-12 * max(abs(low), abs(high)):
        reach = 0.1 * abs(high) or 1.0
        return low - reach, high + reach
    return low - margin * (high - low), high + margin * (high - low)


def _labelled(values: Sequence[float], *, as_percent: bool = False) -> Iterator[tuple[float, str]]:
    return zip(values, tick_labels(values, as_percent=as_percent), strict=True)


def _text(x: float, y: float, text: str, style: str) -> Markup:
    return Markup('<text class="{}" x="{:.1f}" y="{:.1f}">{}</text>').format(style, x, y, visible(text))


def _no_data(frame: _Frame) -> Markup:
    return _text((frame.left + frame.right) / 2, (frame.top + frame.bottom) / 2, "no data", "axis-label middle")


def _axes(frame: _Frame, x_label: str, y_label: str, *, as_percent: bool) -> Iterator[Markup]:
    for at, label in _labelled(ticks(frame.y_low, frame.y_high, 5), as_percent=as_percent):
        y = frame.y(at)
        yield Markup('<path class="grid" d="M{:.1f},{:.1f}H{:.1f}"/>').format(frame.left, y, frame.right)
        yield _text(frame.left - 8, y + 4, label, "tick end")
    yield Markup('<path class="axis" d="M{:.1f},{:.1f}H{:.1f}"/>').format(frame.left, frame.bottom, frame.right)
    yield _text((frame.left + frame.right) / 2, frame.bottom + 38, x_label, "axis-label middle")
    middle = (frame.top + frame.bottom) / 2
    yield Markup('<text class="axis-label middle" transform="translate(13 {:.1f}) rotate(-90)">{}</text>').format(
        middle, visible(y_label)
    )


def _line(
    frame: _Frame, one: Series, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], *, as_percent: bool
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
) -> tuple[_Frame, list[Markup]]:
    """Axes and bars; the bars of one place share `1 - gap` of its width."""
    columns = [(name, style, _array(values)) for name, style, values in series]
    frame = _Frame.of(title, [(name, style, "bar") for name, style, _ in columns], size)
    finite = np.concatenate([values[np.isfinite(values)] for _, _, values in columns] or [np.empty(0)])
    if not finite.size or not len(names):
        return frame, [_no_data(frame)]
    low, high = min(0.0, float(finite.min())), max(0.0, float(finite.max()))
    _, high = _widen(low, high, 0.05) if high > low else (0.0, 1.0)
    frame = frame.scaled(0.0, float(len(names)), low, high, as_percent=as_percent)
    parts = list(_axes(frame, x_label, y_label, as_percent=as_percent))
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
