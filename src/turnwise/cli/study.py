"""`turnwise study`: mixtures x methods x seeds, trained, measured and compared."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from turnwise.cli.output import JsonFlag, OverwriteFlag, ResumeFlag, SetOption, note, print_json, print_table


def study(
    config: Annotated[Path, typer.Argument(metavar="STUDY.yaml", help="The study; options win over it.")],
    output: Annotated[str | None, typer.Option(help="The folder of the study.")] = None,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help="Cells at a time, each in a process of its own. Default: the cores, or 1 with a GPU."),
    ] = None,
    only: Annotated[
        str | None, typer.Option(metavar="PATTERN", help="Run the cells mixture/method/seed that match, as 'H/*/0'.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the cells and the sizes of the data; stop.")] = False,
    settings: SetOption = None,
    resume: ResumeFlag = False,
    overwrite: OverwriteFlag = False,
    json: JsonFlag = False,
) -> None:
    """Compare training methods on mixtures of dialogues, with several seeds.

    Every cell (mixture, method, seed) is trained and measured. Writes results.parquet (every figure, one per row),
    results.md and report.html. A study that was interrupted goes on with --resume, cell by cell. Ends with 1 where a
    cell failed.

    Example: turnwise study studies/small/negative_optimization.yaml --jobs 2
    """
    from turnwise.config import load_config
    from turnwise.study.plan import StudyConfig

    chosen = load_config(StudyConfig, config, overrides=settings or (), values={"output": output})
    if dry_run:
        _show_plan(chosen, only, json)
        return
    from turnwise.report.study import build_study_report
    from turnwise.study.execute import run_study
    from turnwise.study.findings import findings
    from turnwise.study.results import read_results

    summary = run_study(chosen, resume=resume, overwrite=overwrite, jobs=jobs, only=only, tell=note)
    counts = summary["cells"]
    print_table("cells", tuple(counts), [tuple(counts.values())])
    for failure in summary["failures"]:
        note(f"failed: {failure['cell']}: {failure['reason']}")
    sentences = findings(read_results(chosen.output))
    for sentence in sentences:
        print(f"- {sentence}")
    report = build_study_report(chosen.output)
    note(f"report: {report}")
    if json:
        print_json({**summary, "findings": sentences, "run": chosen.output, "report": str(report)})
    if summary["failures"]:
        raise typer.Exit(1)


def _show_plan(config: Any, only: str | None, json: bool) -> None:
    from turnwise.study.preview import preview_study

    plan = preview_study(config, only=only)
    for cell in plan["cells"]:
        print(cell)
    rows = [
        (where, counts["dialogues"], counts["turns"], _listed(counts["by_source"]), _listed(counts["noisy"]))
        for where, counts in plan["data"].items()
    ]
    print_table(f"{len(plan['cells'])} cells", ("data", "dialogues", "turns", "sources", "noise"), rows)
    if json:
        print_json(plan)


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "-"
