"""`turnwise train`: fine-tune a model on dialogues, weighed by their reliability."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from turnwise.cli.output import JsonFlag, OverwriteFlag, ResumeFlag, SetOption, note, print_json, print_table
from turnwise.cli.progress import training_progress
from turnwise.training.methods import METHODS

_METHODS = "; ".join(f"{name}: {method.summary}" for name, method in METHODS.items())


def train(
    config: Annotated[
        Path | None, typer.Argument(metavar="CONFIG.yaml", help="Configuration file; options win over it.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Hugging Face name or folder of a causal language model.")] = None,
    data: Annotated[
        list[str] | None, typer.Option(help="Dialogue file, folder or hf://OWNER/NAME; may be repeated.")
    ] = None,
    eval_data: Annotated[list[str] | None, typer.Option(help="Held-out dialogues; may be repeated.")] = None,
    method: Annotated[str | None, typer.Option(help=f"How to train (default resure). {_METHODS}.")] = None,
    output: Annotated[str | None, typer.Option(help="The run folder.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random.")] = None,
    settings: SetOption = None,
    resume: ResumeFlag = False,
    overwrite: OverwriteFlag = False,
    json: JsonFlag = False,
) -> None:
    """Fine-tune a causal language model on dialogues of mixed quality.

    Writes a run folder: model/ or adapter/, ledger.parquet (what every dialogue cost and weighed), metrics.jsonl,
    summary.json, manifest.json, report.html. An interrupted run continues with --resume.

    Example: turnwise train --model Qwen/Qwen2.5-0.5B-Instruct --data chats.json --output runs/first
    """
    from turnwise.config import load_config
    from turnwise.report.build import build_report
    from turnwise.study.single import evaluate_run
    from turnwise.training.fit import TrainConfig, fit

    chosen = load_config(
        TrainConfig,
        config,
        overrides=settings or (),
        values={
            "model": model,
            "data": data or None,
            "eval_data": eval_data or None,
            "method": method,
            "output": output,
            "seed": seed,
        },
    )
    with training_progress(chosen.method) as on_log:
        result = fit(chosen, resume=resume, overwrite=overwrite, on_log=on_log)
    if not result.is_main:
        return
    summary = evaluate_run(result)
    report = build_report(result.run)
    _print_summary(summary)
    for caution in summary["cautions"]:
        note(f"caution: {caution}")
    note(f"report: {report}")
    if json:
        print_json({**summary, "run": str(result.run), "report": str(report)})


def _print_summary(summary: Mapping[str, Any]) -> None:
    counts = summary["counts"]
    rows: list[tuple[str, Any]] = [
        ("method", summary["method"]),
        ("dialogues trained on", counts["train"] - sum(counts["skipped"].values()) if summary["trained"] else 0),
        *([("left out: prefilter", counts["prefiltered"])] if counts["prefiltered"] else []),
        *((f"left out: {reason}", count) for reason, count in counts["skipped"].items()),
        ("optimizer steps", summary["steps"]),
        ("mean training loss", summary["train_loss"]),
    ]
    final = summary.get("eval", {}).get("final")
    if final is not None:
        rows.append(("held-out loss (nats/token)", final["loss"]))
    if summary["reliability"] is not None:
        rows.append(("estimated share of unreliable units", summary["reliability"]["noise_share"]))
    if summary.get("auroc_noise") is not None:
        rows.append(("AUROC of the ledger for labelled noise", summary["auroc_noise"]))
    rows.append(("seconds", summary["wall_seconds"]))
    print_table(
        "trained", ("", "value"), [(name, str(value) if isinstance(value, int) else value) for name, value in rows]
    )
