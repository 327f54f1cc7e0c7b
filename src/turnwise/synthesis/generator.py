"""Pairs of a document and its chain of dialogue, on which a generator of one's own is fine-tuned (R2S, section 4.3).

A pair is the request that mode `cod` sends about the document, and the reply that a perfect teacher would give: the
chain as compact JSON. So a model that was trained on the pairs is used as any teacher is, with
`--mode cod --teacher local:FOLDER`, and training and use cannot drift apart.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from itertools import chain as joined
from pathlib import Path
from typing import Any

from turnwise.data.write import write_dialogues
from turnwise.dialogue import Dialogue, Document, Message
from turnwise.errors import DataError
from turnwise.run import MANIFEST_NAME, read_manifest
from turnwise.synthesis.chain import LOGIC_TYPES, ChainTurn, Span
from turnwise.synthesis.results import DIALOGUES_NAME, DOCUMENTS_NAME, read_dialogues_of, read_documents_of

SOURCE = "generator-data"

Ask = Callable[[Document, int], Sequence[Mapping[str, Any]]]
"""From a document and a number of turns to the messages that ask for its chain."""

_NAMES = ("user", "logic", "progress", "flow", "purpose", "search", "find", "assistant")
_KEYS = tuple(("type" if name == "logic" else name, name) for name in _NAMES)
"""Keys of a turn in the chain's JSON, in the order of thought, and the attributes of `ChainTurn` behind them."""
_FIELDS = frozenset(field.name for field in fields(ChainTurn))


def export_generator_data(
    run: str | Path, output: str | Path, *, ask: Ask | None = None, overwrite: bool = False
) -> dict[str, int]:
    """Write the pairs of a synthesis, as dialogues that `turnwise train` reads.

    Evidence that was found is written as it stands in the document, also where the teacher had quoted it loosely.

    Args:
        run: The run folder; its dialogues need a chain (`extractive`, `cod` and `cod-stepwise` write one).
        output: A `.jsonl`, `.jsonl.gz` or `.parquet` file.
        ask: How a chain is asked for; by default as mode `cod` does.
        overwrite: Replace an existing output.

    Returns:
        How many pairs were `written`, and how many dialogues were left out: `no_chain`, `ungrounded` (some turn claims
        evidence that was not found: a generator would learn to make it up).

    Raises:
        RunError: The folder holds no finished synthesis.
        DataError: The output cannot be written, or there is not a single pair; then nothing is written.
    """
    run = Path(run)
    asked = read_manifest(run / MANIFEST_NAME).get("config", {}).get("turns", [None])[0]
    counts = Counter({"written": 0})
    pairs = _pairs(run, ask if ask is not None else ask_for_chain, asked, counts)
    first = next(pairs, None)
    if first is None:
        left = ", ".join(f"{reason} {count}" for reason, count in counts.items() if count) or "no dialogues"
        raise DataError(
            f"expected dialogues with a chain, found none ({left})",
            path=run / DIALOGUES_NAME,
            hint="the modes extractive, cod and cod-stepwise write a chain",
        )
    write_dialogues(joined([first], pairs), output, overwrite=overwrite)
    return dict(counts)


def _pairs(run: Path, ask: Ask, asked: int | None, counts: Counter[str]) -> Iterator[Dialogue]:
    documents = read_documents_of(run)  # in the order of the dialogues, so one pass over both
    for dialogue in read_dialogues_of(run):
        document = next((one for one in documents if one.id == dialogue.metadata.get("document")), None)
        if document is None:
            raise DataError(f"the document of {dialogue.id} is not there", path=run / DOCUMENTS_NAME)
        turns = turns_of(dialogue)
        reason = _unfit(turns)
        if reason is not None:
            counts[reason] += 1
            continue
        counts["written"] += 1
        wanted = len(turns) if asked is None else min(asked, len(turns))
        yield generator_pair(dialogue, turns, ask(document, wanted))


def _unfit(turns: Sequence[ChainTurn]) -> str | None:
    if not turns or any(turn.logic is None for turn in turns):
        return "no_chain"
    return "ungrounded" if any(turn.find and turn.span is None for turn in turns) else None


def generator_pair(dialogue: Dialogue, turns: Sequence[ChainTurn], asked: Sequence[Mapping[str, Any]]) -> Dialogue:
    """One pair: the messages that ask for the chain, and the chain as the reply."""
    messages = [Message(str(one["role"]), one["content"]) for one in asked]
    messages.append(Message("assistant", write_chain(turns)))
    keys = ("document", "title", "language", "set", "mode", "teacher")
    kept = {key: dialogue.metadata[key] for key in keys if key in dialogue.metadata}
    return Dialogue(messages, id=f"{dialogue.id}/{SOURCE}", source=SOURCE, metadata=kept)


def turns_of(dialogue: Dialogue) -> tuple[ChainTurn, ...]:
    """The turns of a synthesised record, as `turnwise.synthesis.chain.to_dialogue` wrote it.

    Raises:
        DataError: Its messages are not user and assistant in turn.
    """
    roles = [message.role for message in dialogue.messages]
    if roles != ["user", "assistant"] * (len(roles) // 2):
        raise DataError(f"{dialogue.id}: expected messages of user and assistant in turn, found {', '.join(roles)}")
    spans = {
        entry["message"]: Span(entry["start"], entry["end"], entry["text"], entry.get("score", 1.0))
        for entry in dialogue.evidence
    }
    turns = []
    for place in range(0, len(roles), 2):
        user, assistant = dialogue.messages[place : place + 2]
        thought = {key: value for key, value in assistant.extra.items() if key in _FIELDS}
        thought["search"] = tuple(thought.get("search", ()))
        turns.append(ChainTurn(user.text, assistant.text, **thought, span=spans.get(place + 1)))
    return tuple(turns)


def write_chain(turns: Sequence[ChainTurn]) -> str:
    """The chain as compact JSON, in the form in which mode `cod` asks for it."""
    return json.dumps({"turns": [_said(turn) for turn in turns]}, ensure_ascii=False, separators=(",", ":"))


def _said(turn: ChainTurn) -> dict[str, Any]:
    if turn.span is not None:
        turn = replace(turn, find=turn.span.text)
    said = {key: getattr(turn, name) for key, name in _KEYS}
    return {**said, "search": list(turn.search)}


def read_chain(text: str, document: Document) -> tuple[ChainTurn, ...]:
    """The turns of a chain that `write_chain` wrote; evidence is located where it first stands in the document.

    Raises:
        DataError: It is no such chain.
    """
    try:
        said = json.loads(text)["turns"]
        turns = [_turn(one, document) for one in said]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{document.id}: expected a chain of dialogue as JSON ({type(error).__name__}: {error})"
        ) from None
    return tuple(turns)


def _turn(said: Mapping[str, Any], document: Document) -> ChainTurn:
    known = {name: said[key] for key, name in _KEYS}
    if known["logic"] not in LOGIC_TYPES:
        raise ValueError(f"the type {known['logic']!r} is none of {', '.join(LOGIC_TYPES)}")
    start = document.text.find(known["find"]) if known["find"] else -1
    span = None if start < 0 else Span(start, start + len(known["find"]), known["find"])
    return ChainTurn(**{**known, "search": tuple(known["search"]), "span": span})


def ask_for_chain(document: Document, turns: int) -> Sequence[Mapping[str, Any]]:
    """The messages by which mode `cod` asks for the chain of a document."""
    from turnwise.synthesis.prompts import document_fields, language_for, packaged_prompt
    from turnwise.synthesis.replies import COD_SCHEMA
    from turnwise.synthesis.teacher_modes import TEACHER_SAMPLING

    said = {**document_fields(document), "turns": str(turns)}
    prompt = packaged_prompt("cod", language_for(document))
    return prompt.request(said, COD_SCHEMA, TEACHER_SAMPLING).messages
