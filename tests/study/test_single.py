"""What is measured after a run, and where it is written."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest
from demo import run_main

from turnwise.config import load_config
from turnwise.data.read import read_dialogues
from turnwise.evaluation.dialogue_loss import as_list, dialogue_loss, loss_figures
from turnwise.evaluation.loss import HeldOutLoss, Tally
from turnwise.study import single
from turnwise.study.single import evaluate_run
from turnwise.training.fit import TrainConfig, fit

pytestmark = pytest.mark.slow


def train(demo, output, **changes):
    trainer = {"max_steps": 3, "logging_steps": 1, "per_device_train_batch_size": 4, **changes.pop("trainer", {})}
    values = {"model": str(demo.base), "data": [str(demo.train)], "output": str(output), "trainer": trainer}
    return fit(load_config(TrainConfig, values={**values, **changes}))


def test_the_summary_gains_held_out_loss_and_the_ledgers_auroc(demo, tmp_path):
    result = train(demo, tmp_path / "run", eval_data=[str(demo.held_out)], trainer={"max_steps": 10})
    summary = evaluate_run(result)
    assert json.loads((tmp_path / "run" / "summary.json").read_text()) == summary
    assert summary["steps"] == 10
    final = summary["eval"]["final"]
    by_hand = sum(
        loss * tokens for loss, tokens in zip(final["loss_by_turn"], final["tokens_by_turn"], strict=True)
    ) / sum(final["tokens_by_turn"])
    assert final["loss"] == pytest.approx(by_hand, rel=1e-9)
    assert final["tokens"] == sum(final["tokens_by_turn"])
    assert set(final["loss_by_source"]) == {"world"}
    assert summary["noise"]["units"] == 40
    assert summary["noise"]["noise_share"] == 0.25  # swap_replies(..., 0.25): 10 of 40
    assert summary["auroc_noise"] == summary["noise"]["auroc"]


def test_without_held_out_data_labels_or_ledger_there_is_nothing_to_add(demo, tmp_path):
    summary = evaluate_run(train(demo, tmp_path / "a", data=[str(demo.warmup)]))
    assert "eval" not in summary
    assert "noise" not in summary
    assert summary["auroc_noise"] is None
    summary = evaluate_run(train(demo, tmp_path / "b", trainer={"ledger": False}))
    assert summary["auroc_noise"] is None
    assert not (tmp_path / "b" / "ledger.parquet").exists()


def test_the_command_works_without_a_ledger(demo, tmp_path, monkeypatch, capsys):
    command = ["train", "--model", demo.base, "--data", demo.train, "--output", tmp_path / "run", "--json"]
    options = ["--set", "trainer.ledger=false", "--set", "trainer.max_steps=1"]
    code, out, _ = run_main(monkeypatch, capsys, *command, *options)
    assert code == 0
    assert json.loads(out.splitlines()[-1])["auroc_noise"] is None
    code, _, err = run_main(monkeypatch, capsys, "ledger", tmp_path / "run")
    assert code == 2
    assert "no ledger found" in err


def test_dialogues_that_cannot_be_encoded_are_left_out_of_the_loss(demo):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from turnwise.dialogue import Dialogue, Message

    model, tokenizer = AutoModelForCausalLM.from_pretrained(demo.base), AutoTokenizer.from_pretrained(demo.base)
    good = list(read_dialogues(demo.held_out))[:5]
    bad = [Dialogue([Message("user", [{"type": "image", "image": "x"}]), Message("assistant", "a")], id="image")]
    alone = dialogue_loss(model, tokenizer, good, max_length=None)
    mixed = dialogue_loss(model, tokenizer, [*bad, *good], max_length=None)
    assert mixed.loss == pytest.approx(alone.loss, rel=1e-9)
    assert mixed.overall.tokens == alone.overall.tokens


def test_figures_are_lists_over_turns_with_holes():
    measured = HeldOutLoss(Tally(6.0, 4), {0: Tally(2.0, 2), 2: Tally(4.0, 2)}, {"s": Tally(6.0, 4)})
    figures = loss_figures(measured)
    assert figures["loss_by_turn"] == [1.0, None, 2.0]
    assert figures["tokens_by_turn"] == [2, None, 2]
    assert (figures["loss"], figures["tokens"], figures["loss_by_source"]) == (1.5, 4, {"s": 1.5})
    assert as_list({}) == []


def test_a_run_that_flagged_nearly_everything_says_so():
    """Above nine tenths the thresholds no longer describe the model; below, nothing is said."""
    assert single._cautions(None) == []
    assert single._cautions(0.85) == []
    (caution,) = single._cautions(0.997)
    assert "100% of what was judged in the last epoch was flagged" in caution
    assert "raise resure.alpha" in caution


def test_the_last_flag_rate_counts_the_judged_units_of_the_last_epoch_only(demo, tmp_path):
    result = train(
        demo,
        tmp_path / "run",
        resure={"warmup_dialogues": 4, "ramp_steps": 0},
        trainer={"max_steps": -1, "num_train_epochs": 2},
    )
    summary = evaluate_run(result)
    rows = pq.read_table(tmp_path / "run" / "ledger.parquet").to_pylist()
    judged = [row["flagged"] for row in rows if row["epoch"] == 1 and row["threshold"] is not None]
    assert judged
    assert summary["last_flag_rate"] == pytest.approx(sum(judged) / len(judged))
