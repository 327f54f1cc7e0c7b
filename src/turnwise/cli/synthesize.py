"""`turnwise synthesize`: documents in, grounded dialogues out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from turnwise.cli.evaluate_progress import evaluation_progress
from turnwise.cli.output import (
    JsonFlag,
    OverwriteFlag,
    ResumeFlag,
    SetOption,
    format_cell,
    note,
    print_json,
    print_table,
)
from turnwise.cli.request_options import (
    MODEL_FORMS,
    CacheOption,
    ConfigOption,
    DryRunFlag,
    MaxCostOption,
    MaxRequestsOption,
)
from turnwise.errors import ConfigError

if TYPE_CHECKING:
    from turnwise.synthesis.results import SynthesisResult
    from turnwise.synthesis.settings import SynthesisConfig


_SHARES = ("grounded", "common_knowledge", "evidence_coverage", "lexical_coverage", "coverage_rate")


class ModeName(StrEnum):
    """How dialogues are written."""

    extractive = "extractive"
    direct = "direct"
    cot = "cot"
    cod = "cod"
    cod_stepwise = "cod-stepwise"


def synthesize(
    documents: Annotated[
        list[str] | None,
        typer.Argument(metavar="[DOCS]...", help="Files and folders of documents.", show_default=False),
    ] = None,
    mode: Annotated[
        ModeName | None, typer.Option(help="How dialogues are written. Default: extractive, which asks no model.")
    ] = None,
    teacher: Annotated[str | None, typer.Option(help=f"Who writes: {MODEL_FORMS}.")] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The run folder, or a .jsonl, .jsonl.gz or .parquet file beside it."),
    ] = None,
    turns: Annotated[
        str | None, typer.Option(metavar="N-M", help="Fewest and most turns that are aimed at. Default: 8-12.")
    ] = None,
    coverage: Annotated[
        float | None, typer.Option(min=0, max=1, help="extractive: share of a document that the turns aim to use.")
    ] = None,
    require_grounded: Annotated[
        bool, typer.Option("--require-grounded", help="Cut a dialogue before evidence that is not in the document.")
    ] = False,
    min_turns: Annotated[int | None, typer.Option(min=1, help="Leave out dialogues with fewer turns.")] = None,
    encoder: Annotated[
        str | None,
        typer.Option(help="Measure the coverage rate too: minilm, or a folder or hub name of a sentence encoder."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first documents of each input.")] = None,
    export_generator_data: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Also write pairs of document and chain that train a generator; alone with --output, of that run.",
        ),
    ] = None,
    cache: CacheOption = None,
    max_cost: MaxCostOption = None,
    max_requests: MaxRequestsOption = None,
    max_failed: Annotated[
        float | None, typer.Option(min=0, max=1, help="Share of failed documents that ends with exit code 1.")
    ] = None,
    dry_run: DryRunFlag = False,
    config: ConfigOption = None,
    settings: SetOption = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random.")] = None,
    resume: ResumeFlag = False,
    overwrite: OverwriteFlag = False,
    json: JsonFlag = False,
) -> None:
    """Turn documents into multi-turn dialogues whose evidence stands in them, with its offsets.

    Example: turnwise synthesize docs/ --output dialogues.jsonl
    """
    from turnwise.config import load_config
    from turnwise.synthesis.settings import SynthesisConfig

    given: dict[str, Any] = {
        "documents": documents or None,
        "mode": None if mode is None else mode.value,
        "teacher": teacher,
        "output": _text(output),
        "turns": None if turns is None else _range(turns),
        "coverage": coverage,
        "require_grounded": require_grounded or None,
        "min_turns": min_turns,
        "encoder": encoder,
        "limit": limit,
        "cache": _text(cache),
        "max_failed": max_failed,
        "dry_run": dry_run or None,
        "seed": seed,
        "client": {"max_cost": max_cost, "max_requests": max_requests},
    }
    chosen = load_config(SynthesisConfig, config, overrides=settings or (), values=given)
    if chosen.output is None:
        raise ConfigError("a synthesis needs a place to write to", hint="--output dialogues.jsonl")
    if not chosen.documents:
        if export_generator_data is None:
            raise ConfigError("expected at least one file or folder of documents, found none")
        _export(Path(chosen.output), export_generator_data, overwrite=overwrite, json=json)
        return
    if export_generator_data is not None:
        from turnwise.data.write import check_output

        check_output(export_generator_data, overwrite=overwrite or resume)  # before anything is asked
    done = _run(chosen, resume=resume, overwrite=overwrite)
    _print(done)
    from turnwise.report import build_synthesis_report

    report = build_synthesis_report(done.run)
    note(f"dialogues: {done.output}")
    note(f"report: {report}")
    where: dict[str, Any] = {"run": str(done.run), "output": str(done.output), "report": str(report)}
    if export_generator_data is not None:
        where["generator_data"] = _write_pairs(done.run, export_generator_data, overwrite=overwrite or resume)
    if json:
        print_json({**done.summary, **where, "warnings": done.warnings(), "exit_code": done.exit_code})
    if done.exit_code:
        raise typer.Exit(done.exit_code)


def _run(config: SynthesisConfig, *, resume: bool, overwrite: bool) -> SynthesisResult:
    from turnwise.llm.usage import Usage
    from turnwise.synthesis.synthesize import synthesize as run

    if config.dry_run and config.mode != "extractive":
        note("dry run: a script stands for the teacher, nothing is asked, and the dialogues mean nothing")
    assert config.output is not None  # noqa: S101 - checked by the caller
    usage = Usage()
    with evaluation_progress("synthesize", usage) as on_progress:
        return run(
            config.documents,
            config.mode,
            config.output,
            settings=config,
            usage=usage,
            resume=resume,
            overwrite=overwrite,
            on_progress=on_progress,
        )


def _print(done: SynthesisResult) -> None:
    summary = done.summary
    sets = summary["sets"] + ([summary["all"]] if len(summary["sets"]) > 1 else [])
    shares = [name for name in _SHARES if any(one[name] is not None for one in sets)]
    print_table(
        f"Dialogues by {summary['mode']}",
        ("set", "documents", "dialogues", "turns", *(name.replace("_", " ") for name in shares)),
        [
            (_name(one), one["documents"], one["dialogues"], one["turns"], *(_percent(one[key]) for key in shares))
            for one in sets
        ],
    )
    names = list(summary["all"]["logic"])
    if names:
        rows = [(name, *(_percent(one["logic"].get(name)) for one in sets)) for name in names]
        print_table("Turns by logic type", ("type", *map(_name, sets)), rows)
    dropped = [(_name(one), *item) for one in sets[: len(summary["sets"])] for item in one["dropped"].items()]
    if dropped:
        print_table("Documents without a dialogue", ("set", "reason", "documents"), dropped)
    for text in summary["notes"]:
        note(f"note: {text}")
    for warning in done.warnings():
        note(f"WARNING: {warning}")


def _export(run: Path, target: Path, *, overwrite: bool, json: bool) -> None:
    from turnwise.synthesis.results import run_and_file

    written = _write_pairs(run_and_file(run)[0], target, overwrite=overwrite)
    if json:
        print_json({"generator_data": written})


def _write_pairs(run: Path, target: Path, *, overwrite: bool) -> dict[str, Any]:
    from turnwise.synthesis.generator import export_generator_data

    counts = export_generator_data(run, target, overwrite=overwrite)
    left = {reason: count for reason, count in counts.items() if reason != "written"}
    said = "".join(f", left out {count:,} ({reason})" for reason, count in left.items())
    note(f"generator data: {target}, {counts['written']:,} pairs{said}")
    return {"path": str(target), "pairs": counts["written"], "left_out": left}


def _range(text: str) -> list[int]:
    found = re.fullmatch(r"(\d+)(?:-(\d+))?", text.strip())
    if found is None:
        raise ConfigError(f"--turns: expected a number or a range such as 8-12, found {text!r}")
    return [int(found[1]), int(found[2] or found[1])]


def _name(one: Mapping[str, Any]) -> str:
    return str(one["set"] or "-")


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{format_cell(100 * share)} %"


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
