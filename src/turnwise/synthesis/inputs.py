"""What a synthesis reads: documents of several inputs, each named by its set, and the files behind them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from turnwise.data.read import ReadReport
from turnwise.dialogue import Document, unique_ids
from turnwise.errors import DataError
from turnwise.synthesis.settings import SynthesisConfig

SET = "set"
"""Key of a document's and a dialogue's metadata: which input it came from."""


@dataclass
class Inputs:
    """Documents, or paths of files and folders that hold some.

    Attributes:
        given: What there is to read, in order.
        settings: How texts are cut and joined, and how many of each input are taken.
        not_read: What could not be read or holds too little: `set`, `path`, `line` and why; filled by `documents`.
    """

    given: Sequence[Document | str | Path]
    settings: SynthesisConfig
    not_read: list[dict[str, Any]] = field(default_factory=list)

    @property
    def paths(self) -> list[str]:
        """The paths among what was given."""
        return [str(one) for one in self.given if not isinstance(one, Document)]

    def documents(self) -> Iterator[Document]:
        """All documents in order, every id once; those of a path have it as their set.

        Raises:
            DataError: There is no such file or folder.
        """
        return unique_ids(self._all())

    def _all(self) -> Iterator[Document]:
        taken: dict[str, int] = {}
        limit = self.settings.limit
        for one in self.given:
            if not isinstance(one, Document):
                yield from self._of(str(one))
                continue
            name = str(one.metadata.get(SET, ""))
            taken[name] = taken.get(name, 0) + 1
            if limit is None or taken[name] <= limit:
                yield replace(one)  # whose id may change; the caller's stays

    def _of(self, path: str) -> Iterator[Document]:
        from turnwise.synthesis.documents import read_texts

        settings, report = self.settings, ReadReport()
        how: dict[str, Any] = {"cut": settings.cut, "join": settings.join, "text": settings.text}
        try:
            for document in read_texts([path], **how, on_error="skip", limit=settings.limit, report=report):
                document.metadata[SET] = path
                yield document
        except DataError:
            if not report.failures:  # else every document of it is among them
                raise
        for one in report.failures:
            self.not_read.append({SET: path, "path": one.path, "line": one.line, "detail": one.reason})

    def files(self, *, apart: Path) -> list[str]:
        """Every file behind the paths, but for those of the run folder itself; for the manifest."""
        found: list[str] = []
        for path in self.paths:
            if Path(path).is_dir():
                inside = (one for one in sorted(Path(path).rglob("*")) if one.is_file())
                found += [str(one) for one in inside if not one.resolve().is_relative_to(apart.resolve())]
            else:
                found.append(path)
        return found
