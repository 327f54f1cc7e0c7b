"""Documents, dialogues and failures of a synthesis as the data that the page's script shows."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from turnwise.dialogue import Dialogue, Document
from turnwise.synthesis.results import DIALOGUES_NAME, FAILED_NAME, read_documents_of, read_lines

MOST_ITEMS = 200
"""Most dialogues, and most failures, on one page."""
CHARACTER_CAP = 40_000_000
"""Most characters on one page; browsers open it in seconds."""


@dataclass
class Samples:
    """What the list shows.

    Attributes:
        items: Documents with what became of them, in their order, as the script reads them.
        dialogues: Dialogues in all.
        failures: Documents without a dialogue in all.
        missing: Why there are none.
    """

    items: list[dict[str, Any]] = field(default_factory=list)
    dialogues: int = 0
    failures: int = 0
    missing: str | None = None

    @property
    def left_out(self) -> int:
        """Documents that are not on the page."""
        return self.dialogues + self.failures - len(self.items)


def read_synthesis_data(folder: Path, *, seed: int = 0, most: int = MOST_ITEMS, cap: int = CHARACTER_CAP) -> Samples:
    """Draw the samples of a run folder by `seed`, up to `most` dialogues, `most` failures and `cap` characters.

    Raises:
        DataError: A file holds something else than it should.
        RunError: A file is missing.
    """
    dialogues, failures = folder / DIALOGUES_NAME, folder / FAILED_NAME
    found = Samples()
    found.dialogues = sum(1 for _ in read_lines(dialogues))
    found.failures = sum(not one.get("kept_turns") for one in read_lines(failures))
    drawn = map(Dialogue.from_dict, _drawn(read_lines(dialogues), found.dialogues, seed, most))
    told = {str(one.metadata.get("document")): one for one in drawn}
    whole = (one for one in read_lines(failures) if not one.get("kept_turns"))
    listed = _drawn(whole, found.failures, seed, most)
    failed = {str(one["document"]): one for one in listed if "document" in one}
    found.items = [_not_read_item(one) for one in listed if "document" not in one]
    cut = {str(one.get("document")): one for one in read_lines(failures) if str(one.get("document")) in told}
    left = cap
    for document in read_documents_of(folder):
        if document.id in told:
            item = _dialogue_item(document, told[document.id], cut.get(document.id))
        elif document.id in failed:
            item = _failed_item(document, failed[document.id])
        else:
            continue
        left -= len(document.text) + sum(len(turn["user"]) + len(turn["assistant"]) for turn in item["turns"])
        left -= sum(map(len, item["raw"]))
        if left >= 0 or not found.items:
            found.items.append(item)
    return found


def _drawn(records: Iterable[dict[str, Any]], count: int, seed: int, most: int) -> list[dict[str, Any]]:
    wanted = set(random.Random(seed).sample(range(count), min(count, most)))
    return [one for place, one in enumerate(records) if place in wanted]


def _dialogue_item(document: Document, dialogue: Dialogue, cut: Mapping[str, Any] | None) -> dict[str, Any]:
    spans = {entry.get("message"): entry for entry in dialogue.evidence}
    turns = []
    for place, message in enumerate(dialogue.messages):
        if message.role != "assistant":
            continue
        before = dialogue.messages[place - 1].text if place else ""
        turns.append(_turn({**message.extra, "user": before, "assistant": message.text, "span": spans.get(place)}))
    lost = [_turn(turn) for turn in (cut or {}).get("turns", ())]
    return {
        **_head(document, dialogue.metadata),
        "id": dialogue.id,
        "outcome": "dialogue",
        "detail": str((cut or {}).get("detail", "")),
        "checks": [[str(name), str(value)] for name, value in dict(dialogue.metadata.get("checks") or {}).items()],
        "turns": turns,
        "lost": lost,
        "pieces": pieces(document.text, turns),
        "raw": [],
    }


def _failed_item(document: Document, record: Mapping[str, Any]) -> dict[str, Any]:
    turns = [_turn(turn) for turn in record.get("turns", ())]
    return {
        **_head(document, record),
        "id": document.id,
        "outcome": str(record.get("reason", "")),
        "detail": str(record.get("detail", "")),
        "checks": [["repeats", str(record["repeats"])]] if record.get("repeats") else [],
        "turns": turns,
        "lost": [],
        "pieces": pieces(document.text, turns),
        "raw": [str(text) for text in record.get("raw", ())],
    }


def _not_read_item(record: Mapping[str, Any]) -> dict[str, Any]:
    """A file or record of which there is not even a text."""
    line = "" if record.get("line") is None else f":{record['line']}"
    where = f"{record.get('path', '')}{line}"
    nowhere = Document(where, "", metadata={"set": record.get("set")})
    return _failed_item(nowhere, record)


def _head(document: Document, about: Mapping[str, Any]) -> dict[str, Any]:
    named = ("mode", "teacher", "prompt", "language")
    return {
        "document": document.id,
        "title": document.title or "",
        "set": str(document.metadata.get("set") or ""),
        "about": [str(about[name]) for name in named if about.get(name)],
    }


def _turn(said: Mapping[str, Any]) -> dict[str, Any]:
    span = said.get("span")
    notes = [str(said[name]) for name in ("purpose", "progress", "flow") if said.get(name)]
    return {
        "user": str(said.get("user", "")),
        "assistant": str(said.get("assistant", "")),
        "logic": str(said.get("logic") or ""),
        "notes": notes,
        "search": [str(phrase) for phrase in said.get("search") or ()],
        "find": str(said.get("find") or ""),
        "span": [int(span["start"]), int(span["end"]), float(span.get("score", 1.0))] if span else None,
    }


def pieces(text: str, turns: Sequence[Mapping[str, Any]]) -> list[list[Any]]:
    """A text cut at the ends of all spans: each piece with the turns (from 0) whose evidence it is part of.

    The script then need not count characters, which Python and JavaScript do differently.
    """
    spans = [(number, *turn["span"][:2]) for number, turn in enumerate(turns) if turn["span"] is not None]
    ends = sorted({0, len(text), *(end for _, *both in spans for end in both if 0 <= end <= len(text))})
    return [
        [text[start:end], [number for number, first, last in spans if first <= start and end <= last]]
        for start, end in pairwise(ends)
    ]
