"""`one-sided`: FastChat questions or answers alone, recognised only to say what is missing."""

from __future__ import annotations

from typing import NoReturn

from turnwise.data.formats.common import Format, Options, Record
from turnwise.errors import DataError


def matches(record: Record) -> bool:
    """`question_id` with `choices` of `turns` (answers), or with `turns` of texts (questions)."""
    if "question_id" not in record:
        return False
    choices, turns = record.get("choices"), record.get("turns")
    answers = isinstance(choices, list) and bool(choices) and isinstance(choices[0], dict) and "turns" in choices[0]
    questions = isinstance(turns, list) and bool(turns) and isinstance(turns[0], str)
    return answers or questions


def dialogues(record: Record, options: Options) -> NoReturn:
    """Always refuses.

    Raises:
        DataError: One side of a dialogue is missing.
    """
    found, missing = ("answers", "questions") if "choices" in record else ("questions", "answers")
    raise DataError(
        f"found FastChat {found} without their {missing}; expected both sides of a dialogue",
        hint=f"join the file with its {missing} by 'question_id' into 'messages' first",
    )


FORMAT = Format(
    name="one-sided",
    expects="FastChat questions or answers (not readable alone)",
    matches=matches,
    dialogues=dialogues,
)
