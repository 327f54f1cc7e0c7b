"""`turnwise data corrupt`: plant labelled noise in dialogues."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from turnwise.cli.data import FormatOption, Inputs, LimitOption, RolesOption, parse_roles
from turnwise.cli.output import JsonFlag, OverwriteFlag, SeedOption, note, print_json, print_table, progress
from turnwise.errors import ConfigError

if TYPE_CHECKING:
    from turnwise.data.world import World


class Kind(StrEnum):
    """The kinds of noise, as `turnwise.data.corruption.Kind` names them."""

    swap = "swap"
    wrong = "wrong"
    shift = "shift"
    truncate = "truncate"
    repeat = "repeat"
    garble = "garble"
    language = "language"
    contradict = "contradict"
    off_task = "off_task"


class Per(StrEnum):
    """What a rate is a share of."""

    dialogue = "dialogue"
    turn = "turn"


def corrupt(
    paths: Inputs,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File to write: .jsonl, .jsonl.gz or .parquet.", show_default=False)
    ],
    kind: Annotated[Kind, typer.Option("--kind", help="What becomes of a reply.", show_default=False)],
    rate: Annotated[
        float, typer.Option("--rate", min=0.0, max=1.0, help="Share to corrupt, exactly.", show_default=False)
    ],
    per: Annotated[Per, typer.Option("--per", help="The rate is a share of all dialogues, or of all turns.")] = (
        Per.dialogue
    ),
    turns: Annotated[
        str, typer.Option("--turns", help="Which replies: all, one, early, late, or turn_index as 0,2.")
    ] = "all",
    strength: Annotated[float | None, typer.Option("--strength", help="garble: share of words that move.")] = None,
    donors: Annotated[
        list[str] | None, typer.Option("--donors", metavar="PATH", help="language, off_task: where text comes from.")
    ] = None,
    systematic: Annotated[
        bool, typer.Option("--systematic", help="wrong: one false value for each true one, everywhere.")
    ] = False,
    world_seed: Annotated[
        int | None, typer.Option("--world-seed", help="wrong, contradict: the checkable world of the dialogues.")
    ] = None,
    entities: Annotated[
        int | None, typer.Option("--entities", help="People in that world; 32 where not given.", show_default=False)
    ] = None,
    seed: SeedOption = 0,
    format_: FormatOption = None,
    roles: RolesOption = None,
    limit: LimitOption = None,
    overwrite: OverwriteFlag = False,
    json_: JsonFlag = False,
) -> None:
    """Corrupt an exact share of dialogues or turns, and label which turns are no longer right.

    Labels are in metadata.noise of every dialogue written; training never sees them. What the input labels as noise
    already stays as it is, so the command can be repeated with another kind. OUTPUT.manifest.json has the counts.
    """
    from turnwise.config import load_config
    from turnwise.data.corruption import CorruptConfig, corrupt_files

    config = load_config(
        CorruptConfig,
        values={
            "kind": kind.value,
            "rate": rate,
            "per": per.value,
            "turns": _parse_turns(turns),
            "strength": strength,
            "donors": donors,
            "systematic": systematic,
            "seed": seed,
        },
    )
    world = _world(kind, world_seed, entities)
    with progress.status(f"corrupting to {output}"):
        done = corrupt_files(
            paths,
            output,
            config,
            world=world,
            overwrite=overwrite,
            format=format_,
            roles=parse_roles(roles),
            limit=limit,
        )
    report = done.report
    for reason, count in report.left_out.items():
        note(f"{count:,} of {report.turns:,} replies could not be chosen: {reason}")
    total, all_turns = report.dialogues, sum(counts["turns"] for counts in done.kinds.values())
    print_table(
        f"wrote {output}",
        ["kind", "dialogues", "of", "turns", "of"],
        [[name, counts["dialogues"], total, counts["turns"], all_turns] for name, counts in done.kinds.items()],
    )
    if json_:
        summary = {"output": str(output), "manifest": str(done.manifest), "kind": kind.value, "kinds": done.kinds}
        print_json({**summary, **report.to_dict()})


def _parse_turns(text: str) -> str | list[int]:
    parts = [part.strip() for part in text.split(",")]
    return [int(part) for part in parts] if all(part.isdecimal() for part in parts) else text


def _world(kind: Kind, seed: int | None, entities: int | None) -> World | None:
    from turnwise.data.world import World

    if seed is None:
        if entities is not None:
            raise ConfigError("--entities needs --world-seed", hint="give both, or neither")
        return None
    if kind not in (Kind.wrong, Kind.contradict):
        raise ConfigError(f"noise of the kind {kind.value!r} does not use --world-seed")
    return World(seed) if entities is None else World(seed, entities)
