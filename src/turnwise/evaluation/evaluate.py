"""Run a benchmark: answer every item, judge every answer, make the tables; a run folder that can be continued.

A run that was killed goes on by running again: requests that were answered come out of the cache in the run folder, so
only what was not is asked, and the files come out as they would have without the interruption.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from turnwise.dialogue import Dialogue
from turnwise.errors import ConfigError, DataError
from turnwise.evaluation.answers import (
    Fit,
    StoredAnswers,
    extra_answers,
    failures_of,
    fit_answer,
    read_answers,
    read_stored_answers,
    write_answers,
)
from turnwise.evaluation.benchmark import Benchmark, Item
from turnwise.evaluation.results import MAX_UNSCORED, RESULTS_NAME, Evaluation, summarize
from turnwise.evaluation.stored_judgments import JUDGMENTS_NAME, read_judgments, write_judgments
from turnwise.llm.chat import ChatModel
from turnwise.llm.drive import run_all, run_one
from turnwise.run import RunFolder, package_versions, write_json

if TYPE_CHECKING:
    from turnwise.judging.records import Judgment
    from turnwise.llm.settings import ClientConfig
    from turnwise.llm.usage import Usage

CACHE_NAME = "requests.sqlite"
ANSWERS_NAME = "answers.jsonl"
BASELINE_NAME = "baseline_answers.jsonl"
MAY_CHANGE = ("output", "cache", "client", "client.*", "judge_client", "judge_client.*", "max_unscored")
"""Settings that a resumed run may set differently: they decide how it is asked, not what."""

Mode = Literal["single", "pairwise"]
OnProgress = Callable[[str, int, int], None]
"""Called with the stage (`answers`, `baseline answers`, `judgments`), items done, and items in all."""


@dataclass
class _Run:
    """What the steps of one evaluation share."""

    benchmark: Benchmark
    every: Sequence[Item]
    items: Sequence[Item]
    folder: RunFolder
    gold_history: bool
    window: int
    on_progress: OnProgress
    answered: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def evaluate(
    benchmark: Benchmark,
    *,
    output: str | Path,
    model: ChatModel | str | None = None,
    judge: ChatModel | str | None = None,
    baseline: ChatModel | str | None = None,
    mode: Mode | None = None,
    answers: str | Path | None = None,
    baseline_answers: str | Path | None = None,
    gold_history: bool = False,
    limit: int | None = None,
    max_unscored: float = MAX_UNSCORED,
    client: ClientConfig | None = None,
    judge_client: ClientConfig | None = None,
    cache: str | Path | None = None,
    usage: Usage | None = None,
    inputs: Sequence[str | Path] = (),
    config: Mapping[str, Any] | None = None,
    seed: int | None = None,
    dry_run: bool = False,
    resume: bool = False,
    overwrite: bool = False,
    window: int = 256,
    on_progress: OnProgress | None = None,
) -> Evaluation:
    """Evaluate a model on a benchmark.

    Writes `answers.jsonl` (and `baseline_answers.jsonl`), `judgments.jsonl`, `results.json` and `manifest.json`; every
    file in the order of the items.

    Args:
        benchmark: What is asked and how it is scored.
        output: The run folder.
        model: Who answers: a model, or a name that `turnwise.llm.opening.open_model` understands. With `answers`, the
            name of the model whose stored answers are taken.
        judge: Who judges, where the benchmark needs a judge.
        baseline: The other model of a comparison.
        mode: `single` scores each answer, `pairwise` compares it with the baseline's in both orders; by default
            pairwise where there is a baseline.
        answers: Judge these stored answers and ask no model: a file, or the folder of an earlier run.
        baseline_answers: The same for the baseline.
        gold_history: Show the model the benchmark's own earlier replies in place of its own.
        limit: Only the first items.
        max_unscored: Largest share of unscored judgments that is not said loudly.
        client: How endpoints are asked, for models that are given by name.
        judge_client: The same for the judge; by default as `client`.
        cache: The file of answered requests; by default `requests.sqlite` in the run folder, where it outlives
            `overwrite`.
        usage: Counts requests, tokens and cost of all models that are opened here; by default a new one.
        inputs: Files that the benchmark reads, for the manifest.
        config: The resolved configuration, for the manifest; by default made of the arguments.
        seed: Recorded in the manifest.
        dry_run: The models are scripts, said in the results; unscored judgments are then no failure.
        resume: Continue the run that the folder holds.
        overwrite: Replace what the folder holds.
        window: Most items at work at once, and so in memory.
        on_progress: Called in this thread after every item.

    Returns:
        What `results.json` holds, and whether a limit was passed.

    Raises:
        ConfigError: A model, a judge or a baseline is missing or not to be had.
        DataError: Stored answers cannot be read.
        RunError: The folder holds another run.
    """
    mode = _mode(mode, baseline, baseline_answers)
    usage = usage if usage is not None else _usage(model, judge, baseline)
    if usage is not None and client is not None:
        usage.limit(client.max_requests, client.max_cost)  # also where only a judge with settings of its own is asked
    _check(benchmark, mode, model, judge, baseline, answers, baseline_answers)
    settings = config if config is not None else _settings(locals())
    folder = RunFolder.open(
        output,
        f"evaluate {benchmark.name}",
        config=settings,
        seeds={} if seed is None else {"seed": seed},
        resume=resume,
        overwrite=overwrite,
        resume_may_change=MAY_CHANGE,
        keep=[f"{CACHE_NAME}*"],
    )
    every = benchmark.items()
    items = list(every if limit is None else islice(every, limit))
    # Of benchmarks over data of the user's own: dialogues that cannot be asked, by reason.
    left_out = dict(getattr(benchmark, "left_out", {}))
    stored = None
    if answers is not None:
        stored = read_stored_answers(answers, items=every, model=model if isinstance(model, str) else None)
    stored_baseline = None
    if baseline_answers is not None:
        name = baseline if isinstance(baseline, str) else None
        stored_baseline = read_stored_answers(baseline_answers, items=every, model=name)
    for path in (*inputs, *(path for path in (answers, baseline_answers) if path is not None)):
        folder.manifest.add_input(_file_of(path))
    folder.check_inputs()
    with ExitStack() as stack:
        open_one = partial(_opened, stack, cache=cache or folder.file(CACHE_NAME), usage=usage)
        answering = stored or open_one(model, client)
        judging = open_one(judge, judge_client or client) if judge is not None else None
        other = stored_baseline
        comparing = None if mode == "single" else other or open_one(baseline, client)
        if judging is not None:
            _check_judge(benchmark, judging.name, mode)
        stack.enter_context(folder)
        for torn in folder.path.glob(".partial-*"):  # of a run that was killed while it wrote
            torn.unlink()
        run = _Run(benchmark, every, items, folder, gold_history, window, on_progress or (lambda *_: None))
        name = _answer_all(run, answering, ANSWERS_NAME)
        other_name = None if comparing is None else _answer_all(run, comparing, BASELINE_NAME)
        judgments = _judge_all(run, judging, pairwise=mode == "pairwise")
        results = {
            # What a script has said in a judge's place is no sign of anything.
            **summarize(benchmark, judgments, max_unscored=1.0 if dry_run else max_unscored),
            "mode": mode,
            "model": name,
            "judge": None if judging is None else judging.name,
            "baseline": other_name,
            "dry_run": dry_run,
            "items": len(items),
            "items_of_benchmark": len(every),
            "left_out": left_out,
            "answers": run.answered,
            "limit_reached": any(one.unscored == "limit" for one in judgments)
            or any("limit" in one["failed"] for one in run.answered.values()),
            "notes": _limited(items, every) + [f"left out: {n:,} {why}" for why, n in left_out.items()] + run.notes,
            "usage": None if usage is None else usage.to_dict(),
            "versions": package_versions(),
        }
        _count(folder, run, judgments)
        write_json(folder.file(RESULTS_NAME), results)
    return Evaluation(results, folder.path)


def recompute(benchmark: Benchmark, judgments: str | Path, *, max_unscored: float = MAX_UNSCORED) -> Evaluation:
    """Only the tables, from judgments that are stored; several models and judges give a table each.

    Args:
        benchmark: Whose judgments these are.
        judgments: A file or a folder (see `turnwise.evaluation.stored_judgments.read_judgments`).
        max_unscored: Largest share of unscored judgments that is not said loudly.

    Raises:
        DataError: There are no judgments, or they cannot be read.
    """
    found = read_judgments(judgments)
    if not found:
        raise DataError("expected at least one judgment, found none", path=judgments)
    results = summarize(benchmark, found, max_unscored=max_unscored)
    # A limit may have been reached then; nothing is asked now.
    return Evaluation({**results, "limit_reached": False, "notes": []})


def _mode(mode: Mode | None, baseline: object, baseline_answers: object) -> Mode:
    given = baseline is not None or baseline_answers is not None
    if mode == "single" and given:
        raise ConfigError("a baseline is for comparisons, found one with mode single", hint="--mode pairwise")
    if mode == "pairwise" and not given:
        raise ConfigError(
            "mode pairwise compares with a baseline, found none", hint="--baseline MODEL or --baseline-answers FILE"
        )
    return mode or ("pairwise" if given else "single")


def _check(
    benchmark: Benchmark,
    mode: Mode,
    model: ChatModel | str | None,
    judge: ChatModel | str | None,
    baseline: ChatModel | str | None,
    answers: object,
    baseline_answers: object,
) -> None:
    if model is None and answers is None:
        raise ConfigError("nobody answers: expected a model or stored answers", hint="--model MODEL or --answers FILE")
    if judge is None and (benchmark.needs_judge or mode == "pairwise"):
        raise ConfigError(f"{benchmark.name} in mode {mode} needs a judge, found none", hint="--judge MODEL")
    for one, stored, option in ((model, answers, "model"), (baseline, baseline_answers, "baseline")):
        if stored is not None and one is not None and not isinstance(one, str):
            raise ConfigError(f"with stored answers the {option} is a name in them, found a model that answers")


def _check_judge(benchmark: Benchmark, judge: str, mode: Mode) -> None:
    """Let a benchmark that needs something for its judge (prompts, references) say what is missing, before it costs."""
    check = getattr(benchmark, "check", None)
    if check is not None:
        check(judge, "pair" if mode == "pairwise" else "single")


def _settings(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `evaluate` that decide what comes out, as the manifest keeps them."""

    def plain(value: Any) -> Any:
        return value.name if hasattr(value, "reply") else str(value) if isinstance(value, Path) else value

    names = ("model", "judge", "baseline", "mode", "answers", "baseline_answers", "gold_history", "limit", "dry_run")
    return {"benchmark": arguments["benchmark"].name, **{name: plain(arguments[name]) for name in names}}


def _usage(*models: ChatModel | str | None) -> Usage | None:
    """Counters that all models opened here share; None where none is, as a model counts for itself."""
    if not any(isinstance(one, str) for one in models):
        return None
    from turnwise.llm.usage import Usage

    return Usage()


def _opened(
    stack: ExitStack,
    model: ChatModel | str | None,
    client: ClientConfig | None,
    *,
    cache: str | Path,
    usage: Usage | None,
) -> ChatModel:
    """A model that was given, or one by name, which is closed in the end."""
    assert model is not None  # noqa: S101 - checked before
    if not isinstance(model, str):
        return model
    from turnwise.llm.opening import open_model

    opened: ChatModel = open_model(model, client, cache=cache, usage=usage)
    stack.callback(lambda: run_one(opened.close()))
    return opened


def _answer_all(run: _Run, answering: ChatModel | StoredAnswers, name: str) -> str:
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


def _asked(run: _Run, model: ChatModel, path: Path) -> Iterator[Dialogue]:
    """Ask for every answer; of a resumed run only for those that its file does not hold without a failure."""
    earlier = {one.id: one for one in read_answers(path)} if run.folder.resumed and path.is_file() else {}
    whole = {name: one for name, one in earlier.items() if not failures_of(one)}

    async def answer(item: Item) -> Dialogue:
        if item.id in whole:
            return whole[item.id]
        return await run.benchmark.answer(item, model, gold_history=run.gold_history)

    return run_all(answer, run.items, window=run.window, lockstep=bool(getattr(model, "lockstep", False)))


def _counted(run: _Run, answers: Iterable[Dialogue], counts: dict[str, Any], stage: str) -> Iterator[Dialogue]:
    for done, answer in enumerate(answers, start=1):
        counts["dialogues"] = done
        counts["replies"] += answer.num_turns
        for kind in failures_of(answer):
            counts["failed"][kind] = counts["failed"].get(kind, 0) + 1
        run.on_progress(stage, done, len(run.items))
        yield answer


def _judge_all(run: _Run, judge: ChatModel | None, *, pairwise: bool) -> list[Judgment]:
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


def _count(folder: RunFolder, run: _Run, judgments: Sequence[Judgment]) -> None:
    """What went in and came out, for the manifest."""
    for key, name in (("model", ANSWERS_NAME), ("baseline", BASELINE_NAME)):
        if key in run.answered:
            counts = run.answered[key]
            failed = {f"reply {kind}": count for kind, count in sorted(counts["failed"].items())}
            folder.manifest.add_output(name, len(run.items), counts["dialogues"], failed)
    unscored: dict[str, int] = {}
    for one in judgments:
        if one.unscored is not None:
            unscored[one.unscored] = unscored.get(one.unscored, 0) + 1
    scored = len(judgments) - sum(unscored.values())
    folder.manifest.add_output(JUDGMENTS_NAME, len(judgments), scored, dict(sorted(unscored.items())))


def _limited(items: Sequence[Item], every: Sequence[Item]) -> list[str]:
    if len(items) == len(every):
        return []
    return [f"only the first {len(items):,} of {len(every):,} items (--limit): these are not the benchmark's figures"]


def _file_of(path: str | Path) -> str | Path:
    return Path(path) / ANSWERS_NAME if Path(path).is_dir() else path
