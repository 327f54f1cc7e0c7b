"""`transcript`: a whole dialogue in one string, with markers.

Two markers are known: a blank line and `Human:` or `Assistant:` (Anthropic HH-RLHF), and `### Human:` or
`### Assistant:` (Guanaco, QLoRA).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from turnwise.data.formats.common import Format, Options, Record, as_text, build_dialogue
from turnwise.dialogue import Dialogue, Message
from turnwise.errors import DataError

_BLANK_LINE = re.compile(r"\n\n(Human|Assistant):[ ]?")
_HASHES = re.compile(r"\s?(?<!#)### (Human|Assistant):[ ]?")


def is_transcript(value: object) -> bool:
    """Whether a text starts with a marker."""
    return isinstance(value, str) and _marker(value) is not None


def parse(text: str) -> list[Message]:
    """The messages of a transcript: the text between two markers, less the space that separates it from its marker.

    Raises:
        DataError: The text does not start with a marker.
    """
    marker = _marker(text)
    if marker is None:
        raise DataError(f"expected a text that starts with 'Human:' or '### Human:', found {text[:40]!r}")
    # Two groups of a split with one capture: the part before the first marker, then (speaker, text) pairs.
    _, *parts = marker.split("\n\n" + text.lstrip() if marker is _BLANK_LINE else text)
    return [
        Message("user" if speaker == "Human" else "assistant", said)
        for speaker, said in zip(parts[::2], parts[1::2], strict=True)
    ]


def matches(record: Record) -> bool:
    """`text`, or `input` with `output`, that starts with a marker."""
    return is_transcript(record.get("text")) or (is_transcript(record.get("input")) and "output" in record)


def dialogues(record: Record, options: Options) -> Iterator[Dialogue]:
    """One dialogue per record. The last marker of `input` is completed by `output`."""
    if "output" in record and is_transcript(record.get("input")):
        messages = parse(record["input"])
        if messages[-1].role == "assistant" and not messages[-1].text:
            messages.pop()
        messages.append(Message("assistant", as_text(record["output"], "'output'")))
        yield build_dialogue(messages, record, ["input", "output"])
    else:
        yield build_dialogue(parse(as_text(record.get("text"), "'text'")), record, ["text"])


def _marker(text: str) -> re.Pattern[str] | None:
    start = text.lstrip()
    if start.startswith(("### Human:", "### Assistant:")):
        return _HASHES
    if start.startswith(("Human:", "Assistant:")):
        return _BLANK_LINE
    return None


FORMAT = Format(
    name="transcript",
    expects="an object with 'text' (or 'input' and 'output') that starts with 'Human:' or '### Human:'",
    matches=matches,
    dialogues=dialogues,
)
