"""What every chart stands on: ticks at round numbers, the picture with title, legend and axes, text as SVG."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from turnwise.report.text import number, visible

Values = Sequence[float | None] | npt.NDArray[np.float64]

Size = Literal["wide", "half", "third"]
"""How much of the text width a chart takes."""

LARGEST = 1e150
"""Beyond it, differences of values overflow; such a value is drawn as a gap."""

CHARACTER = 6.6
"""Mean width of a character of 12 px text."""

TICKS: dict[Size, int] = {"wide": 10, "half": 5, "third": 3}
"""About how many ticks the horizontal axis has."""

_TITLE_CHARACTER = 8.8
_PIXELS: dict[Size, tuple[int, int]] = {"wide": (960, 320), "half": (440, 290), "third": (300, 250)}


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


@dataclass(frozen=True)
class Frame:
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
    def of(cls, title: str, legend: Sequence[tuple[str, str, str]], size: Size) -> Frame:
        """A picture with its title and, where there are several series, its legend, in as many rows as it needs."""
        width, height = _PIXELS[size]
        placed: list[tuple[float, float, str, str, str]] = []
        x, y = 2.0, 38.0
        for name, style, kind in legend if len(legend) > 1 else ():
            shown = visible(name)
            shown = shown if len(shown) <= 34 else shown[:33] + "…"
            needed = 44 + CHARACTER * len(shown)
            if x > 2 and x + needed > width:
                x, y = 2.0, y + 18
            placed.append((x, y, shown, style, kind))
            x += needed
        top = y + 16 if placed else 34.0
        height += int(top) - 34
        return cls(title, width, height, 62, width - 14, top, height - 46, tuple(placed))

    def scaled(self, x_low: float, x_high: float, y_low: float, y_high: float, *, as_percent: bool = False) -> Frame:
        """The same picture with ranges, and with room for the labels of the vertical axis."""
        labels = tick_labels(ticks(y_low, y_high), as_percent=as_percent)
        left = 34 + CHARACTER * max(map(len, labels), default=0)
        return replace(self, left=left, x_low=x_low, x_high=x_high, y_low=y_low, y_high=y_high)

    def x(self, value: float) -> float:
        """Pixels from the left."""
        return self.left + (value - self.x_low) / (self.x_high - self.x_low) * (self.right - self.left)

    def y(self, value: float) -> float:
        """Pixels from the top."""
        return self.bottom - (value - self.y_low) / (self.y_high - self.y_low) * (self.bottom - self.top)

    def svg(self, key: str, description: str, parts: Sequence[Markup]) -> Markup:
        """The whole picture; `key` distinguishes its element ids from those of other charts on the page."""
        key = re.sub(r"[^A-Za-z0-9_-]", "-", key)
        room = int(self.width / _TITLE_CHARACTER)
        heading = self.title if len(self.title) <= room else self.title[: room - 1] + "…"
        legend = [
            Markup('<g class="legend {0} k-{1}"><path class="line" d="M{2:.1f},{3:.1f}h18"/>{4}</g>').format(
                style, kind, x, y - 4, text_at(x + 24, y, name, "key")
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
            body=Markup("").join([text_at(2, 15, heading, "chart-title"), *legend, *parts]),
        )


def as_array(values: Values) -> npt.NDArray[np.float64]:
    """Values with gaps as NaN."""
    array = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    array[~(np.abs(array) <= LARGEST)] = np.nan
    return array


def widen(low: float, high: float, margin: float) -> tuple[float, float]:
    """A range with some air; a single value gets a range around it."""
    if high - low <= 1e-12 * max(abs(low), abs(high)):
        reach = 0.1 * abs(high) or 1.0
        return low - reach, high + reach
    return low - margin * (high - low), high + margin * (high - low)


def labelled(values: Sequence[float], *, as_percent: bool = False) -> Iterator[tuple[float, str]]:
    """Ticks with their labels."""
    return zip(values, tick_labels(values, as_percent=as_percent), strict=True)


def text_at(x: float, y: float, text: str, style: str) -> Markup:
    """Text at a place, in a class of the style sheet."""
    return Markup('<text class="{}" x="{:.1f}" y="{:.1f}">{}</text>').format(style, x, y, visible(text))


def no_data(frame: Frame) -> Markup:
    """What stands in place of a plot without values."""
    return text_at((frame.left + frame.right) / 2, (frame.top + frame.bottom) / 2, "no data", "axis-label middle")


def category_labels(frame: Frame, categories: Sequence[str]) -> Iterator[Markup]:
    """Names under the middles of equal parts of the axis; one that is too long is cut, and whole on hover."""
    width = (frame.right - frame.left) / max(1, len(categories))
    room = max(3, int(width / CHARACTER))
    for position, category in enumerate(categories):
        shown = category if len(category) <= room else category[: room - 1] + "…"
        x = frame.left + (position + 0.5) * width
        label = text_at(x, frame.bottom + 16, shown, "tick middle")
        yield label if shown == category else Markup("<g><title>{}</title>{}</g>").format(visible(category), label)


def axes(frame: Frame, x_label: str, y_label: str, *, as_percent: bool) -> Iterator[Markup]:
    """Grid lines with their values, the horizontal axis, and the names of both."""
    for at, label in labelled(ticks(frame.y_low, frame.y_high, 5), as_percent=as_percent):
        y = frame.y(at)
        yield Markup('<path class="grid" d="M{:.1f},{:.1f}H{:.1f}"/>').format(frame.left, y, frame.right)
        yield text_at(frame.left - 8, y + 4, label, "tick end")
    yield Markup('<path class="axis" d="M{:.1f},{:.1f}H{:.1f}"/>').format(frame.left, frame.bottom, frame.right)
    yield text_at((frame.left + frame.right) / 2, frame.bottom + 38, x_label, "axis-label middle")
    middle = (frame.top + frame.bottom) / 2
    yield Markup('<text class="axis-label middle" transform="translate(13 {:.1f}) rotate(-90)">{}</text>').format(
        middle, visible(y_label)
    )
