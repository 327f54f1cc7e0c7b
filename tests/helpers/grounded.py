"""What no dialogue that was written about a document may break, read off the record alone."""

from __future__ import annotations

import re

from turnwise.dialogue import Dialogue, Document


def forms(texts: list[str]) -> list[str]:
    return [re.sub(r"[\W_]+", "", text.casefold()) for text in texts]


def core(text: str) -> str:
    """The question of an utterance, without what leads up to it."""
    last = re.split(r"(?<=[.。])\s*|(?<=[:：])\s+", text)[-1].casefold()
    return forms([re.sub(r"^(and |那么，|接着问一下，|请问，|再问一下，)", "", last)])[0]


def check(document: Document, dialogue: Dialogue) -> None:
    """Turns alternate, no utterance is said twice, and each turn's evidence stands in the document and in the reply."""
    users = [message.text for message in dialogue.messages if message.role == "user"]
    assert [message.role for message in dialogue.messages] == ["user", "assistant"] * dialogue.num_turns
    assert len(set(forms(users))) == len(users)
    asked = [core(text) for text in users if text[-1] in "?？" and "____" not in text]
    assert len(set(asked)) == len(asked)
    assert [entry["message"] for entry in dialogue.evidence] == list(range(1, 2 * dialogue.num_turns, 2))
    for entry in dialogue.evidence:
        assert document.text[entry["start"] : entry["end"]] == entry["text"] != ""
        assert entry["score"] == 1.0
        assert entry["text"] in dialogue.messages[entry["message"]].text
    texts = [entry["text"] for entry in dialogue.evidence]
    assert len(set(texts)) == len(texts)
