"""The trainer against TRL's own, against itself in other splits, and after a kill."""

from __future__ import annotations

import json
import math

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from tiny import make_trainer, tiny_llama, token_rows, trace
from trl import SFTTrainer

from turnwise.errors import ConfigError, DataError, TrainingError
from turnwise.training.arguments import ReSUREConfig
from turnwise.training.ledger import LedgerWriter
from turnwise.training.trainer import STATE_NAME, ReSURETrainer

LAYOUTS = {
    "padded": {},
    "accumulated": {"gradient_accumulation_steps": 4, "per_device_train_batch_size": 2},
    "packed": {"packing": True, "packing_strategy": "bfd", "max_length": 64},
    "padding_free": {"padding_free": True, "max_length": None},
    "lora": {"peft": True},
}


def lora(wanted):
    return LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM") if wanted else None


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
def test_with_all_weights_one_and_token_reduction_losses_and_gradients_equal_trl_bit_for_bit(
    layout, tmp_path, token_tokenizer
):
    options = dict(LAYOUTS[layout])
    peft = options.pop("peft", False)
    plain = make_trainer(tmp_path / "a", token_tokenizer, cls=SFTTrainer, peft_config=lora(peft), **options)
    plain.train()
    ours = make_trainer(
        tmp_path / "b", token_tokenizer, peft_config=lora(peft), reduction="token", weighting=False, **options
    )
    ours.train()
    assert len(trace(plain)) == 20
    assert trace(ours) == trace(plain)


@pytest.mark.slow
@pytest.mark.parametrize("unit", ["dialogue", "turn"])
def test_with_all_weights_one_sample_reduction_is_the_mean_of_dialogue_means(unit, tmp_path, token_tokenizer):
    """Eq. 1 with w = 1, computed by hand from the model's logits for the first batch."""
    rows = token_rows(4)
    trainer = make_trainer(
        tmp_path, token_tokenizer, rows=rows, unit=unit, weighting=False, max_steps=1, learning_rate=0.0
    )
    trainer.train()
    means = []
    for row in rows:
        ids, labels = torch.tensor([row["input_ids"]]), torch.tensor([row["labels"]])
        means.append(tiny_llama()(input_ids=ids, labels=labels).loss.item())
    assert trace(trainer)[0][0] == pytest.approx(np.mean(means), abs=1e-5)


@pytest.mark.slow
def test_gradient_accumulation_is_exact_for_fixed_weights(tmp_path, token_tokenizer):
    """8 x 1, 4 x 2 and 2 x 4 dialogues per step give the same losses and gradients (sample reduction)."""
    traces = []
    for number, (size, steps) in enumerate([(8, 1), (4, 2), (2, 4)]):
        trainer = make_trainer(
            tmp_path / str(number),
            token_tokenizer,
            weighting=False,
            per_device_train_batch_size=size,
            gradient_accumulation_steps=steps,
            max_steps=6,
        )
        trainer.train()
        traces.append(trace(trainer))
    assert np.allclose(traces[0], traces[1], atol=2e-5)
    assert np.allclose(traces[0], traces[2], atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("unit", ["dialogue", "turn"])
def test_packed_and_padded_dialogues_have_the_same_losses(unit, tmp_path, token_tokenizer):
    """Attention does not leak between packed dialogues: at learning rate 0 every dialogue costs the same."""
    ledgers = []
    for name, options in {"padded": {}, "packed": {"packing": True, "max_length": 64}}.items():
        trainer = make_trainer(
            tmp_path / name,
            token_tokenizer,
            rows=token_rows(24),
            unit=unit,
            learning_rate=0.0,
            max_steps=-1,
            num_train_epochs=1,
            **options,
        )
        trainer.train()
        table = pq.read_table(tmp_path / name / "ledger.parquet").sort_by(
            [("dialogue_id", "ascending"), ("turn", "ascending")]
        )
        ledgers.append(table)
    padded, packed = ledgers
    for column in ("dialogue_id", "turn", "group", "num_tokens"):
        assert packed[column].to_pylist() == padded[column].to_pylist()
    assert np.allclose(packed["loss"], padded["loss"], atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("unit", ["dialogue", "turn"])
def test_ledger_rows_keep_the_dialogues_ids_through_shuffling_packing_and_epochs(unit, tmp_path, token_tokenizer):
    """Each dialogue has a length of its own, so its number of supervised tokens tells who it is."""
    rows = [
        {"id": f"own-{size}", "input_ids": [5] * (size + 2), "labels": [-100, -100, *[5] * size]}
        for size in range(3, 27)
    ]
    trainer = make_trainer(
        tmp_path,
        token_tokenizer,
        rows=rows,
        unit=unit,
        packing=True,
        max_length=40,
        shuffle_dataset=True,
        max_steps=-1,
        num_train_epochs=3,
    )
    trainer.train()
    table = pq.read_table(tmp_path / "ledger.parquet").to_pylist()
    assert len(table) == 24 * 3
    assert {(row["dialogue_id"], row["epoch"]) for row in table} == {
        (row["id"], epoch) for row in rows for epoch in range(3)
    }
    assert all(row["num_tokens"] == int(row["dialogue_id"].removeprefix("own-")) for row in table)
    assert all(row["turn"] == (0 if unit == "turn" else None) for row in table)


@pytest.mark.slow
def test_groups_are_the_number_of_supervised_turns_or_the_turn_index(tmp_path, token_tokenizer):
    """Labels in runs: 2 turns and 3 turns."""
    rows = [
        {"id": "two", "input_ids": list(range(3, 15)), "labels": [-100, 4, 5, -100, 7, *[-100] * 7]},
        {"id": "three", "input_ids": list(range(3, 15)), "labels": [-100, 4, -100, 6, -100, 8, *[-100] * 6]},
    ]
    found = {}
    for unit in ("dialogue", "turn"):
        trainer = make_trainer(tmp_path / unit, token_tokenizer, rows=rows, unit=unit, max_steps=1)
        trainer.train()
        table = pq.read_table(tmp_path / unit / "ledger.parquet").to_pylist()
        found[unit] = sorted((row["dialogue_id"], row["turn"], row["group"], row["num_tokens"]) for row in table)
    assert found["dialogue"] == [("three", None, 3, 3), ("two", None, 2, 3)]
    assert found["turn"] == [
        ("three", 0, 0, 1),
        ("three", 1, 1, 1),
        ("three", 2, 2, 1),
        ("two", 0, 0, 2),
        ("two", 1, 1, 1),
    ]


def resumable(tmp_path, tokenizer, **options):
    return make_trainer(
        tmp_path,
        tokenizer,
        warmup_dialogues=12,
        ramp_steps=3,
        statistics="corrected",
        half_life=60,
        gradient_accumulation_steps=2,
        save_strategy="steps",
        save_steps=1,
        max_steps=14,
        **options,
    )


@pytest.mark.slow
@pytest.mark.parametrize("kill_at", [3, 8])
def test_a_run_killed_and_resumed_equals_one_that_never_was(kill_at, tmp_path, token_tokenizer):
    """Parameters, statistics and ledger of a run that goes on from a checkpoint; the kill leaves rows."""
    whole = resumable(tmp_path / "whole", token_tokenizer)
    whole.train()

    killed = resumable(tmp_path / "killed", token_tokenizer)
    real, seen = killed.compute_loss, []

    def dies(*args, **kwargs):
        seen.append(1)
        if len(seen) == 2 * kill_at + 2:  # in the middle of a step after the checkpoint
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    killed.compute_loss = dies
    with pytest.raises(KeyboardInterrupt):
        killed.train()
    resumed = resumable(tmp_path / "killed", token_tokenizer)
    resumed.train(resume_from_checkpoint=str(tmp_path / "killed" / f"checkpoint-{kill_at}"))

    for name, parameter in whole.model.named_parameters():
        assert torch.equal(parameter, resumed.model.get_parameter(name)), name
    assert resumed.rule.state_dict() == whole.rule.state_dict()
    ledgers = [pq.read_table(tmp_path / run / "ledger.parquet").to_pylist() for run in ("whole", "killed")]
    assert ledgers[0] == ledgers[1]


@pytest.mark.slow
def test_a_checkpoint_of_another_trainer_is_refused(tmp_path, token_tokenizer):
    trainer = resumable(tmp_path, token_tokenizer)
    trainer.train()
    (tmp_path / "checkpoint-14" / STATE_NAME).unlink()
    with pytest.raises(TrainingError, match="no ReSURE state"):
        resumable(tmp_path, token_tokenizer).train(resume_from_checkpoint=str(tmp_path / "checkpoint-14"))


class Poisoned(torch.nn.Module):
    """An embedding in which one token is NaN, as an overflow would make it."""

    def __init__(self, inner, token):
        super().__init__()
        self.inner, self.token, self.weight = inner, token, inner.weight

    def forward(self, ids):
        return torch.where((ids == self.token)[..., None], torch.nan, self.inner(ids))


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"packing": True, "max_length": 64}], ids=["padded", "packed"])
def test_a_dialogue_with_a_non_finite_loss_is_left_out_and_named_and_training_goes_on(
    options, tmp_path, token_tokenizer
):
    """One of 24 dialogues is poisoned: the others train to finite parameters, as if its gradient were zero."""
    rows = [{**row, "input_ids": [max(3, token % 98) for token in row["input_ids"]]} for row in token_rows(24)]
    rows[7]["input_ids"][1] = 99
    model = tiny_llama()
    model.set_input_embeddings(Poisoned(model.get_input_embeddings(), 99))
    trainer = make_trainer(
        tmp_path,
        token_tokenizer,
        rows=rows,
        model=model,
        max_steps=-1,
        num_train_epochs=2,
        warmup_dialogues=8,
        **options,
    )
    trainer.train()
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())
    table = pq.read_table(tmp_path / "ledger.parquet").to_pylist()
    bad = [row for row in table if not math.isfinite(row["loss"])]
    assert [row["dialogue_id"] for row in bad] == ["d7", "d7"]
    assert [row["weight"] for row in bad] == [0.0, 0.0]
    assert trainer.rule.non_finite_seen == 2
    assert all(math.isfinite(loss) and math.isfinite(norm) for loss, norm in trace(trainer))


@pytest.mark.slow
def test_too_many_non_finite_losses_stop_the_run_with_a_count(tmp_path, token_tokenizer):
    model = tiny_llama()
    model.set_input_embeddings(Poisoned(model.get_input_embeddings(), 5))
    rows = [{"id": str(number), "input_ids": [3, 5, 4, 6], "labels": [-100, -100, 4, 6]} for number in range(40)]
    trainer = make_trainer(tmp_path, token_tokenizer, rows=rows, model=model)
    with pytest.raises(TrainingError, match="12 of 12 losses were not finite"):
        trainer.train()


@pytest.mark.slow
def test_evaluation_loss_is_never_weighted(tmp_path, token_tokenizer):
    """The same model evaluated by both trainers, ReSURE with statistics that would flag everything."""
    held_out = Dataset.from_list(token_rows(16, seed=5))
    plain = make_trainer(tmp_path / "a", token_tokenizer, cls=SFTTrainer, hooks={"eval_dataset": held_out})
    ours = make_trainer(tmp_path / "b", token_tokenizer, hooks={"eval_dataset": held_out}, warmup_dialogues=0)
    ours.rule.learn_unconditionally(np.array([0.1, 0.2] * 8), np.repeat(np.arange(8), 2))
    before = ours.rule.state_dict()
    assert ours.evaluate()["eval_loss"] == plain.evaluate()["eval_loss"]
    assert ours.rule.state_dict() == before


@pytest.mark.slow
def test_a_warmup_set_initialises_the_statistics_before_the_first_step(tmp_path, token_tokenizer):
    good = token_rows(20, seed=9)
    trainer = make_trainer(
        tmp_path, token_tokenizer, hooks={"warmup_dataset": Dataset.from_list(good)}, max_steps=1, warmup_dialogues=640
    )
    trainer.train()
    losses = {}
    for row in good:
        ids, labels = torch.tensor([row["input_ids"]]), torch.tensor([row["labels"]])
        turns = sum(
            label != -100 and before == -100
            for before, label in zip([-100, *row["labels"]], row["labels"], strict=False)
        )
        losses.setdefault(turns, []).append(tiny_llama()(input_ids=ids, labels=labels).loss.item())
    first_step = pq.read_table(tmp_path / "ledger.parquet").to_pylist()
    judged = [row for row in first_step if row["threshold"] is not None]
    assert judged, "the first step is judged already"
    for row in judged:
        group = losses[row["group"]]
        assert row["threshold"] == pytest.approx(np.mean(group) + np.std(group, ddof=1), abs=1e-4)


def test_settings_that_would_lose_the_dialogues_are_refused_by_name(tmp_path, token_tokenizer):
    for options, named in [
        ({"packing": True, "packing_strategy": "wrapped"}, "wrapped"),
        ({"loss_type": "dft"}, "dft"),
        ({"label_smoothing_factor": 0.1}, "label_smoothing_factor"),
        ({"hooks": {"data_collator": lambda rows: rows}}, "data_collator"),
    ]:
        with pytest.raises(ConfigError, match=named):
            make_trainer(tmp_path, token_tokenizer, **options)


def test_an_sft_config_is_refused_with_the_way_out(tmp_path, token_tokenizer):
    from trl import SFTConfig

    with pytest.raises(ConfigError, match="expects a ReSUREConfig, found SFTConfig"):
        ReSURETrainer(
            model=tiny_llama(),
            args=SFTConfig(str(tmp_path), bf16=False),
            train_dataset=Dataset.from_list(token_rows(4)),
            processing_class=token_tokenizer,
        )


def test_an_empty_data_set_is_an_error_not_a_crash(tmp_path, token_tokenizer):
    with pytest.raises(DataError, match="empty"):
        ReSURETrainer(
            model=tiny_llama(),
            args=ReSUREConfig(str(tmp_path), bf16=False),
            train_dataset=Dataset.from_dict({"messages": []}),
            processing_class=token_tokenizer,
        )


def test_trl_parser_reads_resures_options_from_a_command_line():
    from trl import TrlParser

    line = ["--output_dir", "x", "--unit", "turn", "--alpha", "1.5", "--statistics", "corrected", "--bf16", "false"]
    (config,) = TrlParser(ReSUREConfig).parse_args_and_config(line)
    assert (config.unit, config.alpha, config.statistics) == ("turn", 1.5, "corrected")
    assert config.weighting_config().alpha == 1.5
    assert config.assistant_only_loss


@pytest.mark.slow
def test_resures_metrics_reach_the_trainers_own_log(tmp_path, token_tokenizer):
    trainer = make_trainer(tmp_path, token_tokenizer, warmup_dialogues=16, ramp_steps=2)
    trainer.train()
    log = trainer.state.log_history[-2]
    for key in ("flag_rate", "mean_weight", "effective_share", "non_finite", "ramp", "unweighted_loss"):
        assert f"resure/{key}" in log
    assert any(key.startswith("resure/group_") and key.endswith("/threshold") for key in log)
    assert json.dumps(log)


def test_a_ledger_resumed_after_it_was_closed_keeps_only_the_steps_before(tmp_path):
    """Rows of steps 1 to 4, resumed from step 2: steps 1 and 2 stay, steps 3 and 4 are written anew."""

    def row(step):
        return {
            "dialogue_id": [f"d{step}"],
            "turn": [None],
            "group": [1],
            "epoch": [0],
            "step": [step],
            "num_tokens": [3],
            "loss": [1.0],
            "threshold": [None],
            "weight": [1.0],
            "flagged": [False],
        }

    writer = LedgerWriter(tmp_path)
    for step in (1, 2, 3, 4):
        writer.append(row(step))
    writer.close(4)
    writer = LedgerWriter(tmp_path, resume_step=2)
    for step in (3, 4):
        writer.append(row(step))
    writer.close(4)
    assert pq.read_table(tmp_path / "ledger.parquet")["step"].to_pylist() == [1, 2, 3, 4]
