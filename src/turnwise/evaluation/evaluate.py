"""Run a benchmark: answer every item, judge every answer, make the tables; a run folder that can be continued.

A run that was killed goes on by running again: requests that were answered come out of the cache in the run folder, so
only what was not is asked, and the files come out as they would have without the interruption.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from turnwise.errors import ConfigError, DataError
from turnwise.evaluation.answers import (
    read_stored_answers,
)
from turnwise.evaluation.benchmark import AsWritten, Benchmark, Item
from turnwise.evaluation.results import MAX_UNSCORED, RESULTS_NAME, Evaluation, summarize
from turnwise.evaluation.steps import (
    ANSWERS_NAME,
    BASELINE_NAME,
    OnProgress,
    Run,
    answer_all,
    count_outputs,
    judge_all,
)
from turnwise.evaluation.stored_judgments import read_judgments
from turnwise.llm.chat import ChatModel
from turnwise.llm.drive import run_one
from turnwise.llm.endpoint import without_login
from turnwise.llm.settings import may_change
from turnwise.run import RunFolder, package_versions, write_json

if TYPE_CHECKING:
    from turnwise.llm.settings import ClientConfig
    from turnwise.llm.usage import Usage

CACHE_NAME = "requests.sqlite"
MAY_CHANGE = ("output", "cache", "max_unscored", *may_change("client"), *may_change("judge_client"))
"""Settings that a resumed run may set differently: they decide how it is asked, not what."""

Mode = Literal["single", "pairwise"]


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
            name of the model whose stored answers are taken. None where the benchmark's dialogues are there already
            (`Benchmark.written_by`).
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
    model = _written(benchmark, model, answers)
    if usage is None:
        # With stored answers the model is a name in them; nobody is asked.
        asked = (model if answers is None else None, baseline if baseline_answers is None else None, judge)
        usage = _usage(*asked)
    if usage is not None and client is not None:
        usage.limit(client.max_requests, client.max_cost)  # also where only a judge with settings of its own is asked
    _check(benchmark, mode, model, judge, baseline, answers, baseline_answers)
    settings = _without_logins(config if config is not None else _settings(locals()))
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
    every = _items(benchmark)
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
    read = (*inputs, *getattr(benchmark, "inputs", ()))
    for path in (*read, *(path for path in (answers, baseline_answers) if path is not None)):
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
        run = Run(benchmark, every, items, folder, gold_history, window, on_progress or (lambda *_: None))
        name = answer_all(run, answering, ANSWERS_NAME)
        other_name = None if comparing is None else answer_all(run, comparing, BASELINE_NAME)
        judgments = judge_all(run, judging, pairwise=mode == "pairwise")
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
            "notes": _limited(items, every)
            + _resampled(client, judge_client)
            + [f"left out: {n:,} {why}" for why, n in left_out.items()]
            + run.notes,
            "usage": None if usage is None else usage.to_dict(),
            "versions": package_versions(),
        }
        count_outputs(run, judgments, left_out)
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


def _items(benchmark: Benchmark) -> Sequence[Item]:
    every = benchmark.items()
    names = Counter(item.id for item in every)
    repeated = [name for name, count in names.items() if count > 1]
    if repeated:
        raise DataError(f"{benchmark.name}: expected every id once, found {', '.join(repeated[:5])} again")
    return every


def _written(benchmark: Benchmark, model: ChatModel | str | None, answers: object) -> ChatModel | str | None:
    """The model; of a benchmark whose dialogues are there already, what stands for it."""
    if benchmark.written_by is None:
        return model
    for given, option in ((model, "model"), (answers, "answers")):
        if given is not None:
            raise ConfigError(f"{benchmark.name} judges dialogues that are there already; it takes no --{option}")
    return AsWritten(benchmark.written_by)


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
    if mode == "pairwise" and type(benchmark).compare is Benchmark.compare:
        raise ConfigError(f"{benchmark.name} has no pairwise mode", hint="leave the baseline out")
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


def _without_logins(config: Mapping[str, Any]) -> dict[str, Any]:
    """What goes into the manifest and the report: an address may hold a password."""
    given = {name: config.get(name) for name in ("model", "judge", "baseline")}
    return {**config, **{name: without_login(one) for name, one in given.items() if isinstance(one, str)}}


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


def _limited(items: Sequence[Item], every: Sequence[Item]) -> list[str]:
    if len(items) == len(every):
        return []
    return [f"only the first {len(items):,} of {len(every):,} items (--limit): these are not the benchmark's figures"]


def _resampled(client: ClientConfig | None, judge_client: ClientConfig | None) -> list[str]:
    """Figures depend on it, so the results say it."""
    given = {"all models" if judge_client is None else "the models": client, "the judge": judge_client}
    return [
        f"{who} asked with sampling of your own: {json.dumps(one.sampling, ensure_ascii=False)}"
        for who, one in given.items()
        if one is not None and one.sampling
    ]


def _file_of(path: str | Path) -> str | Path:
    return Path(path) / ANSWERS_NAME if Path(path).is_dir() else path
