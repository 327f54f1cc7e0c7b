"""The score for prefilters: a dialogue's loss under the base model."""

from __future__ import annotations

import pytest
from studies import tiny_study

from turnwise.dialogue import Dialogue, Message
from turnwise.evaluation.dialogue_loss import dialogue_loss
from turnwise.study.base_model import DEMO_FOLDER, load_base
from turnwise.study.score import BaseLossScorer

PREFILTER = {"score": "base_loss", "keep": 0.5, "higher_is_better": False, "missing": "drop"}


def filtering(tmp_path, **prefilter):
    methods = {"prefilter": {"method": "vicuna", "prefilter": {**PREFILTER, **prefilter}}}
    return tiny_study(tmp_path / "study", methods=methods)


def test_the_score_is_made_only_where_a_prefilter_asks_for_it(tmp_path):
    assert BaseLossScorer(filtering(tmp_path), tmp_path).wanted
    assert not BaseLossScorer(filtering(tmp_path, score="reward"), tmp_path).wanted
    assert not BaseLossScorer(tiny_study(), tmp_path).wanted


@pytest.mark.slow
def test_each_dialogue_gets_its_own_loss_and_one_that_cannot_be_encoded_none(tmp_path):
    config = filtering(tmp_path)
    dialogues = list(config.mixtures["H"].sources[0].world.dialogues())[:3]
    only_question = Dialogue([Message("user", "hello")], id="only a question")
    scored = BaseLossScorer(config, tmp_path).score([*dialogues, only_question])
    model, tokenizer, _ = load_base(DEMO_FOLDER)
    for dialogue in dialogues:
        alone = dialogue_loss(model, tokenizer, [dialogue], max_length=None).loss
        assert dialogue.metadata["base_loss"] == pytest.approx(alone, rel=1e-4)
    assert [dialogue.source for dialogue in scored[:3]] == ["world"] * 3, "the source is left as it was"
    assert "base_loss" not in only_question.metadata
