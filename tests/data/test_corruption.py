"""Noise from a configuration is the noise of `turnwise.data.noise`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from turnwise.cli import corrupt as corrupt_command
from turnwise.config import load_config
from turnwise.data.corruption import CorruptConfig, Kind, check_of_world, corrupt_dialogues
from turnwise.data.noise import swap_replies, wrong_answers
from turnwise.data.world import World, WorldConfig
from turnwise.dialogue import Dialogue, Message
from turnwise.errors import ConfigError, DataError

CONFIG = WorldConfig(n=20, seed=5)


def test_a_configured_world_is_the_world_that_generates_the_dialogues() -> None:
    expected = list(CONFIG.world().dialogues(20, seed=5))
    assert [one.to_dict() for one in CONFIG.dialogues()] == [one.to_dict() for one in expected]


def test_swapped_and_wrong_replies_equal_the_functions_they_name() -> None:
    clean, world = list(CONFIG.dialogues()), CONFIG.world()
    swapped = corrupt_dialogues(clean, CorruptConfig(kind="swap", rate=0.5, seed=3))
    wrong = corrupt_dialogues(clean, CorruptConfig(kind="wrong", rate=0.3, turns="one", seed=4), world=world)
    assert [one.to_dict() for one in swapped] == [one.to_dict() for one in swap_replies(clean, 0.5, 3)]
    assert [one.to_dict() for one in wrong] == [one.to_dict() for one in wrong_answers(world, clean, 0.3, 4, "one")]


def test_wrong_facts_without_a_world_are_refused() -> None:
    with pytest.raises(ConfigError, match="checkable world"):
        corrupt_dialogues(list(CONFIG.dialogues()), CorruptConfig(kind="wrong", rate=0.5))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "swap", "strength": 0.5}, "'swap' does not use strength"),
        ({"kind": "garble", "donors": ["x.jsonl"], "systematic": True}, "does not use donors and systematic"),
        ({"kind": "shift", "per": "turn"}, "expected per: dialogue"),
        ({"kind": "swap", "per": "turn", "turns": "one"}, "turns: one is one reply"),
        ({"kind": "swap", "turns": []}, "one or more turn_index"),
        ({"kind": "swap", "turns": [-1]}, "one or more turn_index"),
        ({"kind": "swap", "turns": "some"}, "turns"),
        ({"kind": "swap", "rate": 1.5}, "less than or equal to 1"),
        ({"kind": "garble", "strength": 0.0}, "greater than 0"),
        ({"kind": "noise"}, "kind"),
    ],
)
def test_options_that_do_not_fit_are_refused(settings, message) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(CorruptConfig, values={"rate": 0.5, **settings})


def test_a_configured_rumour_is_the_systematic_noise_of_the_function() -> None:
    clean, world = list(CONFIG.dialogues()), CONFIG.world()
    config = CorruptConfig(kind="wrong", rate=0.5, systematic=True, seed=3)
    assert corrupt_dialogues(clean, config, world=world) == wrong_answers(world, clean, 0.5, 3, systematic=True)


@pytest.mark.parametrize("kind", ["language", "off_task"])
def test_kinds_that_take_text_from_elsewhere_need_donors(kind) -> None:
    with pytest.raises(ConfigError, match=f"{kind!r} needs donors"):
        corrupt_dialogues(list(CONFIG.dialogues()), CorruptConfig(kind=kind, rate=0.5))


def test_dialogues_of_another_world_are_told_from_those_of_this_one() -> None:
    """Told values and turns without an answer (None) are no facts, and still of the world."""
    config = WorldConfig(n=30, told=1.0)
    dialogues = list(config.dialogues())
    dialogues[0].metadata["answers"][-1] = None
    check_of_world(dialogues, config.world())
    with pytest.raises(DataError, match="a fact of the world with seed 9 and 32 people"):
        check_of_world(dialogues, World(9))
    with pytest.raises(DataError, match=r"expected metadata\['answers'\] with one entry"):
        check_of_world([Dialogue([Message("user", "q"), Message("assistant", "a")])], World())


def test_every_setting_and_kind_is_on_the_page() -> None:
    page = (Path(__file__).parents[2] / "docs" / "noise.md").read_text(encoding="utf-8")
    rows = set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    assert rows == {*get_args(Kind), *CorruptConfig.model_fields}


def test_the_command_line_offers_the_same_kinds() -> None:
    assert [kind.value for kind in corrupt_command.Kind] == list(get_args(Kind))
