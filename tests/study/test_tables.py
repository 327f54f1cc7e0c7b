"""The tables of a study by hand, what findings say of them, and the Markdown that shows them."""

from __future__ import annotations

import re

import pytest
from study_folder import StudyFolder, whole_study

from turnwise.study.findings import findings
from turnwise.study.markdown import to_markdown, write_markdown
from turnwise.study.rendering import parts
from turnwise.study.results import Measure, Place, read_results
from turnwise.study.tables import (
    against_reference,
    along_mixtures,
    by_part,
    costs,
    detection,
    grid,
    recovered,
)

LOSS, ACCURACY = Measure("loss", "held-out"), Measure("accuracy", "held-out")


def small(tmp_path, value, metric="loss", **described):
    """Two mixtures, four methods, three seeds of one quality."""
    return read_results(StudyFolder(tmp_path / "s", **described).fill(metric, value, name="held-out").write())


@pytest.fixture
def whole(tmp_path):
    return read_results(whole_study(tmp_path / "whole").write())


def test_means_are_over_seeds_and_per_cent_is_of_the_untrained_model(tmp_path):
    """Base 4, plain 1, 2, 3 over seeds: mean 2, which is 50 % below 4. The base was measured once: no interval."""
    found = grid(small(tmp_path, lambda place, method, seed: 4.0 if method == "base" else 1.0 + seed), LOSS)
    plain, base = found.cells[Place("H", "plain")], found.cells[Place("H", "base")]
    assert (plain.mean, plain.n) == (2.0, 3)
    assert (base.mean, base.low, base.n) == (4.0, None, 1)
    assert found.percent[Place("H", "plain")] == -50.0
    assert Place("H", "base") not in found.percent


def test_differences_are_paired_by_seed_and_mixture(tmp_path):
    """ReSURE is 0.10, 0.11, 0.12 below plain on H, and as much above it on H+N."""

    def value(place, method, seed):
        harm = 0.1 + 0.01 * seed
        return 5.0 * seed + (0 if method != "resure" else harm if place else -harm)

    rows = {row.place: row for row in against_reference(small(tmp_path, value), LOSS)}
    first, second = rows[Place("H", "resure")], rows[Place("H+N", "resure")]
    assert first.difference.estimate.mean == pytest.approx(-0.11)
    assert (first.difference.above, first.difference.below, first.better) == (0, 3, 1)
    assert (second.difference.above, second.difference.below, second.better) == (3, 0, -1)
    assert rows[Place("H", "oracle")].better == 0
    assert set(rows) == {Place(mixture, method) for mixture in ("H", "H+N") for method in ("resure", "oracle")}


def test_for_accuracy_above_is_better(tmp_path):
    results = small(tmp_path, lambda p, m, s: 0.5 + (m == "resure") * (0.1 + 0.01 * s), metric="accuracy")
    assert [row.better for row in against_reference(results, ACCURACY) if row.place.method == "resure"] == [1, 1]


def test_half_of_the_damage_is_undone_by_design(whole):
    rows = {row.place: row.recovery for row in recovered(whole, LOSS)}
    assert rows[Place("H+N+L", "resure")].share.mean == pytest.approx(0.5, abs=0.01)
    assert rows[Place("H+N+L", "resure")].share.n == 2
    assert rows[Place("H", "resure")].reason == "nothing to recover: plain and oracle do not clearly differ"
    accuracy = {row.place: row.recovery for row in recovered(whole, ACCURACY)}
    assert accuracy[Place("H+N", "resure")].share.mean == pytest.approx(rows[Place("H+N", "resure")].share.mean)


def test_trends_say_what_was_built_in(whole):
    """Loss of plain rises along four mixtures; of the oracle it does not. Base (3) is the worst of five points."""
    rows = {row.method: row for row in along_mixtures(whole, LOSS)}
    assert set(rows) == {"plain", "resure", "oracle"}
    assert rows["plain"].of_means.rho == pytest.approx(-1)
    assert rows["plain"].of_means.p == pytest.approx(2 / 24)
    assert rows["plain"].with_base.rho == pytest.approx(0), "ranks of quality 1 5 4 3 2: sum d^2 = 20"
    assert rows["plain"].trend.verdict == "degrades"
    assert rows["oracle"].trend.verdict == "no clear change"
    assert {row.trend.verdict for row in along_mixtures(whole, ACCURACY) if row.method == "plain"} == {"degrades"}


def test_detection_turns_keys_and_costs_have_their_tables(whole):
    found = [(one.measure.metric, one.measure.part) for one in detection(whole)]
    assert found == [
        ("auroc_noise", ""),
        ("auroc_noise", "kind=swap"),
        ("auroc_noise_turn", ""),
        ("precision_at_flagged", ""),
        ("flag_rate", ""),
    ]
    assert [one.measure.part for one in by_part(whole, LOSS)] == ["turn 0", "turn 1", "turn 2"]
    assert [one.measure.part for one in by_part(whole, ACCURACY)] == ["distance=1", "distance=2"]
    by_method = {cost.method: cost for cost in costs(whole)}
    assert by_method["resure"].ratio == pytest.approx(1.25)
    assert by_method["resure"].pairs == 11, "one of its twelve cells has no results"
    assert by_method["plain"].means["supervised_tokens"] == 250_000
    assert by_method["plain"].ratio is None


def test_without_reference_oracle_or_base_the_tables_that_need_them_say_so(tmp_path):
    described = {"reference_method": None, "oracle_method": None, "methods": ["plain", "resure"]}
    results = small(tmp_path, lambda p, m, s: 1.0 + s, **described)
    missing = {part.id: part.missing for part in parts(results) if part.missing}
    assert missing["differences"] == "The study names no reference method."
    assert missing["recovered"] == "The study names no oracle method beside a reference method."
    assert missing["cells"] == "None: every cell has results."
    assert grid(results, LOSS).percent == {}
    assert along_mixtures(results, LOSS)[0].with_base is None


def test_findings_follow_the_numbers_whichever_way_they_fall(tmp_path):
    """The same study with ReSURE better, worse, and mixed: the sentence turns with the figures."""

    def told(name, harm):
        results = small(tmp_path / name, lambda p, m, s: 2.0 + (m == "resure") * harm(p) * (1 + 0.01 * s))
        return next(sentence for sentence in findings(results) if "resure is" in sentence)

    assert told("better", lambda place: -0.1) == (
        "Loss on held-out: resure is clearly better than plain with H (-0.1010) and H+N (-0.1010)."
    )
    assert told("worse", lambda place: 0.1).startswith("Loss on held-out: resure is clearly worse than plain with H (+")
    assert told("same", lambda place: 0.0) == (
        "Loss on held-out: resure is not clearly different from plain with any mixture."
    )
    mixed = told("mixed", lambda place: 0.1 if place else -0.1)
    assert "clearly better than plain with H (-0.1010) and clearly worse than plain with H+N (+0.1010)" in mixed


def test_the_share_undone_is_told_where_the_damage_is_largest(whole):
    told = [sentence for sentence in findings(whole) if "damage" in sentence]
    assert len(told) == 2
    assert told[0].startswith("Loss on held-out, H+N+L, where noise does most damage: the share undone is 50\u00a0% [")


def test_many_methods_are_summed_up_and_what_is_worse_is_named(tmp_path):
    """Nine methods on two mixtures: m0 is 0.1 better everywhere, m8 worse on the second, the others the same."""
    methods = ["plain", *(f"m{place}" for place in range(9))]

    def value(place, method, seed):
        harm = {"m0": -0.1, "m8": 0.1 * place}.get(method, 0.0)
        return 2.0 + seed + harm * (1 + 0.01 * seed)

    told = findings(small(tmp_path, value, methods=methods, oracle_method=None))
    assert "m0: clearly better than plain in 2 of 2 comparisons, clearly worse in 0." in told
    assert "m3: clearly better than plain in 0 of 2 comparisons, clearly worse in 0." in told
    worse = "clearly worse in 1: loss on held-out with H+N (+0.1010)."
    assert f"m8: clearly better than plain in 0 of 2 comparisons, {worse}" in told


def test_findings_name_what_limits_them(whole, tmp_path):
    sentences = findings(whole)
    assert "2 cells without results; the tables show what is there." in sentences
    assert "Loss on held-out: quality falls clearly as mixtures grow more complex for plain and resure." in sentences
    assert "Loss on held-out: quality does not clearly change along the mixtures for oracle." in sentences
    one = small(tmp_path, lambda p, m, s: 1.0 + p, seeds=[0])
    said = findings(one)
    assert "There is one seed: no figure has an interval and no difference can be clear." in said
    assert any("there are too few points: p could not be below 1 " in sentence for sentence in said)


def test_the_report_says_that_three_or_four_points_cannot_be_significant(whole):
    along = next(part for part in parts(whole) if part.id == "along")
    assert any("no order can have a p below 0.083" in text for text in along.text)
    verdicts = next(table for table in along.tables if "verdict" in table.caption)
    assert verdicts.rows[0][:5] == ["plain", "degrades", "-1.000", "0.00014 (0.00014)", "12"]
    assert verdicts.rows[0][7:9] == ["-1.000", "0.083 (0.083)"]


def test_markdown_is_the_same_every_time_and_its_tables_are_whole(tmp_path):
    folder = whole_study(tmp_path / "s").write()
    path = write_markdown(folder)
    text = path.read_text(encoding="utf-8")
    assert path == folder / "results.md"
    assert to_markdown(read_results(folder)) == text
    widths = {len(re.findall(r"(?<!\\)\|", line)) for line in text.splitlines() if line.startswith("| H+N |")}
    assert widths
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        lines = block.splitlines()
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1, lines[0]
    assert "n=2" in text
    assert "H+L/oracle/1" in text
    assert "\n\n\n" not in text


def test_hostile_names_stay_text_in_markdown(tmp_path):
    failed = [{"cell": "H/plain/0", "reason": "<script>|[x](javascript:1)`\nnew line"}]
    results = small(tmp_path, lambda p, m, s: 1.0, failed=failed)
    assert "| H/plain/0 | \\<script>\\|[x]\\(javascript:1)\\` new line |" in to_markdown(results)


def test_a_study_without_figures_still_has_a_page(tmp_path):
    text = to_markdown(read_results(StudyFolder(tmp_path / "s").write()))
    assert "The study measured no loss and no accuracy." in text
    assert "24 cells without results" in text
