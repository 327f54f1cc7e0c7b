"""`alpaca`: `instruction`, `input`, `output`, with an optional `history` of pairs; and its ranked form.

The user message is the instruction and, where there is one, a newline and the input.
"""

from __future__ import annotations

from collections.abc import Iterator

from turnwise.data.formats.common import Format, Options, Record, as_content, as_text, build_dialogue, pair_history
from turnwise.dialogue import Dialogue, Message, PreferencePair
from turnwise.errors import DataError

_USED = ("instruction", "input", "output", "history")


def prompt_messages(record: Record) -> list[Message]:
    """The history and the user message of an Alpaca record.

    Raises:
        DataError: `instruction`, `input` or `history` has another type.
    """
    instruction = as_text(record.get("instruction"), "'instruction'")
    given = record.get("input")
    text = "" if given is None else as_text(given, "'input'")
    user = "\n".join(part for part in (instruction, text) if part)
    return [*pair_history(record.get("history")), Message("user", user)]


def matches(record: Record) -> bool:
    """`instruction` and `output`."""
    return "instruction" in record and "output" in record


def dialogues(record: Record, options: Options) -> Iterator[Dialogue]:
    """One dialogue per record: history, instruction and output."""
    reply = Message("assistant", as_content(record.get("output"), "'output'"))
    yield build_dialogue([*prompt_messages(record), reply], record, _USED)


def matches_ranked(record: Record) -> bool:
    """`instruction` and a list of replies as `output`."""
    output = record.get("output")
    return "instruction" in record and isinstance(output, list) and all(isinstance(reply, str) for reply in output)


def ranked_dialogues(record: Record, options: Options) -> Iterator[Dialogue]:
    """One dialogue per record: with the best reply, or for `side="rejected"` with the worst.

    The other replies stay in the metadata as `ranked_replies` (the whole list, best first).
    """
    replies = _replies(record, at_least=1)
    reply = replies[0] if options.side == "chosen" else replies[-1]
    messages = [*prompt_messages(record), Message("assistant", reply)]
    yield build_dialogue(messages, record, _USED, {"ranked_replies": replies})


def ranked_pairs(record: Record, options: Options) -> Iterator[PreferencePair]:
    """The best reply against each of the others: n replies give n - 1 pairs."""
    replies = _replies(record, at_least=2)
    for rank, worse in enumerate(replies[1:], start=1):
        shared = build_dialogue(prompt_messages(record), record, _USED, {"rejected_rank": rank})
        given = record.get("id")
        yield PreferencePair(
            prompt=shared.messages,
            chosen=[Message("assistant", replies[0])],
            rejected=[Message("assistant", worse)],
            id="" if given is None else shared.id,
            source=shared.source,
            metadata=shared.metadata,
        )


def _replies(record: Record, at_least: int) -> list[str]:
    replies = record.get("output")
    if not isinstance(replies, list) or len(replies) < at_least:
        raise DataError(f"expected 'output' to be a list of at least {at_least} replies, best first")
    return [as_text(reply, f"output[{number}]") for number, reply in enumerate(replies)]


FORMAT = Format(
    name="alpaca",
    expects="an object with 'instruction', 'output' and optional 'input', 'history' (pairs), 'system'",
    matches=matches,
    dialogues=dialogues,
)
RANKED = Format(
    name="ranked",
    expects="an object with 'instruction' and 'output': a list of replies, best first",
    matches=matches_ranked,
    dialogues=ranked_dialogues,
    pairs=ranked_pairs,
)
