"""What all `turnwise evaluate` commands do once they have their benchmark: run it or re-read it, print, exit."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from turnwise.cli.evaluate_options import Options
from turnwise.cli.evaluate_progress import evaluation_progress
from turnwise.cli.output import format_cell, note, print_json, print_table
from turnwise.errors import ConfigError, EndpointError

if TYPE_CHECKING:
    from turnwise.evaluation.benchmark import Benchmark
    from turnwise.evaluation.results import Evaluation
    from turnwise.evaluation.settings import EvaluateConfig

Make = Callable[["EvaluateConfig"], "Benchmark"]


def run_benchmark(make: Make, options: Options, **own: Any) -> None:
    """Run a benchmark, or with `--judgments` only make its tables.

    Args:
        make: From the settings to the benchmark.
        options: What the command line gave.
        own: The benchmark's own options, None where not given.
    """
    from turnwise.config import load_config
    from turnwise.evaluation.settings import EvaluateConfig

    config = load_config(EvaluateConfig, options.config, overrides=options.settings or (), values=options.values(**own))
    if options.judgments is not None:
        _recompute(make(config), options, config)
        return
    if config.output is None:
        raise ConfigError("a run needs a folder to write to", hint="--output FOLDER")
    try:
        done = _evaluate(make(config), options, config)
    except EndpointError:
        note("every reply so far is kept: once that is mended, the same command with --resume goes on")
        raise
    _print(done, dry_run=config.dry_run)
    from turnwise.report import build_evaluation_report

    assert done.run is not None  # noqa: S101 - a run was made
    report = build_evaluation_report(done.run)
    note(f"report: {report}")
    _finish(done, options, run=str(done.run), report=str(report))


def construct(
    benchmark: type, config: EvaluateConfig, *arguments: Any, elsewhere: Sequence[str] = (), **named: Any
) -> Any:
    """A benchmark of its class, with the settings' `options` besides; those named `elsewhere` are used already.

    Raises:
        ConfigError: The class takes no such option.
    """
    known = {*inspect.signature(benchmark).parameters, *elsewhere}
    for name in config.options:
        if name not in known:
            hint = f"known settings here: {', '.join(sorted(known))}"
            raise ConfigError(f"unknown setting 'options.{name}'", hint=hint)
    own = {name: value for name, value in config.options.items() if name not in elsewhere}
    return benchmark(*arguments, **{**named, **own})


def needed(path: str | None, what: str) -> str:
    """The `--data` of a benchmark whose files do not come with turnwise.

    Raises:
        ConfigError: There is none.
    """
    if path is None:
        raise ConfigError(f"{what} needs its files, which do not come with turnwise", hint="--data FOLDER")
    return path


def _evaluate(benchmark: Benchmark, options: Options, config: EvaluateConfig) -> Evaluation:
    from turnwise.evaluation.evaluate import evaluate
    from turnwise.llm.scripted import ScriptedModel
    from turnwise.llm.usage import Usage

    given: dict[str, Any] = {
        "model": config.model,
        "judge": config.judge,
        "baseline": config.baseline,
    }
    if config.dry_run:
        note("dry run: scripts stand for all models, nothing is asked, and the figures mean nothing")
        if benchmark.written_by is None:
            given["model"] = ScriptedModel.dry() if config.answers is None else config.model
        given["judge"] = ScriptedModel.dry()
        if config.baseline is not None:
            given["baseline"] = ScriptedModel.dry() if config.baseline_answers is None else config.baseline
    if config.limit is not None:
        note(f"only the first {config.limit} items (--limit): these are not the benchmark's figures")
    usage = Usage()
    resolved = config.model_dump(mode="json")
    with evaluation_progress(benchmark.name, usage) as on_progress:
        return evaluate(
            benchmark,
            **given,
            output=str(config.output),
            mode=config.mode,
            answers=config.answers,
            baseline_answers=config.baseline_answers,
            gold_history=config.gold_history,
            limit=config.limit,
            max_unscored=config.max_unscored,
            client=config.client,
            judge_client=config.judge_client,
            cache=config.cache,
            usage=usage,
            inputs=_files(config.output, config.data, config.prompts),
            config=resolved,
            seed=config.seed,
            dry_run=config.dry_run,
            resume=options.resume,
            overwrite=options.overwrite,
            on_progress=on_progress,
        )


def _files(output: str | None, *paths: str | None) -> list[str | Path]:
    """What a benchmark is given, for the manifest: files, and those of a folder one by one (but for the output's)."""
    found: list[str | Path] = []
    for path in paths:
        if path is not None and Path(path).is_dir():
            inside = (one for one in sorted(Path(path).rglob("*")) if one.is_file())
            found += [one for one in inside if not one.resolve().is_relative_to(Path(str(output)).resolve())]
        elif path is not None:
            found.append(path)
    return found


def _recompute(benchmark: Benchmark, options: Options, config: EvaluateConfig) -> None:
    from turnwise.evaluation.evaluate import recompute
    from turnwise.evaluation.stored_judgments import judgment_files

    given = {"model": config.model, "answers": config.answers, "output": config.output}
    for name, value in given.items():
        if value is not None:
            raise ConfigError(f"--judgments only reads what is stored; it takes no --{name}")
    assert options.judgments is not None  # noqa: S101 - checked by the caller
    for path in judgment_files(options.judgments)[1]:
        note(f"passed over, as it holds no judgments: {path}")
    done = recompute(benchmark, options.judgments, max_unscored=config.max_unscored)
    _print(done, dry_run=False)
    _finish(done, options)


def _print(done: Evaluation, *, dry_run: bool) -> None:
    for one in done.results["notes"]:
        note(f"note: {one}")
    _print_models(done)
    for table in done.tables:
        print_score_table(table, prefix="DRY RUN, no real figures: " if dry_run else "")
    for warning in done.warnings():
        note(f"WARNING: {warning}")


def _print_models(done: Evaluation) -> None:
    """The first row of every model's main table, where there are several models."""
    first = {(table["model"], table["judge"], table["baseline"]): table for table in reversed(done.tables)}
    if len(first) < 2:
        return
    rows = [(*who, table["rows"][0]) for who, table in reversed(first.items()) if table["rows"]]
    rows.sort(key=lambda row: (row[3]["mean"] is None, -(row[3]["mean"] or 0)))
    print_table(
        f"{done.results['benchmark']}, {len(rows)} models",
        ("model", "judge", "baseline", "mean", "95 % interval", "n", "unscored"),
        [
            (model, judge, baseline, row["mean"], _interval(row), row["n"], _reasons(row))
            for model, judge, baseline, row in rows
        ],
    )


def print_score_table(table: Mapping[str, Any], *, prefix: str = "") -> None:
    """A table of results.json on stdout: each row with its mean, interval, n and what is unscored."""
    rows = table["rows"]
    counted = list(dict.fromkeys(name for row in rows for name in row["counts"]))
    title = f"{prefix}{table['title']}: {table['model']}"
    if table["baseline"]:
        title += f" against {table['baseline']}"
    if table["judge"] not in ("program", ""):
        title += f", judged by {table['judge']}"
    print_table(
        title,
        (table["label"], table["measure"], "95 % interval", "n", *counted, "unscored"),
        [
            (
                row["name"],
                row["mean"],
                _interval(row),
                row["n"],
                *(row["counts"].get(name) for name in counted),
                _reasons(row),
            )
            for row in rows
        ],
    )


def _interval(row: Mapping[str, Any]) -> str:
    return "-" if row["low"] is None else f"{format_cell(row['low'])} to {format_cell(row['high'])}"


def _reasons(row: Mapping[str, Any]) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in row["unscored"].items()) or "0"


def _finish(done: Evaluation, options: Options, **where: str) -> None:
    if options.json:
        print_json({**done.results, **where, "warnings": done.warnings(), "exit_code": done.exit_code})
    if done.exit_code:
        raise typer.Exit(done.exit_code)
