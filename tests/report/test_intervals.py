"""Charts of estimates: where points, intervals and bars stand."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from typing import Any

from turnwise.report.intervals import Form, Point, PointSeries, interval_chart

SVG = "{http://www.w3.org/2000/svg}"
NAMES = {"key": "k", "title": "Loss", "description": "d", "x_label": "mixture", "y_label": "loss"}


def draw(places: list[str], *series: PointSeries, form: Form = "lines", **options: Any) -> ElementTree.Element:
    return ElementTree.fromstring(str(interval_chart(places, series, form=form, **NAMES | options)))  # noqa: S314


def paths(svg: ElementTree.Element, style: str) -> list[str]:
    """Within the plot: the legend's lines are those that end in a horizontal stroke of 18."""
    found = [one.get("d") or "" for one in svg.iter(f"{SVG}path") if one.get("class") == style]
    return [path for path in found if not path.endswith("h18")]


def test_a_series_alone_stands_in_the_middle_of_its_places_with_its_interval() -> None:
    """Half width: the plot is from y = 34 to 244. Values 0 to 10 with 5 % air: -0.5 to 10.5, so 10 units are 190.9.

    Tick labels 0 to 10 ("0.0" to "10.0") put the left end at 60.4; two places of 182.8 each have middles at 151.8
    and 334.6. 0 is at 234.5, 5 at 139.0, 10 at 43.5.
    """
    svg = draw(["a", "b"], PointSeries("m", [Point(5.0, (0.0, 10.0)), Point(5.0)]))
    assert paths(svg, "line") == ["M151.8,139.0L334.6,139.0"]
    assert paths(svg, "whisker") == ["M151.8,234.5V43.5M147.8,234.5h8.0M147.8,43.5h8.0"]
    titles = [one.text for one in svg.iter(f"{SVG}title")]
    assert titles == ["Loss", "m, a: 5.000 [0, 10.00]", "m, b: 5.000"]


def test_series_stand_apart_and_in_the_same_order_at_every_place() -> None:
    svg = draw(["a", "b"], *(PointSeries(name, [Point(1.0), Point(2.0)]) for name in "xyz"))
    starts = [float(re.findall(r"[\d.]+", path)[0]) for path in paths(svg, "line")]
    assert starts == sorted(starts)
    assert starts[1] - starts[0] > 20


def test_what_of_an_interval_cannot_be_is_not_drawn_but_told() -> None:
    """An AUROC of 0.5 with an interval from -1 to 2 fills the picture from 0 to 1, and the axis ends near there."""
    svg = draw(["a"], PointSeries("m", [Point(0.5, (-1.0, 2.0))]), limits=(0.0, 1.0))
    _, low, high, *_ = map(float, re.findall(r"[\d.]+", paths(svg, "whisker")[0]))
    assert 34 < high < 50
    assert 230 < low < 244
    assert "m, a: 0.5000 [−1.000, 2.000]" in [one.text for one in svg.iter(f"{SVG}title")]


def test_a_gap_breaks_the_line() -> None:
    svg = draw(["a", "b", "c", "d"], PointSeries("m", [Point(1.0), None, Point(1.0), Point(2.0)]))
    assert [path.count("M") for path in paths(svg, "line")] == [2]
    assert len(list(svg.iter(f"{SVG}circle"))) == 3


def test_a_reference_is_dashed_without_points_also_over_one_place() -> None:
    svg = draw(["a"], PointSeries("base", [Point(3.0)], kind="dashed"), PointSeries("m", [Point(1.0)]))
    assert len(list(svg.iter(f"{SVG}circle"))) == 1
    assert re.fullmatch(r"M[\d.]+,[\d.]+H426\.0", paths(svg, "line")[0])


def test_bars_stand_on_zero_whichever_way_they_point() -> None:
    svg = draw(["a", "b"], PointSeries("m", [Point(1.0, (0.5, 1.5)), Point(-1.0, (-1.5, -0.5))]), form="bars")
    up, down = ((float(bar.get("y") or 0), float(bar.get("height") or 0)) for bar in svg.iter(f"{SVG}rect"))
    assert abs(up[0] + up[1] - down[0]) < 0.11
    assert abs(up[1] - down[1]) < 0.11
    assert len(paths(svg, "whisker")) == 2
    assert len(paths(svg, "zero")) == 1


def test_without_values_it_says_so() -> None:
    for form in ("lines", "bars"):
        svg = draw(["a"], PointSeries("m", [None]), form=form)  # type: ignore[arg-type]
        assert "no data" in [one.text for one in svg.iter(f"{SVG}text")]


def test_names_are_escaped_and_long_ones_are_cut_but_whole_on_hover() -> None:
    name = "<b>a very long name of a mixture that fits nowhere</b>"
    svg = draw([name] * 6, PointSeries(name, [Point(1.0)] * 6), title=name * 3)
    texts = [one.text or "" for one in svg.iter(f"{SVG}text")]
    assert texts[0].endswith("…")
    assert any(text.endswith("…") and len(text) < 12 for text in texts[1:])
    assert sum(one.text == name for one in svg.iter(f"{SVG}title")) == 6
