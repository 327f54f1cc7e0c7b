"""The dialogues of K-BENCH with the documents they were written about, matched by id and checked by their evidence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from turnwise.data.read import read_dialogues, read_documents
from turnwise.dialogue import Dialogue, Document
from turnwise.errors import ConfigError, DataError

DIALOGUES_NAME = "dialogues.jsonl"
DOCUMENTS_NAME = "documents.jsonl"
"""Where documents are looked for beside the dialogues, unless said otherwise."""


@dataclass(frozen=True, slots=True)
class Grounded:
    """A dialogue with its document."""

    dialogue: Dialogue
    document: Document


@dataclass(slots=True)
class Pairs:
    """What can be judged.

    Attributes:
        found: In the order of the dialogues.
        left_out: Dialogues that cannot be judged, by reason.
    """

    found: list[Grounded] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def pair(dialogues: Iterable[Dialogue], documents: Mapping[str, Document]) -> Pairs:
    """Find the document of each dialogue: `metadata["document"]` is its id.

    Every span of evidence must stand at its offsets in the document: otherwise it is another text (or the same one cut
    in another way) under the same id, and nothing about it could be judged.
    """
    pairs = Pairs()
    for dialogue in dialogues:
        document = documents.get(str(dialogue.metadata.get("document")))
        if not any(reply.text.strip() for reply in dialogue.replies):
            pairs.left_out["without a reply"] += 1
        elif document is None:
            pairs.left_out["whose document is not at hand"] += 1
        elif not _stands(dialogue, document):
            pairs.left_out["whose evidence does not stand at its offsets in the document"] += 1
        else:
            pairs.found.append(Grounded(dialogue, document))
    return pairs


@dataclass(frozen=True, slots=True)
class Files:
    """Where dialogues and their documents lie.

    Attributes:
        dialogues: A file.
        documents: Files or folders. Records with `id` and `text` (`.jsonl`) are taken as they are; everything else is
            read and cut as `turnwise synthesize` does it by default.
    """

    dialogues: Path
    documents: list[Path]


def find_files(dialogues: str | Path, documents: Sequence[str | Path] | None = None) -> Files:
    """The files of a benchmark.

    Args:
        dialogues: A file of dialogues, or the folder of a run that wrote a `dialogues.jsonl`.
        documents: Files or folders; by default `documents.jsonl` beside the dialogues.

    Raises:
        DataError: There is no such file of dialogues.
        ConfigError: There are no documents.
    """
    path = Path(dialogues)
    path = path / DIALOGUES_NAME if path.is_dir() else path
    if not path.is_file():
        raise DataError("no such file of dialogues", path=path)
    if documents is not None:
        return Files(path, [Path(one) for one in documents])
    beside = path.parent / DOCUMENTS_NAME
    if not beside.is_file():
        raise ConfigError(
            f"the dialogues are judged against their documents, and {beside} is not there",
            hint="--documents FILE_OR_FOLDER, the documents that they were written about",
        )
    return Files(path, [beside])


def read_pairs(files: Files) -> Pairs:
    """Read dialogues and their documents.

    Raises:
        DataError: A file cannot be read, or no dialogue has its document.
    """
    path = files.dialogues
    pairs = pair(read_dialogues(path), documents_by_id(files.documents))
    if not pairs.found:
        reasons = "; ".join(f"{count} {reason}" for reason, count in pairs.left_out.items())
        raise DataError(f"no dialogue can be judged: {reasons}", path=path)
    return pairs


def documents_by_id(paths: Sequence[str | Path]) -> dict[str, Document]:
    """Documents by id; of several with one id the first."""
    found: dict[str, Document] = {}
    for path in paths:
        for document in _documents(Path(path)):
            found.setdefault(document.id, document)
    return found


def _documents(path: Path) -> Iterable[Document]:
    if path.name.endswith(".jsonl"):
        return read_documents(path)
    documents: Iterable[Document] = import_module("turnwise.synthesis.documents").read_texts([path])
    return documents


def _stands(dialogue: Dialogue, document: Document) -> bool:
    for span in dialogue.evidence:
        if span.get("document", document.id) != document.id:
            continue
        start, end, text = span.get("start"), span.get("end"), span.get("text")
        if isinstance(start, int) and isinstance(end, int) and document.text[start:end] != text:
            return False
    return True
