"""What a synthesis reads: documents of several inputs, each named by its set, and the files behind them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from turnwise.dialogue import Dialogue, Document, unique_ids
from turnwise.synthesis.settings import SynthesisConfig

SET = "set"
"""Key of a document's and a dialogue's metadata: which input it came from."""


def input_sets(given: Iterable[Document | str | Path], settings: SynthesisConfig) -> Iterator[Document]:
    """All documents in order, every id once; those of a path have it as their set.

    Args:
        given: Documents, or paths of files and folders.
        settings: How texts are cut and joined, and how many of each input are taken.

    Raises:
        DataError: A file cannot be read.
    """
    return unique_ids(_documents(given, settings))


def _documents(given: Iterable[Document | str | Path], settings: SynthesisConfig) -> Iterator[Document]:
    taken: dict[str, int] = {}
    for one in given:
        if isinstance(one, Document):
            name = str(one.metadata.get(SET, ""))
            taken[name] = taken.get(name, 0) + 1
            if settings.limit is None or taken[name] <= settings.limit:
                yield replace(one)  # whose id may change; the caller's stays
            continue
        for document in islice(_read(one, settings), settings.limit):
            document.metadata[SET] = str(one)
            yield document


def _read(path: str | Path, settings: SynthesisConfig) -> Iterator[Document]:
    read_texts: Any = importlib.import_module("turnwise.synthesis.documents").read_texts
    how = {name: value for name, value in (("cut", settings.cut), ("join", settings.join)) if value is not None}
    return iter(read_texts([path], **how))


def input_files(paths: Iterable[str], *, apart: Path) -> list[Path]:
    """Every file behind the paths, but for those of the run folder itself; for the manifest."""
    found: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = (one for one in sorted(path.rglob("*")) if one.is_file())
            found += [one for one in inside if not one.resolve().is_relative_to(apart.resolve())]
        else:
            found.append(path)
    return found


def coverage_measure(encoder: str) -> Callable[[Document, Dialogue], float]:
    """The function from a document and its dialogue to the coverage rate, from 0 to 1."""
    load: Any = importlib.import_module("turnwise.synthesis.encoder").load_encoder
    rate: Any = importlib.import_module("turnwise.synthesis.coverage").coverage_rate
    opened = load(encoder)

    def measured(document: Document, dialogue: Dialogue) -> float:
        return float(rate(document, dialogue, opened))

    return measured
