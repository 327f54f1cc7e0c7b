"""Documents in, grounded dialogues out: a mode writes them, they are checked, and a run folder holds all of it.

A run that was killed goes on by running again: requests that were answered come out of the cache in the run folder, so
only what was not is asked, and the files come out as they would have without the interruption.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from turnwise.data.write import check_output, write_dialogues, write_records
from turnwise.dialogue import Document
from turnwise.errors import ConfigError, DataError
from turnwise.llm.drive import run_one
from turnwise.llm.endpoint import without_login
from turnwise.llm.settings import may_change
from turnwise.run import RunFolder, write_json
from turnwise.synthesis.chain import Mode
from turnwise.synthesis.covering import coverage_measure
from turnwise.synthesis.inputs import Inputs
from turnwise.synthesis.modes import MakeMode, needs_teacher, open_mode
from turnwise.synthesis.results import (
    COMMAND,
    DIALOGUES_NAME,
    DOCUMENTS_NAME,
    SUMMARY_NAME,
    SynthesisResult,
    read_dialogues_of,
    run_and_file,
)
from turnwise.synthesis.settings import SynthesisConfig
from turnwise.synthesis.writing import OnProgress, Writing

if TYPE_CHECKING:
    from turnwise.llm.chat import ChatModel
    from turnwise.llm.usage import Usage

CACHE_NAME = "requests.sqlite"
MAY_CHANGE = ("output", "cache", "max_failed", *may_change("client"))
"""Settings that a resumed run may set differently: they decide how it is asked, not what."""


def synthesize(
    documents: Iterable[Document | str | Path],
    mode: Mode | MakeMode | str = "extractive",
    output: str | Path = "dialogues.jsonl",
    *,
    teacher: ChatModel | str | None = None,
    settings: SynthesisConfig | None = None,
    usage: Usage | None = None,
    resume: bool = False,
    overwrite: bool = False,
    window: int = 256,
    on_progress: OnProgress | None = None,
) -> SynthesisResult:
    """Turn documents into dialogues.

    Writes `dialogues.jsonl`, `failed.jsonl`, `documents.jsonl`, `summary.json` and `manifest.json`; all in the order
    of the documents. Without `resume` and `overwrite`, nothing that exists is replaced.

    Args:
        documents: Documents, or paths of files and folders that hold some. `Document.metadata["set"]` says which of
            them are counted together; of paths, it is the path.
        mode: How dialogues are written: a name (`extractive`, `direct`, `cot`, `cod`, `cod-stepwise`), a mode, or a
            function from a teacher to a mode.
        output: The run folder; or a `.jsonl`, `.jsonl.gz` or `.parquet` file for the dialogues, with the run folder
            beside it, named like the file with `.run` after it.
        teacher: Who writes: a model, or a name that `turnwise.llm.opening.open_model` understands.
        settings: All else; by default a `SynthesisConfig()`. The arguments above win over it.
        usage: Counts requests, tokens and cost of a teacher that is opened here; by default a new one.
        resume: Continue the run that the folder holds.
        overwrite: Replace what the folder holds; replies that were paid for stay.
        window: Most documents at work at once, and so in memory.
        on_progress: Called in this thread after every document.

    Returns:
        What `summary.json` holds, the run folder and the file of dialogues.

    Raises:
        ConfigError: There is no such mode, or it needs a teacher and has none.
        DataError: There is no document, or they cannot be read.
        RunError: The folder holds another run.
    """
    settings = settings if settings is not None else SynthesisConfig()
    teacher = teacher if teacher is not None else settings.teacher
    if needs_teacher(mode) and teacher is None and not settings.dry_run:
        raise ConfigError(f"mode {mode} needs a teacher, found none", hint="--teacher MODEL@http://host/v1")
    run, target = run_and_file(output)
    inputs = Inputs([documents] if isinstance(documents, str | Path) else list(documents), settings)
    folder = RunFolder.open(
        run,
        COMMAND,
        config=_resolved(settings, inputs.paths, mode, teacher, output),
        seeds={"seed": settings.seed},
        resume=resume,
        overwrite=overwrite,
        resume_may_change=MAY_CHANGE,
        keep=[f"{CACHE_NAME}*"],
    )
    if target is not None:
        check_output(target, overwrite=overwrite or folder.resumed)
    for path in inputs.files(apart=run):
        folder.manifest.add_input(path)
    folder.check_inputs()
    with ExitStack() as stack:
        model, usage = _teacher(stack, mode, teacher, settings, folder, usage)
        writing = open_mode(mode, settings, model)
        measure = coverage_measure(settings.encoder)
        stack.enter_context(folder)
        for torn in folder.path.glob(".partial-*"):  # of a run that was killed while it wrote
            torn.unlink()
        count = write_records(inputs.documents(), folder.file(DOCUMENTS_NAME), overwrite=True)
        if not count + len(inputs.not_read):
            raise DataError("expected at least one document, found none")
        work = Writing(
            folder, settings, writing, inputs.not_read, measure, count, window, on_progress or (lambda *_: None)
        )
        # A mode may say itself that its documents are to begin together; else its teacher does.
        work.write(lockstep=bool(getattr(writing, "lockstep", getattr(model, "lockstep", False))))
        summary = {**work.summary(), "usage": None if usage is None else usage.to_dict()}
        work.count_output(summary)
        write_json(folder.file(SUMMARY_NAME), summary)
        if target is not None:
            write_dialogues(read_dialogues_of(folder.path), target, overwrite=True)
    return SynthesisResult(summary, folder.path, target or folder.file(DIALOGUES_NAME))


def _teacher(
    stack: ExitStack,
    mode: Mode | MakeMode | str,
    teacher: ChatModel | str | None,
    settings: SynthesisConfig,
    folder: RunFolder,
    usage: Usage | None,
) -> tuple[ChatModel | None, Usage | None]:
    """Who writes, closed in the end where it is opened here, and what counts it."""
    if not needs_teacher(mode):
        return None, None
    if settings.dry_run:
        from turnwise.llm.scripted import ScriptedModel

        return ScriptedModel.dry(), None
    if teacher is None or not isinstance(teacher, str):
        return teacher, None
    from turnwise.llm.opening import open_model
    from turnwise.llm.usage import Usage as Counters

    usage = usage if usage is not None else Counters()
    model = open_model(teacher, settings.client, cache=settings.cache or folder.file(CACHE_NAME), usage=usage)
    stack.callback(lambda: run_one(model.close()))
    return model, usage


def _resolved(
    settings: SynthesisConfig,
    paths: list[str],
    mode: Mode | MakeMode | str,
    teacher: ChatModel | str | None,
    output: str | Path,
) -> dict[str, Any]:
    """The settings with what the arguments say in their place."""
    named = mode if isinstance(mode, str) else getattr(mode, "__name__", None) or getattr(mode, "name", "")
    return {
        **settings.model_dump(mode="json"),
        "documents": paths,
        "mode": str(named),
        "teacher": without_login(teacher) if isinstance(teacher, str) else getattr(teacher, "name", None),
        "output": str(output),
    }
