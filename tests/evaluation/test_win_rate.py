"""Win rates by hand."""

from __future__ import annotations

import json

import pytest

from turnwise.errors import DataError
from turnwise.evaluation.win_rate import annotated_win_rates, judged_win_rates, read_annotations
from turnwise.judging.records import Judgment


def annotation(preference, model="m", baseline="b"):
    return {"preference": preference, "generator_1": baseline, "generator_2": model}


def test_the_win_rate_is_the_mean_preference_minus_one_with_its_standard_error(tmp_path):
    """Preferences 2, 1, 1.5, 1.9: wins 1, 0, .5, .9, mean 0.6. Deviations .4, -.6, -.1, .3: squares .16 + .36 + .01 +
    .09 = .62, over 3 is .206667, root .454606, over root 4 is .227303. Discrete: 2 wins and a tie of 4, 0.625."""
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps([annotation(value) for value in (2, 1, 1.5, 1.9)]))
    (rate,) = annotated_win_rates(read_annotations(path))
    assert (rate.model, rate.baseline, rate.row.n) == ("m", "b", 4)
    assert rate.row.mean == pytest.approx(0.6)
    assert rate.standard_error == pytest.approx(0.227303, abs=1e-6)
    assert rate.discrete == 0.625
    assert rate.row.counts == {"win": 2, "tie": 1, "loss": 1}
    assert 0 <= rate.row.low < 0.6 < rate.row.high <= 1


@pytest.mark.parametrize(
    ("model", "wins", "losses", "draws", "win_rate", "standard_error"),
    [
        ("gpt4", 614, 179, 12, 77.01863354037268, 1.46803688292698),
        ("guanaco-13b", 427, 373, 3, 53.36239103362392, 1.7582560332920765),
        ("text_davinci_003", 0, 0, 805, 50.0, 0.0),
        ("alpaca-7b", 252, 537, 16, 32.298136645962735, 1.630307861230374),
    ],
)
def test_published_counts_give_the_published_win_rate_and_error(model, wins, losses, draws, win_rate, standard_error):
    """Rows of AlpacaEval's leaderboard (`data_AlpacaEval/claude_leaderboard.csv`): of preferences without fractions
    only their numbers matter, and `n_wins`, `n_wins_base` and `n_draws` give those."""
    preferences = [2] * wins + [1] * losses + [1.5] * draws
    (rate,) = annotated_win_rates(annotation(value, model, "text_davinci_003") for value in preferences)
    assert rate.row.mean * 100 == pytest.approx(win_rate, abs=1e-9)
    assert rate.standard_error * 100 == pytest.approx(standard_error, abs=1e-9)
    assert rate.row.counts == {"win": wins, "tie": draws, "loss": losses}


def test_zero_is_a_draw_and_what_is_no_preference_is_counted():
    values = [0, 2, None, float("nan"), "A", True, 3, 0.5]
    (rate,) = annotated_win_rates([*map(annotation, values), {"generator_1": "b", "generator_2": "m"}])
    assert (rate.row.mean, rate.row.n) == (0.75, 2)
    assert rate.row.unscored == {"out_of_scale": 2, "unparsable": 5}


def test_each_pair_of_models_has_its_own_rate():
    rates = annotated_win_rates([annotation(2), annotation(1, model="n"), annotation(None, model="o")])
    assert [(rate.model, rate.row.mean, rate.standard_error) for rate in rates] == [
        ("m", 1.0, None),
        ("n", 0.0, None),
        ("o", None, None),
    ]


def test_an_annotation_without_generators_is_refused():
    with pytest.raises(DataError, match="annotation 2: expected the key 'generator_2'"):
        annotated_win_rates([annotation(1), {"preference": 1, "generator_1": "b"}])


def test_comparisons_of_our_own_count_ties_half():
    """Item 1 wins, item 2 flips (a tie): mean .75; values 1 and .5 have the deviation .353553, over root 2 is .25."""
    judgments = [
        Judgment(item, 0, "m", "j", winner=winner, baseline="b", position=position)
        for item, winners in (("1", ("model", "model")), ("2", ("model", "baseline")))
        for position, winner in zip(("first", "second"), winners, strict=True)
    ]
    (rate,) = judged_win_rates([*judgments, Judgment("1", 0, "m", "j", score=1.0)])
    assert (rate.model, rate.baseline, rate.row.mean, rate.row.n) == ("m", "b", 0.75, 2)
    assert rate.standard_error == pytest.approx(0.25)
