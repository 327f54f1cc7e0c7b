"""K-BENCH's arithmetic: the paper's averages, the scale, and tables whose values are worked out by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from k_bench_tables import ROWS

from turnwise.evaluation.k_bench_scores import (
    COVERAGE,
    DIALOGUE_METRICS,
    JUDGED,
    LEXICAL,
    TURN_METRICS,
    k_bench_average,
    k_bench_tables,
    metric_rows,
    metrics_verdict,
)
from turnwise.judging.records import Judgment

EXCEPTIONS = {(2, 1): 3.369, (3, 2): 3.316, (4, 6): 3.841}
"""Table and row, and what the row's own metrics come to: all that are more than 0.01 from the printed average. The
first prints its coverage rate divided by 20 (2.96) in the place of an average; the last is off by 0.0107, which the
rounding of its ten figures may explain."""


def average_of(row):
    return k_bench_average(dict(zip(JUDGED, row.metrics, strict=True)), row.coverage)


def test_all_rows_of_tables_2_to_5_are_there():
    assert [sum(row.table == table for row in ROWS) for table in (2, 3, 4, 5)] == [11, 12, 11, 18]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"table {row.table} row {row.number}")
def test_the_average_is_the_printed_one_within_a_hundredth_or_the_row_is_a_listed_exception(row):
    place = (row.table, row.number)
    if place in EXCEPTIONS:
        assert average_of(row) == pytest.approx(EXCEPTIONS[place], abs=0.0005)
        assert abs(average_of(row) - row.average) > 0.01
    else:
        assert average_of(row) == pytest.approx(row.average, abs=0.01)


def test_the_first_row_of_table_2_prints_its_coverage_rate_in_place_of_the_average():
    """59.18 / 20 = 2.959, printed 2.96."""
    assert ROWS[0].average == round(ROWS[0].coverage / 20, 2)


def test_an_average_of_fewer_than_eight_metrics_is_refused():
    with pytest.raises(ValueError, match="cohesion"):
        k_bench_average({name: 4.0 for name in JUDGED if name != "cohesion"}, 50.0)


def read(text, criteria=TURN_METRICS):
    return metrics_verdict(criteria)(text)


def test_a_half_is_read_in_full_as_a_number_and_in_quotes():
    verdict = read(
        '{"informativeness": 4.5, "understanding": "4.5", "usefulness": 5, "fidelity": 1, "flexibility": 3.0}'
    )
    assert verdict.scores == {
        "informativeness": 4.5,
        "understanding": 4.5,
        "usefulness": 5.0,
        "fidelity": 1.0,
        "flexibility": 3.0,
    }


@pytest.mark.parametrize("value", ['"not applicable"', '"Not applicable."', '"N/A"', "null"])
def test_not_applicable_is_unscored_for_fidelity_and_no_answer_for_anything_else(value):
    verdict = read(f'{{"fidelity": {value}, "usefulness": {value}, "flexibility": 4}}')
    assert verdict.unscored_criteria == {"fidelity": "not_applicable", "usefulness": "unparsable"}
    assert verdict.scores == {"flexibility": 4.0}


def test_a_score_between_the_steps_is_out_of_scale_and_kept_as_a_note():
    verdict = read('{"consistency": 4.3, "cohesion": 4.5, "interactivity": 2}', DIALOGUE_METRICS)
    assert verdict.scores == {"cohesion": 4.5, "interactivity": 2.0}
    assert verdict.unscored_criteria == {"consistency": "out_of_scale"}
    assert verdict.notes == {"off_step": {"consistency": 4.3}}


@given(st.integers(min_value=2, max_value=10))
def test_every_half_step_from_1_to_5_is_a_score(halves):
    assert read(f'{{"Score": {halves / 2}}}', ("cohesion",)).scores == {"cohesion": halves / 2}


def judgment(item, criterion, score=None, *, turn=None, unscored=None, language="en", judge="judge"):
    return Judgment(
        item, turn, "cod", judge, criterion, score=score, unscored=unscored, metadata={"language": language}
    )


def graded(item, score, coverage, *, turns=2, language="en"):
    """A dialogue with one score in everything."""
    found = [
        judgment(item, name, score, turn=turn, language=language) for name in TURN_METRICS for turn in range(turns)
    ]
    found += [judgment(item, name, score, language=language) for name in DIALOGUE_METRICS]
    return [*found, judgment(item, COVERAGE, coverage, language=language, judge="program")]


def test_a_dialogue_counts_once_however_many_turns_it_has():
    """A: one turn of 5. B: three turns of 1, 2 and 3, so 2. Mean of dialogues 3.5; over turns it would be 2.75."""
    found = [judgment("a", "understanding", 5, turn=0)]
    found += [judgment("b", "understanding", score, turn=turn) for turn, score in enumerate((1, 2, 3))]
    row = next(row for row in metric_rows(found) if row.name == "understanding")
    assert (row.mean, row.n) == (3.5, 2)


def test_the_average_row_is_the_mean_of_nine_parts():
    """A: all 4, coverage 60 % (3 points). B: all 2, coverage 20 % (1 point). Judged means 3, coverage 2: (8*3+2)/9."""
    rows = metric_rows([*graded("a", 4, 60.0), *graded("b", 2, 20.0, turns=5)])
    assert [row.name for row in rows] == ["average", *JUDGED, "coverage / 20"]
    assert rows[0].mean == pytest.approx(26 / 9)
    assert (rows[0].n, rows[0].counts) == (2, {"parts": 9})
    assert (rows[-1].mean, rows[1].mean) == (2.0, 3.0)
    # Every draw is A alone, B alone or both: the interval ends at their own averages.
    assert rows[0].low == pytest.approx((8 * 2 + 1) / 9)
    assert rows[0].high == pytest.approx((8 * 4 + 3) / 9)


def test_what_does_not_apply_is_counted_and_in_no_mean():
    found = [judgment("a", "fidelity", 4, turn=0), judgment("a", "fidelity", unscored="not_applicable", turn=1)]
    row = next(row for row in metric_rows(found) if row.name == "fidelity")
    assert (row.mean, row.n, row.unscored) == (4.0, 1, {"not_applicable": 1})


def test_without_coverage_there_is_no_average_but_every_other_row():
    found = [one for one in graded("a", 4, 60.0) if one.criterion != COVERAGE]
    rows = metric_rows(found)
    assert (rows[0].mean, rows[0].low, rows[0].n, rows[0].counts) == (None, None, 0, {"parts": 8})
    assert [row.mean for row in rows[1:]] == [4.0] * 8


def test_a_dialogue_without_fidelity_counts_in_the_other_parts_of_the_average():
    """B has no fidelity: its mean is A's 4 alone, the other seven are 3, coverage (3 + 1) / 2 = 2."""
    found = [one for one in graded("b", 2, 20.0) if one.criterion != "fidelity"]
    row = metric_rows([*graded("a", 4, 60.0), *found])[0]
    assert row.mean == pytest.approx((4 + 7 * 3 + 2) / 9)
    assert row.low is not None


def test_languages_have_tables_of_their_own_and_coverage_is_in_percent():
    tables = k_bench_tables([*graded("a", 4, 60.0), *graded("b", 2, 20.0, language="zh")])
    assert [table.title for table in tables] == [
        "K-BENCH, 1 to 5",
        "coverage rate, percent",
        "K-BENCH, en, 1 to 5",
        "K-BENCH, zh, 1 to 5",
    ]
    assert {row.name: row.mean for row in tables[1].rows} == {"all": 40.0, "en": 60.0, "zh": 20.0}
    assert tables[3].rows[0].mean == pytest.approx((8 * 2 + 1) / 9)


def test_coverage_alone_makes_one_table():
    (table,) = k_bench_tables([judgment("a", COVERAGE, 50.0, judge="program")])
    assert (table.measure, table.rows[0].mean, table.rows[0].n) == ("percent", 50.0, 1)


def test_coverage_by_words_has_its_own_table_and_is_in_no_average():
    found = [one for one in graded("a", 4, 60.0) if one.criterion != COVERAGE]
    tables = k_bench_tables([*found, judgment("a", LEXICAL, 90.0, judge="program")])
    assert [table.title for table in tables] == ["K-BENCH, 1 to 5", "coverage by words, percent"]
    assert tables[0].rows[0].mean is None
    assert tables[1].rows[0].mean == 90.0
