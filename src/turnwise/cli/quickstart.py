"""`turnwise quickstart`: the main job on data whose truth is known, in about a minute."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from turnwise.cli.output import JsonFlag, OverwriteFlag, SeedOption, note, print_json, print_table
from turnwise.cli.progress import training_progress

if TYPE_CHECKING:
    from turnwise.training.fit import LogHook


def quickstart(
    output: Annotated[str, typer.Option(help="The run folder.")] = "runs/quickstart",
    noise: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of training dialogues with wrong answers.")
    ] = 0.6,
    seed: SeedOption = 0,
    from_scratch: Annotated[
        bool, typer.Option("--from-scratch", help="Build tokenizer and base model anew (a minute or two more).")
    ] = False,
    learning_rate: Annotated[float, typer.Option(min=0.0, help="Peak learning rate of all runs.")] = 5e-4,
    max_steps: Annotated[int | None, typer.Option(min=1, help="Stop each run after this many steps.")] = None,
    overwrite: OverwriteFlag = False,
    json: JsonFlag = False,
) -> None:
    """Fine-tune a small model on dialogues of which many are wrong: plainly, with ReSURE, and with the robust preset.

    The dialogues come from a checkable world, so every answer of the models is verified by program. Needs no GPU, no
    network and no data.
    """
    from turnwise.report.build import build_report
    from turnwise.study.quickstart import QuickstartConfig, run_quickstart

    config = QuickstartConfig(
        output=output,
        noise_rate=noise,
        seed=seed,
        from_scratch=from_scratch,
        learning_rate=learning_rate,
        max_steps=max_steps,
    )
    with contextlib.ExitStack() as bars:

        def log_hook(name: str) -> LogHook:
            bars.close()
            return bars.enter_context(training_progress(name))

        summary = run_quickstart(config, overwrite=overwrite, tell=note, log_hook=log_hook)
    report = build_report(output)
    _print(summary)
    note(f"report: {report}")
    if json:
        print_json({**summary, "run": output, "report": str(report)})


def _print(summary: Mapping[str, Any]) -> None:
    figures = summary["eval"]
    turns = max(len(figure["accuracy_by_turn"]) for figure in figures.values())
    numbered = [f"turn {turn}" for turn in range(turns)]
    rows = []
    for name, figure in figures.items():
        low, high = figure["accuracy_interval"]
        rows.append(
            (name, f"{figure['accuracy']:.3f}", f"{low:.3f} to {high:.3f}", *_two(figure["accuracy_by_turn"], turns))
        )
    answers = sum(count or 0 for count in figures["base"]["answers_by_turn"])
    print_table(
        f"accuracy on {answers} checkable answers of {summary['counts']['eval']} held-out dialogues",
        ("model", "all", "95 % interval", *numbered),
        rows,
    )
    print()
    rows = [(name, f"{figure['loss']:.3f}", *_two(figure["loss_by_turn"], turns)) for name, figure in figures.items()]
    print_table("held-out loss, nats per token", ("model", "all", *numbered), rows)
    print()
    for sentence in summary["findings"]:
        print(f"- {sentence}")
    print(f"- took {summary['wall_seconds']:.0f} s")


def _two(values: list[float | None], size: int) -> list[str]:
    padded = [*values, *[None] * (size - len(values))]
    return ["-" if value is None else f"{value:.2f}" for value in padded]
