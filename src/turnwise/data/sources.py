"""Reading several inputs so that every dialogue has a source: its own, or the name of the input it came from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath
from typing import Any

from turnwise.data.read import ReadReport, read_dialogues
from turnwise.dialogue import Dialogue, unique_ids

_SUFFIXES = (".gz", ".jsonl", ".json", ".parquet", ".txt", ".csv")


def read_with_sources(
    paths: Sequence[str | Path], *, limit: int | None = None, report: ReadReport | None = None, **options: Any
) -> Iterator[Dialogue]:
    """Read inputs one after the other; a dialogue without a source gets the name of its input (file or folder).

    Args:
        paths: As in `turnwise.data.read.read_dialogues`.
        limit: Read at most this many dialogues in all.
        report: As there.
        options: As there.

    Raises:
        DataError: As there; also where one of several inputs holds no dialogue.
    """
    report = ReadReport() if report is None else report
    return unique_ids(_named(paths, limit, report, options))


def source_name(path: str | Path) -> str:
    """The name of an input as a source: `chats.jsonl.gz` is `chats`, `hf://OWNER/NAME` is `NAME`."""
    name = PurePath(str(path).removeprefix("hf://")).name or str(path)
    for suffix in _SUFFIXES:
        name = name.removesuffix(suffix) or name
    return name


def _named(paths: Sequence[str | Path], limit: int | None, report: ReadReport, options: Any) -> Iterator[Dialogue]:
    before = report.read
    for path in paths:
        left = None if limit is None else limit - (report.read - before)
        if left == 0:
            return
        for dialogue in read_dialogues(path, limit=left, report=report, **options):
            if dialogue.source is None:
                dialogue.source = source_name(path)
            yield dialogue
