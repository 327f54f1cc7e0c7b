"""`turnwise quality`: how good a data set is, with and without a judge."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from turnwise.cli.data import (
    FormatOption,
    Inputs,
    LimitOption,
    OnError,
    OnErrorOption,
    Paths,
    PathsOption,
    RolesOption,
    Side,
    SideOption,
    SplitOption,
    list_failures,
    parse_roles,
)
from turnwise.cli.output import (
    JsonFlag,
    OverwriteFlag,
    ResumeFlag,
    SeedOption,
    SetOption,
    note,
    print_json,
    print_table,
    progress,
)
from turnwise.errors import ConfigError

if TYPE_CHECKING:
    from turnwise.llm.chat import ChatModel
    from turnwise.quality.assess import Assessment

_SHOWN_LANGUAGES = 6


class By(StrEnum):
    """What tables are split by."""

    source = "source"
    tier = "tier"


class DensityOf(StrEnum):
    """Where units and words of the information density come from."""

    counted = "counted"
    published = "published"


def quality(
    data: Inputs,
    by: Annotated[By | None, typer.Option("--by", help="One column of figures per source or tier.")] = None,
    near_duplicates: Annotated[
        float | None,
        typer.Option("--near-duplicates", metavar="SIMILARITY", help="Also find near duplicates, for example 0.8."),
    ] = None,
    worst: Annotated[int, typer.Option("--worst", min=0, help="How many of the worst dialogues to list.")] = 3,
    judge: Annotated[
        str | None,
        typer.Option("--judge", metavar="ENDPOINT", help="MODEL@http://host/v1, openai:MODEL, local:PATH, ..."),
    ] = None,
    aspects: Annotated[
        list[str] | None,
        typer.Option(
            "--aspects",
            metavar="NAME,...",
            help="connection, quality, information_density, friendliness; all by default.",
        ),
    ] = None,
    sample: Annotated[int, typer.Option("--sample", min=1, help="Dialogues per aspect and group.")] = 100,
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="How often each judgment is repeated.")] = 1,
    density: Annotated[
        DensityOf, typer.Option("--density", help="Words counted by program, or as the judge states them.")
    ] = DensityOf.counted,
    reward_scores: Annotated[
        Path | None,
        typer.Option("--reward-scores", metavar="FILE", help="Table with the columns id and score, of a reward model."),
    ] = None,
    max_unscored: Annotated[
        float,
        typer.Option("--max-unscored", min=0, max=1, help="Share of unscored judgments from which exit code is 1."),
    ] = 0.05,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Run folder; needed with --judge.", show_default=False)
    ] = None,
    cache: Annotated[
        Path | None, typer.Option("--cache", metavar="FILE", help="Where the judge's replies are kept; else in OUTPUT.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE.yaml", help="Settings of the judge's client.")
    ] = None,
    settings: SetOption = None,
    seed: SeedOption = 0,
    format_: FormatOption = None,
    roles: RolesOption = None,
    on_error: OnErrorOption = OnError.stop,
    limit: LimitOption = None,
    split: SplitOption = "train",
    side: SideOption = Side.chosen,
    tree_paths: PathsOption = Paths.all,
    resume: ResumeFlag = False,
    overwrite: OverwriteFlag = False,
    json_: JsonFlag = False,
) -> None:
    """Measure a data set: lengths, repetition, overlap with earlier turns, refusals, languages, duplicates.

    These need no model. With --judge, also the aspects of the ReSURE paper on sampled dialogues; with --reward-scores,
    also the overall quality and tier. --set changes settings of the judge's client, for example --set max_cost=5.

    Example: turnwise quality chats.jsonl --by source
    """
    from turnwise.config import check_config
    from turnwise.quality.aspects import ASPECTS
    from turnwise.quality.assess import QualityConfig, assess, names_of

    if judge is not None and output is None:
        raise ConfigError("--judge needs --output: a folder for the judgments", hint="judgments cost; they are kept")
    if judge is None and (settings or config is not None or cache is not None):
        raise ConfigError("--config, --set and --cache are about the judge; found no --judge")
    chosen = check_config(
        QualityConfig,
        {
            "data": data,
            "by": by and by.value,
            "near_duplicates": near_duplicates,
            "worst": worst,
            "seed": seed,
            "judge": judge,
            "aspects": names_of(aspects, ASPECTS),
            "sample": sample,
            "repeats": repeats,
            "density": density.value,
            "reward_scores": reward_scores and str(reward_scores),
            "max_unscored": max_unscored,
            "format": format_,
            "roles": parse_roles(roles),
            "on_error": on_error.value,
            "limit": limit,
            "split": split,
            "side": side.value,
            "tree_paths": tree_paths.value,
        },
        "turnwise quality",
    )
    opening, client, usage = _opening(judge, config, settings)
    with progress.status("reading") as status:
        done = assess(
            chosen,
            open_judge=opening,
            output=output,
            resume=resume,
            overwrite=overwrite,
            cache=cache,
            client=client,
            on_judged=lambda number: status.update(f"judged {number}"),
        )
    list_failures(done.report.failures)
    _print_measures(done)
    _print_judged(done)
    if output is not None:
        note(f"wrote {output}")
    if usage is not None:
        note(f"asked the judge {usage.sent} times, {usage.cached} replies from the cache, cost {usage.cost:g}")
    if json_:
        print_json({**done.to_dict(), "usage": None if usage is None else usage.to_dict()})
    if done.too_many_unscored:
        note(f"{done.unscored} of {done.judgments} judgments have no score: more than --max-unscored {max_unscored:g}")
    if done.limit_reached:
        note("a limit on cost or requests was reached and the rest was not asked: --resume with a higher one goes on")
    if done.too_many_unscored or done.limit_reached:
        raise typer.Exit(1)


def _opening(judge: str | None, config: Path | None, settings: list[str] | None) -> tuple[Any, dict[str, Any], Any]:
    """What opens the judge, its client's settings, and its usage; nothing is imported without a judge."""
    if judge is None:
        return None, {}, None
    from turnwise.config import load_config
    from turnwise.llm.opening import open_model
    from turnwise.llm.settings import ClientConfig
    from turnwise.llm.usage import Usage

    client = load_config(ClientConfig, config, overrides=settings or ())
    usage = Usage()

    def opened(cache: Path | None) -> ChatModel:
        return open_model(judge, client, cache=cache, usage=usage)

    return opened, client.model_dump(), usage


def _print_measures(done: Assessment) -> None:
    from turnwise.quality.measures import MEASURES

    rows = {(row.group, row.measure): row for row in done.summary.rows(seed=done.config.seed)}
    groups = done.summary.groups()
    names = [group["group"] for group in groups]
    print_table(
        "measures without a model: mean over dialogues [95 % interval] (n)",
        ["measure", *names],
        [[one.label, *(_figure(rows[name, one.name], one.kind == "share") for name in names)] for one in MEASURES],
    )
    print_table(
        "dialogues",
        ["group", "dialogues", "without reply", "exact copies", "near copies", "scripts", "languages"],
        [
            [
                *(group[key] for key in ("group", "dialogues", "without_reply", "exact_copies", "near_copies")),
                _shares(group["scripts"]),
                _shares(group["languages"]),
            ]
            for group in groups
        ],
    )
    worst = done.summary.worst()
    if worst:
        print_table("worst dialogues", ["id", "group", "reason"], [[one.id, one.group, one.reason] for one in worst])


def _print_judged(done: Assessment) -> None:
    if done.figures is None:
        return
    print_table(
        "judged aspects",
        ["group", "aspect", "mean", "low", "high", "n", "unscored"],
        [
            [row.group, row.aspect, row.mean, row.low, row.high, row.n, _reasons(row.unscored)]
            for row in done.figures.rows()
        ],
    )
    overall = done.figures.overall()
    print_table(
        "overall: Connection + Quality + 100 Information Density + Friendliness + Reward",
        ["group", "four aspects", "overall", "low", "high", "tier", "missing"],
        [
            [one.group, one.judged, one.overall, one.low, one.high, one.tier, ", ".join(one.missing) or None]
            for one in overall
        ],
    )
    if any(one.missing == ("reward",) for one in overall):
        note("no overall quality without a reward: the interval is that of the four aspects (--reward-scores)")
    if done.without_reply:
        note(f"{done.without_reply} dialogues have no reply and were not judged")
    if done.unmatched_rewards:
        note(f"{done.unmatched_rewards} rewards are of dialogues that the data do not have")


def _figure(row: Any, share: bool) -> str | None:
    if row.mean is None:
        return None

    def shown(value: float) -> str:
        return f"{value:.1%}" if share else f"{value:.1f}"

    interval = "" if row.low is None else f" [{shown(row.low)}, {shown(row.high)}]"
    return f"{shown(row.mean)}{interval} ({row.n})"


def _shares(found: dict[str, float]) -> str:
    shown = [f"{name} {share:.1%}" for name, share in list(found.items())[:_SHOWN_LANGUAGES] if share >= 0.0005]
    return ", ".join(shown) + (", ..." if len(found) > _SHOWN_LANGUAGES else "")


def _reasons(unscored: dict[str, int]) -> str | None:
    return ", ".join(f"{reason} {count}" for reason, count in unscored.items()) or None
