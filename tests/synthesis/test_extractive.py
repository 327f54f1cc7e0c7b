"""The offline mode: what holds for every dialogue it writes, on texts of our own and on public paragraphs."""

from __future__ import annotations

import asyncio

import pytest
from grounded import check

from turnwise.dialogue import Document
from turnwise.errors import ConfigError
from turnwise.synthesis.chain import LOGIC_TYPES, to_dialogue
from turnwise.synthesis.extractive import Extractive

LIGHTHOUSE = (
    "The Varnholm lighthouse is a stone tower on the island of Varn. It was built in 1871 by Edda Torsen. "
    "The tower is 34 metres high because the fog banks lie low over the water. "
    "In 1903, Jonas Pell replaced the oil lamp. The keepers recorded 214 storms in 1911. "
    "The lighthouse stands in Osterby. Visitors climb 162 steps to the lamp room. "
    "The last keeper left the island in 1968. Since 1972, the tower has been a museum."
)


def test_a_short_text_gives_a_dialogue_of_all_six_logic_types():
    document = Document("light", LIGHTHOUSE, title="Varnholm lighthouse")
    mode = Extractive()
    dialogue = to_dialogue(document, asyncio.run(mode.write(document)), mode)
    check(document, dialogue)
    assert 8 <= dialogue.num_turns <= 12
    assert {message.extra["logic"] for message in dialogue.replies} == set(LOGIC_TYPES)


def test_the_same_seed_gives_the_same_dialogue_and_another_seed_another():
    document = Document("light", LIGHTHOUSE)
    first, again, other = (Extractive(seed=seed).dialogue(document) for seed in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.parametrize("text", ["", "word", "。。。！！！", "，、；", "   \n\n ", "https://x.y", "12 34 56"])
def test_a_document_without_a_usable_sentence_fails_as_too_short(text):
    written = Extractive().dialogue(Document("d", text))
    assert (written.failure, written.turns) == ("too_short", ())


@pytest.mark.parametrize("given", [{"turns": (0, 3)}, {"turns": (5, 4)}, {"coverage": 0.0}, {"coverage": 1.2}])
def test_settings_out_of_range_are_refused(given):
    with pytest.raises(ConfigError, match="found"):
        Extractive(**given)
