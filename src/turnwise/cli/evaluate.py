"""`turnwise evaluate`: one command per benchmark; each makes its benchmark and hands it on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from turnwise.cli.evaluate_options import Options, with_options
from turnwise.cli.evaluate_run import construct, needed, print_score_table, run_benchmark
from turnwise.cli.output import JsonFlag, OverwriteFlag, ResumeFlag, SetOption, note, print_json, progress
from turnwise.errors import ConfigError

if TYPE_CHECKING:
    from turnwise.evaluation.settings import EvaluateConfig

app = typer.Typer(
    help="Measure models: benchmarks with a judge and without one, win rates, held-out loss.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command("mt-bench")
@with_options
def mt_bench(
    options: Options,
    references: Annotated[
        Path | None, typer.Option(help="Reference answers for every judge; default: those of DATA by judge's name.")
    ] = None,
) -> None:
    """Judge two-turn questions (MT-Bench, or any file of its form), one answer at a time or against a baseline.

    Example: turnwise evaluate mt-bench --data mt_bench --model runs/first/model --judge openai:gpt-4o --output runs/mt
    """

    def make(config: EvaluateConfig) -> Any:
        from turnwise.evaluation.mt_bench import MTBench
        from turnwise.evaluation.mt_bench_files import find_files

        data = Path(needed(config.data, "mt-bench"))
        if config.dry_run and data.is_dir():
            # The script that stands for the judge has no references of its own.
            config.options.setdefault("references", next(iter(find_files(data).references.values()), None))
        return construct(MTBench, config, data, prompts=config.prompts, samples=config.samples)

    run_benchmark(make, options, references=_text(references))


@app.command("mt-eval")
@with_options
def mt_eval(
    options: Options,
    groups: Annotated[
        list[str] | None,
        typer.Option(help="recollection, expansion, refinement, follow-up; may be repeated. Default: all."),
    ] = None,
) -> None:
    """Dialogues of up to twelve turns: recollection (scored by program), expansion, refinement, follow-up.

    Example: turnwise evaluate mt-eval --data mteval --groups recollection --model runs/first/model --output runs/eval
    """

    def make(config: EvaluateConfig) -> Any:
        from turnwise.evaluation.mt_eval import MTEval

        data = needed(config.data, "mt-eval")
        return construct(MTEval, config, data, prompts=config.prompts, samples=config.samples)

    run_benchmark(make, options, groups=groups or None)


@app.command("in-domain")
@with_options
def in_domain(options: Options) -> None:
    """Held-out dialogues of your own sources, judged by several criteria.

    Example: turnwise evaluate in-domain --data held_out.jsonl --model runs/first/model --judge openai:gpt-4o -o runs/in
    """

    def make(config: EvaluateConfig) -> Any:
        from turnwise.evaluation.in_domain import InDomain

        data = needed(config.data, "in-domain")
        return construct(InDomain, config, data, samples=config.samples)

    run_benchmark(make, options)


@app.command("pif")
@with_options
def pif(options: Options) -> None:
    """Instructions that accumulate over the turns: which share of all so far each reply follows, checked by program.

    Example: turnwise evaluate pif --model runs/first/model --output runs/pif
    """

    def make(config: EvaluateConfig) -> Any:
        from turnwise.evaluation.instructions import PIF

        return construct(PIF, config, seed=config.seed)

    run_benchmark(make, options)


@app.command("wilt")
@with_options
def wilt(options: Options) -> None:
    """Find a hidden rule about three numbers by asking, then say it; played and scored by program.

    Example: turnwise evaluate wilt --model runs/first/model --output runs/wilt
    """

    def make(config: EvaluateConfig) -> Any:
        from turnwise.evaluation.wilt import WILT

        return construct(WILT, config)

    run_benchmark(make, options)


@app.command("loss")
def loss(
    model: Annotated[str | None, typer.Option(help="Folder or hub name of a causal language model.")] = None,
    data: Annotated[list[str] | None, typer.Option(help="Held-out dialogues; may be repeated.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first dialogues of each input.")] = None,
    config: Annotated[Path | None, typer.Option(help="Configuration file; options win over it.")] = None,
    settings: SetOption = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The run folder.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the intervals' draws.")] = None,
    resume: ResumeFlag = False,
    overwrite: OverwriteFlag = False,
    json: JsonFlag = False,
) -> None:
    """Held-out loss and perplexity of a local model, by turn and by source; no judge is needed.

    Example: turnwise evaluate loss --model runs/first/model --data held_out.jsonl --output runs/loss
    """
    from turnwise.config import load_config
    from turnwise.evaluation.held_out import LossConfig, evaluate_loss
    from turnwise.report import build_evaluation_report

    given = {"model": model, "data": data or None, "limit": limit, "seed": seed, "output": _text(output)}
    chosen = load_config(LossConfig, config, overrides=settings or (), values=given)
    with progress.status(f"measuring {chosen.model}"):
        done = evaluate_loss(chosen, resume=resume, overwrite=overwrite)
    for table in done.results["tables"]:
        print_score_table(table)
    report = build_evaluation_report(done.run)
    note(f"report: {report}")
    if json:
        print_json({**done.results, "run": str(done.run), "report": str(report)})


@app.command("win-rate")
def win_rate(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="Comparisons: judgments, run folders, or AlpacaEval's annotations."),
    ],
    json: JsonFlag = False,
) -> None:
    """Win rates against a baseline from stored comparisons; nothing is asked.

    Example: turnwise evaluate win-rate annotations.json
    """
    from turnwise.evaluation.benchmark import ScoreTable
    from turnwise.evaluation.results import table_record

    tables = [
        table_record(
            ScoreTable(f"Win rate ({path.name})", "model", [rate.row], "win rate"),
            model=rate.model,
            judge="",
            baseline=rate.baseline,
        )
        | {"standard_error": rate.standard_error, "discrete": rate.discrete}
        for path in files
        for rate in _win_rates(path)
    ]
    for table in tables:
        print_score_table(table)
    if json:
        print_json({"tables": tables})


def _win_rates(path: Path) -> Any:
    from turnwise.evaluation.stored_judgments import read_judgments
    from turnwise.evaluation.win_rate import annotated_win_rates, judged_win_rates, read_annotations

    if path.is_file():
        annotations = read_annotations(path)
        if annotations and "generator_1" in annotations[0]:
            return annotated_win_rates(annotations)
    rates = judged_win_rates(read_judgments(path))
    if not rates:
        raise ConfigError(f"{path}: holds no comparisons with a baseline", hint="scores have no win rate")
    return rates


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
