"""The options that all `turnwise evaluate` commands share, written once."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from turnwise.cli.output import JsonFlag, OverwriteFlag, ResumeFlag, SetOption
from turnwise.cli.request_options import (
    MODEL_FORMS,
    CacheOption,
    ConfigOption,
    DryRunFlag,
    MaxCostOption,
    MaxRequestsOption,
)


class Mode(StrEnum):
    """How answers are judged."""

    single = "single"
    pairwise = "pairwise"


@dataclass(frozen=True)
class Options:
    """What every benchmark takes; None leaves a setting to the configuration file or its default."""

    model: Annotated[str | None, typer.Option(help=f"Who answers: {MODEL_FORMS}.")] = None
    judge: Annotated[str | None, typer.Option(help="Who judges, named as a model is.")] = None
    baseline: Annotated[str | None, typer.Option(help="The other model of a comparison.")] = None
    mode: Annotated[
        Mode | None, typer.Option(help="Score answers or compare them; pairwise where there is a baseline.")
    ] = None
    answers: Annotated[
        Path | None, typer.Option(help="Judge these stored answers: a file (ours, FastChat's) or a run folder.")
    ] = None
    baseline_answers: Annotated[Path | None, typer.Option(help="Stored answers of the baseline.")] = None
    judgments: Annotated[
        Path | None, typer.Option(help="Only print the tables of these stored judgments: a file or a folder.")
    ] = None
    data: Annotated[str | None, typer.Option(help="The benchmark's files: a folder, a file.")] = None
    prompts: Annotated[Path | None, typer.Option(help="The judge's prompts; default: those of turnwise.")] = None
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first items.")] = None
    samples: Annotated[int | None, typer.Option(min=1, help="How often each judgment is repeated.")] = None
    gold_history: Annotated[
        bool, typer.Option("--gold-history", help="Show the model the benchmark's earlier replies, not its own.")
    ] = False
    cache: CacheOption = None
    max_cost: MaxCostOption = None
    max_requests: MaxRequestsOption = None
    max_unscored: Annotated[
        float | None, typer.Option(min=0, max=1, help="Share of unscored judgments that ends with exit code 1.")
    ] = None
    dry_run: DryRunFlag = False
    config: ConfigOption = None
    settings: SetOption = None
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The run folder.")] = None
    seed: Annotated[int | None, typer.Option(help="Seed of whatever the benchmark draws.")] = None
    resume: ResumeFlag = False
    overwrite: OverwriteFlag = False
    json: JsonFlag = False

    def values(self, **own: Any) -> dict[str, Any]:
        """The settings that were given, as `EvaluateConfig` names them; `own` are those of the benchmark."""
        elsewhere = {"judgments", "config", "settings", "resume", "overwrite", "json", "max_cost", "max_requests"}
        given: dict[str, Any] = {}
        for one in fields(self):
            value = getattr(self, one.name)
            if one.name not in elsewhere and value is not None and value is not False:
                given[one.name] = str(value) if isinstance(value, Path | Mode) else value
        return {
            **given,
            "client": {"max_cost": self.max_cost, "max_requests": self.max_requests},
            "options": {name: value for name, value in own.items() if value is not None},
        }


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose first parameter is `Options` becomes one that takes each of them as an option of its own."""
    own = list(inspect.signature(command).parameters.values())[1:]
    hints = get_type_hints(command, include_extras=True)
    shared = get_type_hints(Options, include_extras=True)
    names = [one.name for one in fields(Options)]

    @functools.wraps(command)
    def called(**given: Any) -> None:
        command(Options(**{name: given.pop(name) for name in names}), **given)

    kind = inspect.Parameter.KEYWORD_ONLY
    parameters = [one.replace(annotation=hints[one.name], kind=kind) for one in own]
    parameters += [
        inspect.Parameter(one.name, kind, default=one.default, annotation=shared[one.name])
        for one in fields(Options)
        if one.default is not MISSING
    ]
    del called.__wrapped__
    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {one.name: one.annotation for one in parameters}
    return called
