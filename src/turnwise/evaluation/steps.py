"""The steps of an evaluation: every item answered, every answer judged, everything written as it comes and counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from turnwise.dialogue import Dialogue
from turnwise.evaluation.answers import (
    Fit,
    StoredAnswers,
    extra_answers,
    failures_of,
    fit_answer,
    read_answers,
    write_answers,
)
from turnwise.evaluation.benchmark import Benchmark, Item
from turnwise.evaluation.stored_judgments import JUDGMENTS_NAME, write_judgments
from turnwise.llm.chat import ChatModel
from turnwise.llm.drive import run_all
from turnwise.run import RunFolder

if TYPE_CHECKING:
    from turnwise.judging.records import Judgment

ANSWERS_NAME = "answers.jsonl"
BASELINE_NAME = "baseline_answers.jsonl"

OnProgress = Callable[[str, int, int], None]
"""Called with the stage (`answers`, `baseline answers`, `judgments`), items done, and items in all."""


@dataclass
class Run:
    """What the steps of one evaluation share.

    Attributes:
        benchmark: What is asked and how it is scored.
        every: All its items.
        items: Those that are asked.
        folder: Where everything is written.
        gold_history: Whether models see the items' own earlier replies.
        window: Most items at work at once.
        on_progress: Told after every item.
        answered: Counts by `model` and `baseline`; filled by `answer_all`.
        notes: What must be known to read the figures.
    """

    benchmark: Benchmark
    every: Sequence[Item]
    items: Sequence[Item]
    folder: RunFolder
    gold_history: bool
    window: int
    on_progress: OnProgress
    answered: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def answer_all(run: Run, answering: ChatModel | StoredAnswers, name: str) -> str:
    """Write the answers of one model; returns what it is called."""
    counts = {"dialogues": 0, "replies": 0, "failed": {}}
    run.answered["baseline" if name == BASELINE_NAME else "model"] = counts
    stage = "baseline answers" if name == BASELINE_NAME else "answers"
    answers: Iterator[Dialogue]
    if isinstance(answering, StoredAnswers):
        stored, fit = answering, Fit()
        extra_answers(run.every, stored, fit)
        answers = run_all(lambda item: fit_answer(run.benchmark, item, stored, fit), run.items, window=1)
        called = stored.model
    else:
        answers, called = _asked(run, answering, run.folder.file(name)), answering.name
        fit = None
    write_answers(_counted(run, answers, counts, stage), run.folder.file(name))
    if fit is not None:
        counts["stored"] = fit.to_dict()
        run.notes += [f"{stage}: {note}" for note in fit.notes()]
    return called


def _asked(run: Run, model: ChatModel, path: Path) -> Iterator[Dialogue]:
    """Ask for every answer; of a resumed run only for those that its file does not hold without a failure."""

    async def answer(work: tuple[Item, Dialogue | None]) -> Dialogue:
        item, earlier = work
        if earlier is not None and not failures_of(earlier) and earlier.metadata.get("model") == model.name:
            return earlier
        return await run.benchmark.answer(item, model, gold_history=run.gold_history)

    lockstep = bool(getattr(model, "lockstep", False))
    return run_all(answer, _with_earlier(run, path), window=run.window, lockstep=lockstep)


def _with_earlier(run: Run, path: Path) -> Iterator[tuple[Item, Dialogue | None]]:
    """Each item with what the earlier part of the run has written of it; both are in the order of the items."""
    earlier = read_answers(path) if run.folder.resumed and path.is_file() else iter(())
    for item in run.items:
        answer = next(earlier, None)
        yield item, answer if answer is not None and answer.id == item.id else None


def _counted(run: Run, answers: Iterable[Dialogue], counts: dict[str, Any], stage: str) -> Iterator[Dialogue]:
    first = ""
    for done, answer in enumerate(answers, start=1):
        counts["dialogues"] = done
        counts["replies"] += answer.num_turns
        failed = failures_of(answer)
        for kind in failed:
            counts["failed"][kind] = counts["failed"].get(kind, 0) + 1
        first = first or (_first_failure(answer) if failed else "")
        run.on_progress(stage, done, len(run.items))
        yield answer
    if first:
        kinds = ", ".join(f"{kind} {count:,}" for kind, count in counts["failed"].items())
        lost = f"{sum(counts['failed'].values()):,} of {counts['replies']:,} replies are no whole answer ({kinds})"
        run.notes.append(f"{stage}: {lost}; the first, {first}")


def _first_failure(answer: Dialogue) -> str:
    turn, reply = next((turn, reply) for turn, reply in enumerate(answer.replies) if reply.extra.get("failure"))
    return f"{answer.id} turn {turn}: {reply.extra.get('detail') or reply.extra['failure']}"


def judge_all(run: Run, judge: ChatModel | None, *, pairwise: bool) -> list[Judgment]:
    """Write the judgments of all answers, which `answer_all` has written; returns them without their texts."""

    async def work(answers: tuple[Dialogue, ...]) -> list[Judgment]:
        if pairwise:
            assert judge is not None  # noqa: S101 - checked before
            return await run.benchmark.compare(answers[0], answers[1], judge)
        return await run.benchmark.score(answers[0], judge)

    files = [run.folder.file(name) for name in (ANSWERS_NAME, BASELINE_NAME)[: 1 + pairwise]]
    pairs = zip(*map(read_answers, files), strict=True)
    lockstep = bool(getattr(judge, "lockstep", False))

    def batches() -> Iterator[list[Judgment]]:
        for done, batch in enumerate(run_all(work, pairs, window=run.window, lockstep=lockstep), start=1):
            run.on_progress("judgments", done, len(run.items))
            yield batch

    return write_judgments(batches(), run.folder.file(JUDGMENTS_NAME))


def count_outputs(run: Run, judgments: Sequence[Judgment], left_out: Mapping[str, int]) -> None:
    """What went in and came out, for the manifest."""
    beyond = len(run.every) - len(run.items)
    dropped = {**left_out, **({"beyond the limit": beyond} if beyond else {})}
    for key, name in (("model", ANSWERS_NAME), ("baseline", BASELINE_NAME)):
        if key in run.answered:
            written = run.answered[key]["dialogues"]
            run.folder.manifest.add_output(name, written + sum(dropped.values()), written, dropped)
    unscored = Counter(one.unscored for one in judgments if one.unscored is not None)
    scored = len(judgments) - unscored.total()
    by_reason = {str(reason): count for reason, count in sorted(unscored.items())}
    run.folder.manifest.add_output(JUDGMENTS_NAME, len(judgments), scored, by_reason)
