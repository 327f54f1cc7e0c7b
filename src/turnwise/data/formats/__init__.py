"""One small file per family of input formats; each turns a raw record into canonical records."""

from __future__ import annotations

from turnwise.data.formats import (
    alpaca,
    documents,
    labelled_text,
    messages,
    oasst,
    one_sided,
    preference,
    question_answer,
    sharegpt,
    speakers,
    transcript,
    turn_pairs,
)
from turnwise.data.formats.common import Format, Record

# The first that matches wins: records with two replies before those with one, documents last.
FORMATS: tuple[Format, ...] = (
    preference.FORMAT,
    alpaca.RANKED,
    messages.FORMAT,
    sharegpt.FORMAT,
    alpaca.FORMAT,
    question_answer.FORMAT,
    turn_pairs.FORMAT,
    transcript.FORMAT,
    oasst.TREE,
    oasst.FLAT,
    speakers.FORMAT,
    one_sided.FORMAT,
    documents.SQUAD,
    documents.DOCUMENT,
)

FORMAT_NAMES = (*(known.name for known in FORMATS), labelled_text.NAME)


def detect(record: Record) -> Format | None:
    """The format of a record, by its keys and types; None where none matches."""
    return next((known for known in FORMATS if known.matches(record)), None)
