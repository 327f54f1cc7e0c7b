"""The offline mode over public paragraphs: every one becomes a sound dialogue, long enough where there is room."""

from __future__ import annotations

from collections import Counter

import pytest
from grounded import check

from turnwise.data.read import read_documents
from turnwise.synthesis.chain import LOGIC_TYPES, to_dialogue
from turnwise.synthesis.extractive import Extractive


@pytest.mark.data
@pytest.mark.parametrize("name", ["squad2/dev-v2.0.json", "xquad/xquad.en.json", "xquad/xquad.zh.json", "cmrc2018"])
def test_every_paragraph_becomes_a_dialogue_of_at_least_eight_turns_where_there_is_room(public_data, name):
    documents = list(read_documents(public_data / name))[::3]
    mode, types, short = Extractive(), Counter(), 0
    for document in documents:
        written = mode.dialogue(document)
        assert written.failure is None, document.id
        check(document, to_dialogue(document, written, mode))
        types.update(turn.logic for turn in written.turns)
        if written.checks["room"] >= 8:
            assert 8 <= len(written.turns) <= 12, document.id
            assert "fewer_turns" not in written.checks
        else:
            assert written.checks["fewer_turns"] == 8
            short += 1
    assert len(types) >= 5
    assert set(types) == set(LOGIC_TYPES)
    assert short <= 0.05 * len(documents)
