"""What is left of noisy data for an oracle, how many steps that takes, and a base model made on the spot."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from turnwise.data.mixture import MixConfig
from turnwise.dialogue import Dialogue, Message
from turnwise.errors import ConfigError, DataError
from turnwise.study.plan import PretrainConfig
from turnwise.study.prepare import keep_clean, make_base, steps_of


def labelled(name, label, turns=2):
    messages = [Message(role, f"{role} {turn}") for turn in range(turns) for role in ("user", "assistant")]
    return Dialogue(messages, id=name, metadata={} if label is None else {"noise": label})


def test_clean_dialogues_stay_noisy_turns_become_context_and_wholly_noisy_dialogues_go():
    dialogues = [
        labelled("unlabelled", None),
        labelled("clean", {"kind": "clean", "turns": []}),
        labelled("second turn", {"kind": "swap", "turns": [1]}),
        labelled("both turns", {"kind": "swap", "turns": [0, 1]}),
    ]
    kept = keep_clean(dialogues)
    assert [dialogue.id for dialogue in kept] == ["unlabelled", "clean", "second turn"]
    assert [reply.train for reply in kept[2].replies] == [None, False]
    assert [reply.train for reply in dialogues[2].replies] == [None, None], "the input is not changed"


def test_data_without_a_clean_reply_are_refused():
    with pytest.raises(DataError, match="leaves no dialogue"):
        keep_clean([labelled("x", {"kind": "swap", "turns": [0, 1]})])


@pytest.mark.parametrize(
    ("dialogues", "changes", "steps"),
    [
        (100, {}, 21),  # 100 / 16 = 6.25: 7 batches, 3 epochs
        (100, {"dataloader_drop_last": True}, 18),  # 6 batches
        (100, {"gradient_accumulation_steps": 4}, 6),  # 7 batches: 2 steps
        (100, {"num_train_epochs": 0.5}, 4),  # 3.5 steps
        (3, {}, 3),
        (100, {"max_steps": 9}, 9),
    ],
)
def test_steps_are_those_of_the_trainer(dialogues, changes, steps):
    settings = {
        "per_device_train_batch_size": 16,
        "gradient_accumulation_steps": 1,
        "num_train_epochs": 3,
        "max_steps": -1,
        "dataloader_drop_last": False,
        "packing": False,
    }
    assert steps_of(SimpleNamespace(**{**settings, **changes}), dialogues) == steps


def test_steps_of_packed_dialogues_cannot_be_counted():
    with pytest.raises(ConfigError, match="packing"):
        steps_of(SimpleNamespace(packing=True), 10)


@pytest.mark.slow
def test_a_base_is_pretrained_once_and_can_be_loaded(tmp_path):
    from turnwise.training.loading import load_tokenizer

    recipe = PretrainConfig(
        data=MixConfig.model_validate({"sources": [{"world": {"n": 12}}]}),
        steps=2,
        batch_size=2,
        hidden=16,
        layers=1,
        heads=2,
        vocab_size=300,
        max_length=150,
    )
    told = []
    make_base(recipe, tmp_path / "base", told.append)
    make_base(recipe, tmp_path / "base", told.append)
    assert len(told) == 1, "the second call finds it"
    assert load_tokenizer(str(tmp_path / "base")).chat_template
    assert (tmp_path / "base" / "model.safetensors").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["base"]


def test_a_base_for_which_every_dialogue_is_too_long_is_refused(tmp_path):
    mix = MixConfig.model_validate({"sources": [{"world": {"n": 2}}]})
    recipe = PretrainConfig(data=mix, max_length=16, vocab_size=262)  # bytes alone
    with pytest.raises(DataError, match="no dialogue fits into 16 tokens"):
        make_base(recipe, tmp_path / "base", lambda text: None)
