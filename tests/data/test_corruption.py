"""Noise from a configuration is the noise of `turnwise.data.noise`."""

from __future__ import annotations

import pytest

from turnwise.data.corruption import CorruptConfig, corrupt_dialogues
from turnwise.data.noise import swap_replies, wrong_answers
from turnwise.data.world import WorldConfig
from turnwise.errors import ConfigError

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
