"""The quickstart leaves what it promises, and its sentences follow from the numbers."""

from __future__ import annotations

import json
from functools import partial

import pytest
import torch

from turnwise.evaluation.accuracy import AccuracyByTurn, Answer
from turnwise.report.build import build_report
from turnwise.study import quickstart
from turnwise.study.base_model import BaseRecipe
from turnwise.study.quickstart import QuickstartConfig, run_quickstart


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def small(tmp_path, **options):
    return QuickstartConfig(
        output=str(tmp_path / "quickstart"), num_train=24, num_eval=6, num_warmup=8, max_steps=2, **options
    )


@pytest.mark.slow
def test_the_quickstart_leaves_comparable_figures_three_runs_and_a_report(tmp_path):
    told = []
    summary = run_quickstart(small(tmp_path), tell=told.append)
    folder = tmp_path / "quickstart"
    assert json.loads((folder / "summary.json").read_text()) == json.loads(json.dumps(summary))
    answers = None
    for name in ("base", "plain", "resure", "robust"):
        figure = summary["eval"][name]
        assert 0 <= figure["accuracy"] <= 1
        assert figure["loss"] > 0
        assert len(figure["accuracy_by_turn"]) == len(figure["answers_by_turn"])
        assert answers in (None, figure["answers_by_turn"]), "all models are asked the same"
        answers = figure["answers_by_turn"]
    assert 0 <= summary["auroc_noise"] <= 1
    assert summary["wall_seconds"] > 0
    assert len(summary["findings"]) == 6
    assert set(summary["auroc_by_run"]) == {"plain", "resure", "robust"}
    assert summary["auroc_by_run"]["resure"] == summary["auroc_noise"]
    for name in ("plain", "resure", "robust"):
        manifest = json.loads((folder / name / "manifest.json").read_text())
        assert manifest["status"] == "done"
        assert (folder / name / "ledger.parquet").is_file()
    page = build_report(folder).read_text()
    assert "Accuracy by turn index" in page
    assert "of them with wrong answers" in told[1]


@pytest.mark.slow
def test_the_same_seed_gives_the_same_figures(tmp_path):
    one = run_quickstart(small(tmp_path / "one"))
    two = run_quickstart(small(tmp_path / "two"))
    assert one["eval"] == two["eval"]
    assert one["noise"] == two["noise"]


@pytest.mark.slow
def test_from_scratch_builds_its_own_base_model(tmp_path, monkeypatch):
    tiny = partial(BaseRecipe, vocab_size=300, hidden=16, layers=1, heads=2, steps=3, batch_size=2)
    monkeypatch.setattr(quickstart, "BaseRecipe", tiny)
    summary = run_quickstart(small(tmp_path, from_scratch=True))
    assert summary["model"] == "built from scratch"
    assert (tmp_path / "quickstart" / "base" / "model.safetensors").is_file()


def answers(*correct):
    made = [Answer(f"d{number}", 0, "x", "x", bool(right)) for number, right in enumerate(correct)]
    return AccuracyByTurn(sum(correct) / len(correct), {0: 0.5}, {0: len(correct)}, made)


@pytest.mark.parametrize(
    ("resure", "plain", "words"),
    [
        ([1] * 30, [0] * 30, "resure is better"),
        ([0] * 30, [1] * 30, "plain is better"),
        ([1, 0] * 15, [0, 1] * 15, "no clear difference"),
    ],
)
def test_the_verdict_names_whichever_method_the_interval_favours(resure, plain, words):
    difference, interval = quickstart._paired(answers(*resure), answers(*plain), seed=0)
    assert difference == pytest.approx((sum(resure) - sum(plain)) / 30)
    assert quickstart._verdict("resure", "plain", interval) == words
