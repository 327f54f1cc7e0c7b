"""The files of a synthesis, and what they say."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from turnwise.data.write import SUFFIXES
from turnwise.dialogue import Dialogue, Document
from turnwise.errors import ConfigError, DataError, RunError

COMMAND = "synthesize"
DIALOGUES_NAME = "dialogues.jsonl"
DOCUMENTS_NAME = "documents.jsonl"
FAILED_NAME = "failed.jsonl"
SUMMARY_NAME = "summary.json"
RUN_SUFFIX = ".run"


@dataclass(frozen=True, slots=True)
class SynthesisResult:
    """A finished synthesis.

    Attributes:
        summary: What `summary.json` holds.
        run: The run folder.
        output: The file of dialogues.
    """

    summary: dict[str, Any]
    run: Path
    output: Path

    @property
    def limit_reached(self) -> bool:
        """Whether a limit on cost or requests left documents unwritten."""
        return bool(self.summary["limit_reached"])

    @property
    def too_many_failed(self) -> bool:
        """Whether the share of failed documents is above the limit."""
        return not self.summary["failed"]["within_limit"]

    @property
    def exit_code(self) -> int:
        """0, or 1 where a stated limit was passed."""
        return int(self.limit_reached or self.too_many_failed)

    def warnings(self) -> list[str]:
        """What must not be overlooked, one sentence each."""
        failed, said = self.summary["failed"], []
        if self.too_many_failed:
            reasons = ", ".join(f"{reason} {count:,}" for reason, count in failed["by_reason"].items())
            said.append(
                f"{failed['count']:,} of {self.summary['documents']:,} documents failed ({reasons}), above the limit "
                f"of {failed['limit']:.1%} (--max-failed); {self.run / FAILED_NAME} says why"
            )
        if self.limit_reached:
            said.append(
                "a limit on cost or requests was reached and the rest was not asked; the same command with --resume "
                "and a higher --max-cost or --max-requests goes on, and pays for nothing twice"
            )
        return said


def run_and_file(output: str | Path) -> tuple[Path, Path | None]:
    """The run folder, and the file of dialogues outside it that is asked for besides.

    `--output FOLDER` is the run folder; of `--output FILE.jsonl` (`.jsonl.gz`, `.parquet`) it is `FILE.jsonl.run`.

    Raises:
        ConfigError: The name looks like a file of another kind.
    """
    path = Path(output)
    if path.name.endswith(SUFFIXES):
        return path.with_name(path.name + RUN_SUFFIX), path
    if path.suffix in (".json", ".gz", ".csv", ".txt", ".md"):
        raise ConfigError(
            f"expected a folder, or a file that ends in {', '.join(SUFFIXES)}, found {path.name!r}",
            hint="--output dialogues.jsonl",
        )
    return path, None


def read_lines(path: str | Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSON Lines file of a run folder.

    Raises:
        RunError: There is no such file.
        DataError: A line is no JSON object.
    """
    path = Path(path)
    if not path.is_file():
        raise RunError(f"{path}: not found", hint="a synthesis that was interrupted goes on with --resume")
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            try:
                record: Any = json.loads(line)
            except ValueError as error:
                raise DataError(f"not JSON: {error}", path=path, line=number) from None
            if not isinstance(record, dict):
                raise DataError(f"expected an object, found {type(record).__name__}", path=path, line=number)
            yield record


def read_documents_of(run: str | Path) -> Iterator[Document]:
    """The documents of a run, as its dialogues' offsets count them."""
    path = Path(run) / DOCUMENTS_NAME
    for number, record in enumerate(read_lines(path), start=1):
        if not isinstance(record.get("id"), str) or not isinstance(record.get("text"), str):
            raise DataError("expected a document with the texts 'id' and 'text'", path=path, line=number)
        yield Document(record["id"], record["text"], record.get("title"), dict(record.get("metadata") or {}))


def read_dialogues_of(run: str | Path) -> Iterator[Dialogue]:
    """The dialogues of a run."""
    return (Dialogue.from_dict(record) for record in read_lines(Path(run) / DIALOGUES_NAME))


def read_summary(run: str | Path) -> dict[str, Any]:
    """Read the `summary.json` of a synthesis.

    Raises:
        RunError: There is none (the run has not come that far), or it cannot be read.
    """
    path = Path(run) / SUMMARY_NAME
    try:
        summary: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        hint = "a synthesis that was interrupted goes on with --resume"
        raise RunError(f"{path}: no summary found", hint=hint) from None
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: the summary cannot be read ({error})") from None
    if not isinstance(summary, Mapping) or not isinstance(summary.get("sets"), list):
        raise RunError(f"{path}: expected the summary of a synthesis with a list 'sets'")
    return dict(summary)
