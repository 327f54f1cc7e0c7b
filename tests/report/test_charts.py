"""Charts: what is drawn, where, and that odd data never breaks the picture."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnwise.report.charts import Series, downsample, grouped_bars, histogram, line_chart
from turnwise.report.frame import tick_labels, ticks

SVG = "{http://www.w3.org/2000/svg}"
WORDS: dict[str, Any] = {
    "key": "c",
    "title": "Loss",
    "description": "It fell.",
    "x_label": "step",
    "y_label": "loss (nats per token)",
}


def parse(markup: str) -> ElementTree.Element:
    return ElementTree.fromstring(str(markup))  # noqa: S314 - our own output


def draw(x: list[float], y: list[Any], **options: Any) -> ElementTree.Element:
    return parse(line_chart([Series("train", x, y)], **(WORDS | {"size": "half"} | options)))


def lines(svg: ElementTree.Element) -> list[str]:
    return [
        path.get("d", "")
        for group in svg.iter(f"{SVG}g")
        if "series" in group.get("class", "")
        for path in group.iter(f"{SVG}path")
    ]


def texts(svg: ElementTree.Element) -> list[str]:
    return [element.text or "" for element in svg.iter(f"{SVG}text")]


def test_ticks_are_round_numbers_inside_the_range() -> None:
    assert ticks(0, 10) == [0, 2, 4, 6, 8, 10]
    assert ticks(0.13, 0.97, 4) == pytest.approx([0.25, 0.5, 0.75])
    assert ticks(-1, 1, 4) == pytest.approx([-1, -0.5, 0, 0.5, 1])
    assert ticks(0, 3, 10, integer=True) == [0, 1, 2, 3]
    assert ticks(5, 5) == [5]


@pytest.mark.parametrize(("low", "high"), [(1, 0), (math.nan, 1), (0, math.inf), (-1.7e308, 1.7e308)])
def test_ticks_of_a_range_that_is_none_are_refused(low: float, high: float) -> None:
    with pytest.raises(ValueError, match="expected finite bounds"):
        ticks(low, high)


@given(st.floats(-1e12, 1e12), st.floats(1e-6, 1e12), st.integers(2, 10))
def test_ticks_lie_in_the_range_evenly_and_are_not_many(low: float, reach: float, count: int) -> None:
    """The step is at least (high - low) / count, so at most count + 1 ticks fit; and at most 2.5 times that."""
    high = low + reach
    if high - low < 1e-3 * abs(low):
        return
    found = ticks(low, high, count)
    assert len(found) <= count + 1
    slack = 1e-6 * (high - low)
    assert all(low - slack <= tick <= high + slack for tick in found)
    steps = np.diff(found)
    assert np.allclose(steps, steps[:1], rtol=1e-6)
    if steps.size:
        mantissa = steps[0] / 10 ** math.floor(math.log10(steps[0]) + 1e-9)
        assert min(abs(mantissa - round_one) for round_one in (1, 2, 2.5, 5, 10)) < 1e-6


def test_tick_labels_have_the_decimals_that_their_distance_needs() -> None:
    assert tick_labels([0, 0.25, 0.5]) == ["0.00", "0.25", "0.50"]
    assert tick_labels([0, 1000, 2000]) == ["0", "1,000", "2,000"]
    assert tick_labels([-1, 0, 1]) == ["−1", "0", "1"]
    assert tick_labels([0, 0.05, 0.1], as_percent=True) == ["0 %", "5 %", "10 %"]
    assert tick_labels([0, 2.5e-6, 5e-6]) == ["0", "2.5e−06", "5e−06"]
    assert tick_labels([]) == []


def test_points_are_drawn_to_scale() -> None:
    """Half width is 440 x 290 with 34 above and 46 below: the plot is 210 high, from y = 244 up to 34.

    The range 0 to 10 with 5 % air ends at 10.5, its labels ("0.0" to "10.0") need 34 + 4 * 6.6 = 60.4 on the left,
    and the right end is 440 - 14. So (0, 0) is at (60.4, 244) and (1, 10) at (426, 244 - 210 * 10 / 10.5 = 44).
    """
    assert lines(draw([0, 1], [0, 10], from_zero=True)) == ["M60.4,244.0L426.0,44.0"]


def test_a_gap_breaks_the_line_and_a_lonely_point_is_a_dot() -> None:
    x = list(range(50))
    y: list[Any] = [1.0] * 20 + [None] + [2.0] * 20 + [math.nan, 3.0, math.inf] + [1.0] * 6
    svg = draw(x, y)
    assert [path.count("M") for path in lines(svg)] == [4]
    assert len(list(svg.iter(f"{SVG}circle"))) == 1


def test_short_series_show_each_point_with_its_value() -> None:
    titles = [title.text for title in draw([0, 1], [0.5, 0.25], as_percent=True).iter(f"{SVG}title")]
    assert titles == ["Loss", "train, 0: 50 %", "train, 1: 25 %"]


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ([], []),
        ([1], [math.nan]),
        ([1, 2], [None, None]),
        ([1, 2], [math.inf, -math.inf]),
        ([1, 2], [1e308, -1e308]),
    ],
)
def test_nothing_to_draw_says_so(x: list[float], y: list[Any]) -> None:
    svg = draw(x, y)
    assert "no data" in texts(svg)
    assert lines(svg) == []


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ([3], [2.5]),
        ([0], [0]),
        ([1, 2], [7, 7]),
        ([1, 2], [1e149, -1e149]),
        ([1, 2], [1e-300, 2e-300]),
        ([1, 2, 3], [1, 1e308, 2]),
        ([1, 2], [1e15, 1e15 + 1]),
    ],
)
def test_odd_values_are_drawn_inside_the_picture(x: list[float], y: list[Any]) -> None:
    svg = draw(x, y)
    numbers = [float(text) for text in re.findall(r"[-\d.]+", "".join(lines(svg)))]
    numbers += [float(dot.get(side, "nan")) for dot in svg.iter(f"{SVG}circle") for side in ("cx", "cy")]
    assert numbers
    assert all(0 <= value <= 440 for value in numbers)
    assert not re.search(r"\b(nan|inf)\b", ElementTree.tostring(svg, encoding="unicode"))


def test_a_chart_is_named_and_described_for_screen_readers() -> None:
    svg = draw([0, 1], [1, 2])
    assert svg.get("role") == "img"
    named = svg.get("aria-labelledby", "").split()
    found = {element.get("id"): element.text for element in svg if element.get("id")}
    assert [found[name] for name in named] == ["Loss", "It fell."]
    assert {"step", "loss (nats per token)"} <= set(texts(svg))


def test_a_legend_names_several_series_and_only_them() -> None:
    both = parse(
        line_chart([Series("a", [0, 1], [1, 2]), Series("b", [0, 1], [2, 1], "s1"), Series("", [0], [1])], **WORDS)
    )
    assert len([group for group in both.iter(f"{SVG}g") if "legend" in group.get("class", "")]) == 2
    alone = draw([0, 1], [1, 2])
    assert not [group for group in alone.iter(f"{SVG}g") if "legend" in group.get("class", "")]


def test_names_are_text_and_never_markup() -> None:
    hostile = "</title><script>alert(1)</script>\u202e"
    options = WORDS | {"title": hostile, "x_label": hostile, "description": hostile, "key": '"><script>'}
    markup = line_chart([Series(hostile, [0, 1], [1, 2]), Series("b", [0], [1])], **options)
    assert "<script" not in markup
    assert "\u202e" not in markup
    assert "[U+202E]" in next(parse(markup).iter(f"{SVG}title")).text


def test_no_chart_holds_a_style_attribute_or_a_reference() -> None:
    charts = [
        line_chart([Series("a", [0, 1], [1, 2])], **WORDS),
        grouped_bars(["0"], [("a", "s0", [1])], **WORDS),
    ]
    assert not any(re.search(r"style=|href=|url\(|<script", str(chart)) for chart in charts)


def test_downsampling_keeps_a_spike_and_the_ends() -> None:
    y = np.zeros(100_000)
    y[54_321] = 9.0
    x_kept, y_kept = downsample(np.arange(100_000), y, 400)
    assert len(x_kept) <= 400
    assert (x_kept[0], x_kept[-1]) == (0, 99_999)
    assert x_kept[y_kept == 9.0].tolist() == [54_321]


@given(st.lists(st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True)), max_size=300), st.integers(4, 60))
def test_downsampling_picks_points_in_order_and_keeps_the_extremes(values: list[float | None], cap: int) -> None:
    x, y = downsample(list(range(len(values))), values, cap)
    assert len(x) <= cap or len(x) == len(values) <= cap
    assert np.all(np.diff(x) > 0)
    drawable = [value for value in values if value is not None and abs(value) <= 1e150]
    if drawable:
        assert np.nanmin(y) == min(drawable)
        assert np.nanmax(y) == max(drawable)
    else:
        assert np.isnan(y).all()


def test_a_long_gap_stays_a_gap_when_thinned_out() -> None:
    y = np.ones(10_000)
    y[3_000:7_000] = np.nan
    svg = draw(list(range(10_000)), y.tolist())
    assert [path.count("M") for path in lines(svg)] == [2]


def rectangles(svg: ElementTree.Element) -> list[tuple[str, float, float]]:
    return [
        (rect[0].text or "", float(rect.get("y", "nan")), float(rect.get("height", "nan")))
        for rect in svg.iter(f"{SVG}rect")
    ]


def test_bars_start_at_zero_and_are_as_high_as_their_values() -> None:
    found = rectangles(parse(grouped_bars(["0", "1"], [("base", "s0", [1, 2]), ("final", "s1", [4, None])], **WORDS)))
    assert [name for name, _, _ in found] == ["base, 0: 1.000", "base, 1: 2.000", "final, 0: 4.000"]
    heights = [height for _, _, height in found]
    assert [height / heights[0] for height in heights] == pytest.approx([1, 2, 4], rel=0.01)
    assert len({round(y + height, 1) for _, y, height in found}) == 1


def test_bars_of_negative_values_hang_from_zero() -> None:
    (_, up, up_height), (_, down, _) = rectangles(parse(grouped_bars(["a", "b"], [("d", "s0", [2, -1])], **WORDS)))
    assert down == pytest.approx(up + up_height, abs=0.2)


def test_a_histogram_has_a_bar_per_bin_and_round_ticks() -> None:
    svg = parse(histogram([0, 0.25, 0.5, 0.75, 1], [("all", "s0", [0.1, 0, 0.2, 0.7])], **WORDS, as_percent=True))
    assert rectangles(svg)[0][0] == "all, 0 to 0.25: 10 %"
    assert len(rectangles(svg)) == 4
    assert {"0.0", "0.5", "1.0"} <= set(texts(svg))


@pytest.mark.parametrize("values", [[], [None], [math.nan], [0.0]])
def test_bars_without_values_do_not_fail(values: list[Any]) -> None:
    svg = parse(grouped_bars(["a"] * len(values), [("d", "s0", values)], **WORDS))
    assert ("no data" in texts(svg)) == (values != [0.0])
