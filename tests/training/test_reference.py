"""The pass before training: what it measures, what it writes, and that the weights it gives are the ones used."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest
import torch
from datasets import Dataset
from tiny import answered_rows, make_trainer, sure_llama, trace

from turnwise.errors import ConfigError, TrainingError
from turnwise.training.reference import REFERENCE_NAME, opening, replies_alone
from turnwise.training.weights import PRESETS

ROBUST = {**PRESETS["robust"]}


@pytest.fixture(scope="module")
def answered():
    return answered_rows(40)


def trained(folder, tokenizer, rows, **options):
    trainer = make_trainer(folder, tokenizer, rows=rows, model=sure_llama(), **{"max_steps": 4, **ROBUST, **options})
    trainer.train()
    return trainer


def reference_of(folder):
    return pq.read_table(folder / REFERENCE_NAME).to_pylist()


def test_replies_stand_alone_behind_the_opening_and_keep_their_dialogue_and_turn():
    """Dialogue 3 has two stretches of turn 0 (a tool call between) and one of turn 1; 4 is packed into the same row."""
    packed = {
        "input_ids": [10, 11, 12, 13, 14, 15, 20, 21],
        "dialogue_ids": [3, 3, 3, 3, 3, 3, 4, 4],
        "turn_ids": [-1, 0, -1, 0, 1, 1, -1, 0],
        "labels": [-100, 11, -100, 13, 14, 15, -100, 21],
    }
    rows = replies_alone(Dataset.from_list([packed]), [7, 8]).to_list()
    assert sorted((row["dialogue_ids"][0], row["turn_ids"][-1], row["input_ids"], row["labels"]) for row in rows) == [
        (3, 0, [7, 8, 11, 13], [-100, -100, 11, 13]),
        (3, 1, [7, 8, 14, 15], [-100, -100, 14, 15]),
        (4, 0, [7, 8, 21], [-100, -100, 21]),
    ]
    assert all(row["turn_ids"][:2] == [-1, -1] for row in rows)


def test_a_tokenizer_without_a_template_opens_with_the_token_that_ends_a_text(token_tokenizer):
    assert opening(token_tokenizer) == [token_tokenizer.eos_token_id]


@pytest.mark.slow
def test_both_losses_equal_a_plain_forward_pass_of_the_starting_model(tmp_path, token_tokenizer, answered):
    """In context: mean over the turn's four tokens; alone: the same tokens behind the end token (id 2)."""
    rows, _ = answered
    trained(tmp_path, token_tokenizer, rows)
    reference = reference_of(tmp_path)
    assert len(reference) == 40 * 3
    model = sure_llama().eval()
    by_id = {row["id"]: row for row in rows}
    for found in reference[:12]:
        ids, labels = by_id[found["dialogue_id"]]["input_ids"], by_id[found["dialogue_id"]]["labels"]
        start = 8 * found["turn"] + 4
        only = [-100] * len(ids)
        only[start : start + 4] = labels[start : start + 4]
        alone = [2, *ids[start : start + 4]]
        with torch.no_grad():
            context = model(torch.tensor([ids]), labels=torch.tensor([only])).loss.item()
            bare = model(torch.tensor([alone]), labels=torch.tensor([[-100, *alone[1:]]])).loss.item()
        assert found["loss"] == pytest.approx(context, abs=1e-5)
        assert found["context_free_loss"] == pytest.approx(bare, abs=1e-5)


@pytest.mark.slow
def test_the_weights_tell_the_noise_apart_and_training_uses_them_every_time(tmp_path, token_tokenizer, answered):
    rows, noise = answered
    trainer = trained(tmp_path, token_tokenizer, rows, max_steps=20)
    weights = {(row["dialogue_id"], row["turn"]): row["weight"] for row in reference_of(tmp_path)}
    noisy = [weight for unit, weight in weights.items() if unit in noise]
    clean = [weight for unit, weight in weights.items() if unit not in noise]
    assert sum(noisy) / len(noisy) < 0.1
    assert sum(clean) / len(clean) > 0.9
    assert trainer.reliability.noise_share == pytest.approx(len(noise) / len(weights), abs=0.05)
    first = trainer.state.log_history[0]
    assert (first["step"], first["resure/noise_share"]) == (0, trainer.reliability.noise_share)
    ledger = pq.read_table(tmp_path / "ledger.parquet").to_pylist()
    assert {row["epoch"] for row in ledger} == {0, 1}
    for row in ledger:
        assert row["weight"] == pytest.approx(weights[row["dialogue_id"], row["turn"]], abs=1e-6)
        assert row["flagged"] == (weights[row["dialogue_id"], row["turn"]] < 0.5)


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"packing": True, "max_length": 96}, {"padding_free": True, "max_length": None}])
def test_packed_and_padding_free_data_are_judged_as_padded_ones(options, tmp_path, token_tokenizer, answered):
    rows, _ = answered
    found = {}
    for name, layout in {"padded": {}, "other": options}.items():
        trained(tmp_path / name, token_tokenizer, rows, max_steps=1, **layout)
        found[name] = {(row["dialogue_id"], row["turn"]): row for row in reference_of(tmp_path / name)}
    assert found["other"].keys() == found["padded"].keys()
    for unit, row in found["padded"].items():
        for column in ("loss", "context_free_loss", "weight"):
            assert found["other"][unit][column] == pytest.approx(row[column], abs=2e-4), (unit, column)


@pytest.mark.slow
def test_over_dialogues_the_losses_are_means_over_all_their_tokens(tmp_path, token_tokenizer, answered):
    rows, _ = answered
    trained(tmp_path / "turn", token_tokenizer, rows, max_steps=1)
    trained(tmp_path / "dialogue", token_tokenizer, rows, max_steps=1, unit="dialogue", dialogue_prior=None)
    turns: dict[str, list[dict]] = {}
    for row in reference_of(tmp_path / "turn"):
        turns.setdefault(row["dialogue_id"], []).append(row)
    for row in reference_of(tmp_path / "dialogue"):
        assert row["turn"] is None
        for column in ("loss", "context_free_loss"):
            mean = sum(turn[column] for turn in turns[row["dialogue_id"]]) / 3  # all turns have four tokens
            assert row[column] == pytest.approx(mean, abs=1e-5)


@pytest.mark.slow
def test_a_run_killed_and_resumed_keeps_the_weights_it_began_with(tmp_path, token_tokenizer, answered):
    """The resumed model is no longer the starting one, so judging it anew would give other weights."""
    rows, _ = answered
    options = {"save_strategy": "steps", "save_steps": 2, "max_steps": 6}
    whole = trained(tmp_path / "whole", token_tokenizer, rows, **options)
    trained(tmp_path / "killed", token_tokenizer, rows, **options)
    again = make_trainer(tmp_path / "killed", token_tokenizer, rows=rows, model=sure_llama(), **{**ROBUST, **options})
    again.train(resume_from_checkpoint=str(tmp_path / "killed" / "checkpoint-2"))
    assert trace(again) == trace(whole)
    for name, parameter in whole.model.named_parameters():
        assert torch.equal(parameter, again.model.get_parameter(name)), name
    assert reference_of(tmp_path / "killed") == reference_of(tmp_path / "whole")
    assert again.reliability.figures() == whole.reliability.figures()

    (tmp_path / "killed" / REFERENCE_NAME).unlink()
    lost = make_trainer(tmp_path / "killed", token_tokenizer, rows=rows, model=sure_llama(), **{**ROBUST, **options})
    with pytest.raises(TrainingError, match="cannot be resumed"):
        lost.train(resume_from_checkpoint=str(tmp_path / "killed" / "checkpoint-2"))


@pytest.mark.slow
def test_good_dialogues_correct_the_weights_to_exactly_one_on_data_like_them(tmp_path, token_tokenizer):
    clean, _ = answered_rows(24, noise_share=0.0)
    good, _ = answered_rows(16, noise_share=0.0, seed=5)
    trainer = make_trainer(
        tmp_path,
        token_tokenizer,
        rows=clean,
        model=sure_llama(),
        hooks={"warmup_dataset": Dataset.from_list(good)},
        **{**ROBUST, "max_steps": 1},
    )
    trainer.train()
    assert {row["weight"] for row in reference_of(tmp_path)} == {1.0}
    assert trainer.reliability.sources["all"]["false_share"] is not None


@pytest.mark.slow
@pytest.mark.parametrize("named", [True, False])
def test_each_source_is_judged_by_itself_where_the_data_name_them(named, tmp_path, token_tokenizer):
    """Half of the rows are called `a`, half `b`; without by_source, or without names, all are judged together."""
    many, _ = answered_rows(60, seed=3)
    many = [{**row, "source": "ab"[place % 2]} if named else row for place, row in enumerate(many)]
    judged = trained(tmp_path / "many", token_tokenizer, many, max_steps=1).reliability.sources
    assert {name: one["units"] for name, one in judged.items()} == ({"a": 90, "b": 90} if named else {"all": 180})
    together = trained(tmp_path / "together", token_tokenizer, many, max_steps=1, by_source=False).reliability
    assert set(together.sources) == {"all"}


def test_a_stream_is_refused_because_it_cannot_be_read_before_training(tmp_path, token_tokenizer, answered):
    rows, _ = answered
    stream = Dataset.from_list(rows).to_iterable_dataset()
    trainer = make_trainer(tmp_path, token_tokenizer, rows=rows, model=sure_llama(), **{**ROBUST, "max_steps": 1})
    trainer.train_dataset = stream
    with pytest.raises(ConfigError, match="stream"):
        trainer.begin_run()
