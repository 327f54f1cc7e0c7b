"""The documents of a run on their way through a mode and the filters, into the files of the run folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import IO, Any

from turnwise.data.write import encode_json, write_dialogues
from turnwise.dialogue import Dialogue, Document
from turnwise.llm.drive import run_all
from turnwise.run import RunFolder, atomic_path, package_versions
from turnwise.synthesis.chain import ChainTurn, Mode, Written
from turnwise.synthesis.covering import Measure
from turnwise.synthesis.filters import LEFT_OUT, Filters
from turnwise.synthesis.inputs import SET
from turnwise.synthesis.results import DIALOGUES_NAME, FAILED_NAME, read_documents_of
from turnwise.synthesis.settings import SynthesisConfig
from turnwise.synthesis.summary import SetFigures, all_of

OnProgress = Callable[[str, int, int], None]
"""Called with the stage (`dialogues`), documents done, and documents in all."""


class Writing:
    """Writes the dialogues and the failed list of one run.

    Args:
        folder: The open run folder; it holds the documents already.
        settings: What is asked of a dialogue.
        mode: Who writes.
        not_read: Inputs that could not be read (see `turnwise.synthesis.inputs.Inputs`).
        measure: Measures how much of a document is covered.
        total: How many documents there are.
        window: Most documents at work at once.
        on_progress: Told after every document.
    """

    def __init__(
        self,
        folder: RunFolder,
        settings: SynthesisConfig,
        mode: Mode,
        not_read: Sequence[Mapping[str, Any]],
        measure: Measure,
        total: int,
        window: int,
        on_progress: OnProgress,
    ) -> None:
        self._folder = folder
        self._settings = settings
        self._mode = mode
        self._not_read = not_read
        self._measure = measure
        self._total = total
        self._window = window
        self._on_progress = on_progress
        self._filters = Filters(settings)
        self._sets: dict[str, SetFigures] = {}
        self._prompts: set[str] = set()

    def write(self, *, lockstep: bool) -> None:
        """Write dialogues and failures as they come, each file whole or not at all."""
        with atomic_path(self._folder.file(FAILED_NAME)) as partial, partial.open("wb") as failed:
            for one in self._not_read:
                self._set(str(one[SET])).not_read()
                failed.write(encode_json({**one, "reason": "not_read"}) + b"\n")
            dialogues = self._dialogues(failed, lockstep=lockstep)
            write_dialogues(dialogues, self._folder.file(DIALOGUES_NAME), overwrite=True)

    def _dialogues(self, failed: IO[bytes], *, lockstep: bool) -> Iterator[Dialogue]:
        async def written(document: Document) -> tuple[Document, Written]:
            return document, self._filters.wanted(document) or await self._mode.write(document)

        documents = read_documents_of(self._folder.path)
        results = run_all(written, documents, window=self._window, lockstep=lockstep)
        for done, (document, raw) in enumerate(results, start=1):
            kept, dialogue = self._filters.apply(document, raw, self._mode)
            name = str(document.metadata.get(SET, ""))
            if kept.prompt:
                self._prompts.add(kept.prompt)
            coverage: dict[str, float] = {}
            if dialogue is not None:
                dialogue.metadata.update({SET: name} if name else {})
                coverage = self._measure(document, dialogue)
                dialogue.metadata["checks"] = {**dialogue.metadata.get("checks", {}), **coverage}
            self._set(name).add(document, kept, coverage)
            if len(kept.turns) < len(raw.turns) or dialogue is None:
                failed.write(encode_json(self._failure(document, raw, kept, dialogue)) + b"\n")
            self._on_progress("dialogues", done, self._total)
            if dialogue is not None:
                yield dialogue

    def _set(self, name: str) -> SetFigures:
        return self._sets.setdefault(name, SetFigures(name))

    def _failure(self, document: Document, raw: Written, kept: Written, dialogue: Dialogue | None) -> dict[str, Any]:
        """What failed.jsonl holds of a document that gave no dialogue, or only its first turns."""
        cut = dialogue is not None
        first = len(kept.turns) if cut else 0
        record = {
            "document": document.id,
            SET: document.metadata.get(SET),
            "mode": self._mode.name,
            "teacher": self._mode.teacher,
            "prompt": raw.prompt,
            "reason": "ungrounded" if cut else kept.failure,
            "detail": f"cut before turn {first}: its evidence does not stand in the document" if cut else kept.detail,
            "repeats": kept.checks.get("repeats"),
            "kept_turns": first,
            "turns": [turn_record(turn) for turn in raw.turns[first:]],
            "raw": list(raw.raw),
        }
        return {key: value for key, value in record.items() if value not in (None, "")}

    def summary(self) -> dict[str, Any]:
        """What summary.json holds, but for the usage."""
        sets, total = list(self._sets.values()), all_of(list(self._sets.values()))
        share = total.failed / total.documents
        limit = 1.0 if self._settings.dry_run else self._settings.max_failed
        notes = []
        if self._filters.exact_only:
            notes.append("only exact copies of dialogues were found: near duplicates need the extra 'dedup'")
        if self._settings.limit is not None:
            notes.append(f"only the first {self._settings.limit:,} documents of each input (--limit)")
        return {
            "mode": self._mode.name,
            "teacher": self._mode.teacher,
            "prompts": sorted(self._prompts),
            "dry_run": self._settings.dry_run,
            "documents": total.documents,
            "dialogues": total.dialogues,
            "failed": {
                "count": total.failed,
                "share": share,
                "limit": limit,
                "within_limit": share <= limit,
                "by_reason": {key: n for key, n in sorted(total.dropped.items()) if key not in LEFT_OUT},
            },
            "left_out": {key: n for key, n in sorted(total.dropped.items()) if key in LEFT_OUT},
            "all": total.to_dict(),
            "sets": [one.to_dict() for one in sets],
            "limit_reached": "limit" in total.dropped,
            "notes": notes,
            "versions": package_versions(),
        }

    def count_output(self, summary: dict[str, Any]) -> None:
        """What went in and came out, for the manifest."""
        manifest, total = self._folder.manifest, summary["all"]
        manifest.add_output(DIALOGUES_NAME, total["documents"], total["dialogues"], total["dropped"])
        manifest.outputs[0]["usage"] = summary["usage"]


def turn_record(turn: ChainTurn) -> dict[str, Any]:
    """A turn as JSON: what is set of it."""
    return {key: value for key, value in asdict(turn).items() if value not in (None, "", ())}
