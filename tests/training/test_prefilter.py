"""The prefilter: which dialogues are kept, joined from where, and that every one of them is accounted for."""

from __future__ import annotations

import json
import math

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnwise.config import load_config
from turnwise.data.write import write_dialogues
from turnwise.dialogue import Dialogue, Message
from turnwise.errors import ConfigError, DataError, RunError
from turnwise.training.fit import TrainConfig, fit
from turnwise.training.inputs import check_outside
from turnwise.training.prefilter import PrefilterConfig, best_share, prefilter

NAN = float("nan")


def talk(name, source=None, **metadata):
    messages = [Message("user", f"q {name}"), Message("assistant", "a")]
    return Dialogue(messages, id=name, source=source, metadata=metadata)


def kept(dialogues, **options):
    chosen, _ = prefilter(dialogues, PrefilterConfig(score="reward", **options))
    return [one.id for one in chosen]


# --- which are kept


@pytest.mark.parametrize(
    ("scores", "keep", "options", "expected"),
    [
        # ceil(0.75 * 4) = 3: all but the lowest, in the order they came in
        ([1, 4, 2, 3], 0.75, {}, [False, True, True, True]),
        ([1, 4, 2, 3], 0.75, {"higher_is_better": False}, [True, False, True, True]),
        # ceil(0.75 * 5) = ceil(3.75) = 4
        ([5, 4, 3, 2, 1], 0.75, {}, [True, True, True, True, False]),
        # at least one
        ([1, 2, 3], 0.01, {}, [False, False, True]),
        ([3, 1, 2], 1.0, {}, [True, True, True]),
        # of equal scores the earlier ones, whichever way is better
        ([1, 1, 1, 1], 0.5, {}, [True, True, False, False]),
        ([1, 1, 1, 1], 0.5, {"higher_is_better": False}, [True, True, False, False]),
        # what has no score is not counted: 0.5 of the two scores 1 and 2 is one
        ([None, 1, 2, None], 0.5, {}, [False, False, True, False]),
        ([None, 1, 2, None], 0.5, {"keep_missing": True}, [True, False, True, True]),
        # half of each group: the 2 of (1, 2), the 8 and 9 of (7, 8, 9), ceil(1.5) = 2
        ([1, 7, 2, 8, 9], 0.5, {"groups": list("ababb")}, [False, False, True, True, True]),
        # infinities have an order
        ([math.inf, -math.inf, 0.0], 0.5, {}, [True, False, True]),
        # negative scores are scores like any other
        ([-3.0, -1.0, -2.0], 0.34, {}, [False, True, True]),
        ([], 0.5, {}, []),
    ],
)
def test_the_best_share_by_hand(scores, keep, options, expected):
    assert best_share(scores, keep, **options) == expected


def test_the_share_is_exact_where_binary_fractions_are_not():
    """0.7 * 10 is 7.000000000000001 in binary, which would round up to 8."""
    assert sum(best_share(list(range(10)), 0.7)) == 7
    assert math.ceil(0.07 * 100) == 8
    assert sum(best_share(list(range(100)), 0.07)) == 7


SCORES = st.lists(st.none() | st.integers(-3, 3).map(float) | st.floats(allow_nan=False), max_size=40)


@given(SCORES, st.integers(1, 100).map(lambda percent: percent / 100), st.booleans())
def test_no_dropped_score_is_better_than_a_kept_one_and_the_count_is_the_rounded_up_share(scores, keep, higher):
    found = best_share(scores, keep, higher_is_better=higher)
    inside = [score for score, keeps in zip(scores, found, strict=True) if keeps]
    outside = [score for score, keeps in zip(scores, found, strict=True) if not keeps and score is not None]
    scored = len(scores) - scores.count(None)
    percent = round(keep * 100)
    assert len(inside) == -(-percent * scored // 100)
    assert None not in inside
    if inside and outside:
        assert min(inside) >= max(outside) if higher else max(inside) <= min(outside)


@given(SCORES, st.data())
def test_a_larger_share_keeps_all_that_a_smaller_one_keeps(scores, data):
    small = data.draw(st.integers(1, 100))
    large = data.draw(st.integers(small, 100))
    fewer, more = (best_share(scores, percent / 100) for percent in (small, large))
    assert all(more[number] for number, keeps in enumerate(fewer) if keeps)


@given(st.lists(st.tuples(st.floats(-9, 9), st.sampled_from("abc")), max_size=30))
def test_by_group_is_the_share_of_each_group_alone(pairs):
    scores, groups = [score for score, _ in pairs], [group for _, group in pairs]
    together = best_share(scores, 0.6, groups=groups)
    for name in set(groups):
        places = [number for number, group in enumerate(groups) if group == name]
        assert [together[place] for place in places] == best_share([scores[place] for place in places], 0.6)


# --- where the score is


def test_a_score_is_a_key_of_the_metadata_or_lies_deeper():
    dialogues = [talk("a", judge={"reward": 1}), talk("b", judge={"reward": 3}), talk("c", judge={"reward": 2})]
    chosen, decided = prefilter(dialogues, PrefilterConfig(score="judge.reward", keep=0.5))
    assert [one.id for one in chosen] == ["b", "c"]
    assert (decided.ids, decided.scores, decided.kept) == (["a", "b", "c"], [1, 3, 2], [False, True, True])
    dotted = [Dialogue(one.messages, metadata={"judge.reward": 5}) for one in dialogues]
    assert prefilter(dotted, PrefilterConfig(score="judge.reward"))[1].scores == [5, 5, 5]


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_scores_of_a_file_are_joined_by_id_whatever_their_order(kind, tmp_path):
    rows = [{"name": "c", "reward": 3.0}, {"name": "a", "reward": 1.0}, {"name": "elsewhere", "reward": 9.0}]
    rows.append({"name": "b", "reward": 2.0})
    path = tmp_path / f"scores.{kind}"
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    dialogues = [talk("a", reward=100), talk("b"), talk("c")]
    assert kept(dialogues, scores=str(path), id_key="name", keep=0.6) == ["b", "c"]


def test_half_of_each_source_rather_than_of_all():
    dialogues = [talk("a", "low", reward=1), talk("b", "low", reward=2), talk("c", "high", reward=8)]
    dialogues.append(talk("d", "high", reward=9))
    assert kept(dialogues, keep=0.5) == ["c", "d"]
    assert kept(dialogues, keep=0.5, by_source=True) == ["b", "d"]


@pytest.mark.parametrize("nothing", [{}, {"reward": None}, {"reward": NAN}])
def test_a_missing_score_is_an_error_or_dropped_or_kept_as_asked(nothing):
    dialogues = [talk("a", reward=1), talk("b", **nothing), talk("c", reward=2), talk("d", reward=3)]
    with pytest.raises(DataError, match="1 of 4 training dialogues have no score 'reward': 'b'"):
        kept(dialogues, keep=0.5)
    assert kept(dialogues, keep=0.5, missing="drop") == ["c", "d"]
    assert kept(dialogues, keep=0.5, missing="keep") == ["b", "c", "d"]
    _, decided = prefilter(dialogues, PrefilterConfig(score="reward", keep=0.5, missing="drop"))
    assert decided.dropped == {"score below the share to keep": 1, "no score": 1}
    assert decided.scores == [1, None, 2, 3]


def test_an_error_names_the_first_dialogues_without_a_score_and_what_there_is():
    dialogues = [talk(f"d{number}", rewrad=1) for number in range(5)]
    with pytest.raises(DataError, match=r"5 of 5 .*: 'd0', 'd1', 'd2', \.\.\.") as caught:
        kept(dialogues)
    assert "has the keys rewrad" in caught.value.hint
    with pytest.raises(DataError, match="leaves nothing: none of 5"):
        kept(dialogues, missing="drop")


@pytest.mark.parametrize("value", ["0.5", True, [1], {"a": 1}])
def test_a_score_that_is_no_number_is_refused_with_its_dialogue(value):
    with pytest.raises(DataError, match="dialogue 'b': expected a number as the score 'reward', found"):
        kept([talk("a", reward=1), talk("b", reward=value)], missing="drop")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"id": "a", "reward": 1}\n{"id": "a", "reward": 2}\n', r"scores:2: the dialogue 'a' has a score already"),
        ('{"id": "a", "reward": 1}\n{"reward": 2}\n', r"scores:2: expected a record with the dialogue's id under 'id'"),
        ('{"id": "a", "reward": 1}\n[1]\n', r"scores:2: expected a record"),
        ('{"id": "a", "reward": 1}\n{"id": "b", "reward": "x"}\n', r"scores:2: expected a number"),
        ('{"id": "a", "reward": 1}\n{"id": \n', r"scores:2: found broken JSON"),
        ('{"id": "b", "reward": 1}\n{"id": "c"}\n', r"1 of 1 training dialogues have no score 'reward': 'a'"),
        (None, "no such file of scores"),
    ],
)
def test_a_file_of_scores_that_cannot_be_joined_is_refused_with_its_line(text, message, tmp_path):
    if text is not None:
        (tmp_path / "scores").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        kept([talk("a")], scores=str(tmp_path / "scores"))


@pytest.mark.parametrize("keep", [0, -0.1, 1.1, NAN])
def test_a_share_outside_0_to_1_is_refused(keep):
    values = {"model": "m", "data": "d", "output": "o", "prefilter": {"score": "reward", "keep": keep}}
    with pytest.raises(ConfigError, match=r"prefilter\.keep"):
        load_config(TrainConfig, values=values)


# --- in a run


@pytest.fixture
def scored(tmp_path):
    """Dialogues d0 to d19 with rewards 0 to 19, a mute one among them."""
    path = tmp_path / "scored.jsonl"
    dialogues = [talk(f"d{number}", reward=number) for number in range(20)]
    dialogues.insert(3, Dialogue([Message("user", "mute")], id="mute", metadata={"reward": 99}))
    write_dialogues(dialogues, path)
    return path


def run(demo, scored, output, **changes):
    trainer = {"max_steps": -1, "num_train_epochs": 1, "logging_steps": 1, "save_strategy": "no"}
    tree = {"model": str(demo.base), "data": [str(scored)], "output": str(output), "trainer": trainer}
    return fit(load_config(TrainConfig, values={**tree, **changes}))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["vicuna", "resure", "baize"])
def test_a_run_trains_on_the_kept_dialogues_alone_and_accounts_for_the_rest(method, demo, scored, tmp_path):
    output = tmp_path / "run"
    result = run(demo, scored, output, method=method, prefilter={"score": "reward"})
    best = {f"d{number}" for number in range(5, 20)}  # ceil(0.75 * 20) = 15
    assert set(pq.read_table(output / "ledger.parquet")["dialogue_id"].to_pylist()) == best
    assert set(pq.read_table(output / "dialogues.parquet")["id"].to_pylist()) == best
    assert (result.summary["counts"]["train"], result.summary["counts"]["prefiltered"]) == (15, 5)
    outputs = {one["path"]: one for one in json.loads((output / "manifest.json").read_text())["outputs"]}
    assert outputs["prefilter.parquet"]["records_out"] == 20
    assert outputs["dialogues.parquet"]["dropped"] == {
        "no assistant reply": 1,
        "prefilter: score below the share to keep": 5,
    }
    for one in outputs.values():
        assert one["records_in"] == one["records_out"] + sum(one["dropped"].values())
    table = pq.read_table(output / "prefilter.parquet").to_pylist()
    assert table == [{"id": f"d{number}", "score": float(number), "kept": number >= 5} for number in range(20)]
    card = next(output.glob("*/README.md")).read_text(encoding="utf-8")
    assert "left out by the prefilter: 5" in card


@pytest.mark.slow
def test_dialogues_are_held_out_before_the_prefilter_so_that_they_stay_the_same(demo, scored, tmp_path):
    """Of 20 dialogues 4 are held out; of the other 16, ceil(0.5 * 16) = 8 are kept."""
    plain = run(demo, scored, tmp_path / "a", eval_size=4)
    halved = run(demo, scored, tmp_path / "b", eval_size=4, prefilter={"score": "reward", "keep": 0.5})
    assert [one.id for one in plain.eval_dialogues] == [one.id for one in halved.eval_dialogues]
    assert halved.summary["counts"]["train"] == 8
    dropped = json.loads((tmp_path / "b" / "manifest.json").read_text())["outputs"][1]["dropped"]
    assert dropped["held out (eval_size)"] == 4


@pytest.mark.slow
def test_a_resumed_run_refuses_scores_that_have_changed(demo, scored, tmp_path):
    scores = tmp_path / "scores.jsonl"
    scores.write_text("".join(f'{{"id": "d{number}", "s": {number}}}\n' for number in range(20)))
    changes = {"prefilter": {"score": "s", "scores": str(scores)}}
    run(demo, scored, tmp_path / "run", **changes)
    scores.write_text(scores.read_text().replace('"s": 7', '"s": 70'))
    settings = load_config(TrainConfig, tmp_path / "run" / "config.yaml")
    with pytest.raises(RunError, match=r"scores\.jsonl has changed since the run began"):
        fit(settings, resume=True)


def test_scores_are_not_read_from_the_folder_that_is_written(scored, tmp_path):
    scores = tmp_path / "run" / "scores.jsonl"
    scores.parent.mkdir()
    scores.write_text("{}")
    values = {"model": "m", "data": str(scored), "output": "o", "prefilter": {"score": "s", "scores": str(scores)}}
    with pytest.raises(ConfigError, match="lies in the output folder"):
        check_outside(load_config(TrainConfig, values=values), tmp_path / "run")
