"""Labelled noise as a configuration file asks for it: which kind, how often, in which turns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from turnwise.config import PathText, StrictModel
from turnwise.data import noise_text
from turnwise.data.noise import language_rule, off_task_rule, shift_rule, swap_rule, wrong_rule
from turnwise.data.noise_contradict import contradict_rule
from turnwise.data.noise_engine import CLEAN, Choice, NoiseReport, Per, Rule, Turns, apply_rule, noisy_turns
from turnwise.data.read import ReadReport, read_dialogues
from turnwise.data.records import list_sources
from turnwise.data.world import World, words
from turnwise.data.write import check_output, write_dialogues
from turnwise.dialogue import Dialogue
from turnwise.errors import ConfigError, DataError
from turnwise.run import Manifest

Kind = Literal["swap", "wrong", "shift", "truncate", "repeat", "garble", "language", "contradict", "off_task"]

_NEED_DONORS = ("language", "off_task")
_STRENGTH = 0.5


class CorruptConfig(StrictModel):
    """One kind of noise."""

    kind: Kind = Field(description="What becomes of a reply.")
    rate: float = Field(
        ge=0, le=1, description="Share of the dialogues (or turns) to corrupt, exactly round(rate * n)."
    )
    per: Per = Field("dialogue", description="What the rate is a share of: all dialogues, or all turns of all of them.")
    turns: Turns = Field("all", description="Which replies may be corrupted: a word, or a list of turn_index.")
    strength: float | None = Field(
        None, gt=0, le=1, description="garble alone: share of the words that move; null is 0.5."
    )
    donors: list[PathText] = Field(
        default_factory=list, description="language and off_task alone: dialogue files that replies are taken from."
    )
    systematic: bool = Field(
        False, description="wrong alone: one false value for each true one, everywhere, in place of a new draw."
    )
    seed: int = Field(0, description="Seed of the choice and of what replaces the replies.")

    @model_validator(mode="after")
    def _options_fit_the_kind(self) -> CorruptConfig:
        unused = [
            name
            for name, given, users in (
                ("strength", self.strength is not None, ("garble",)),
                ("donors", bool(self.donors), _NEED_DONORS),
                ("systematic", self.systematic, ("wrong",)),
            )
            if given and self.kind not in users
        ]
        if unused:
            raise ValueError(f"noise of the kind {self.kind!r} does not use {' and '.join(unused)}")
        if self.per == "turn" and self.kind == "shift":
            raise ValueError("noise of the kind 'shift' changes a dialogue from a turn on; expected per: dialogue")
        if self.per == "turn" and self.turns == "one":
            raise ValueError("turns: one is one reply of each chosen dialogue; expected per: dialogue")
        if isinstance(self.turns, list) and (not self.turns or min(self.turns) < 0):
            raise ValueError("expected turns to be a list of one or more turn_index from 0 on")
        return self


def corrupt_dialogues(
    dialogues: Sequence[Dialogue],
    config: CorruptConfig,
    *,
    world: World | None = None,
    report: NoiseReport | None = None,
) -> list[Dialogue]:
    """Corrupt a share of dialogues; every result carries `metadata["noise"]` (see `turnwise.data.noise_engine`).

    Several kinds can be applied one after another: what is labelled as noise already is not corrupted again, and the
    rate is a share of all dialogues (or turns), not of those left.

    Args:
        dialogues: The dialogues; not changed.
        config: What to do.
        world: The world that they come from; `wrong` needs it, `contradict` uses it, other kinds ignore it.
        report: Filled with counts.

    Raises:
        ConfigError: The kind needs a world or donors and there are none.
        DataError: The dialogues do not allow this noise, are not of the world, or the donors cannot be read.
    """
    rule = _rule(dialogues, config, world)
    return apply_rule(dialogues, Choice(config.kind, config.rate, config.seed, config.turns, config.per), rule, report)


@dataclass(frozen=True, slots=True)
class Corruption:
    """What `corrupt_files` did.

    Attributes:
        report: Counts of this corruption.
        kinds: All labels of the written dialogues: kind to how many dialogues and turns have it; `clean` counts the
            dialogues without noise and the turns without noise of all.
        manifest: The manifest's path.
    """

    report: NoiseReport
    kinds: dict[str, dict[str, int]]
    manifest: Path


def corrupt_files(
    paths: str | Path | Sequence[str | Path],
    output: str | Path,
    config: CorruptConfig,
    *,
    world: World | None = None,
    overwrite: bool = False,
    format: str | None = None,  # noqa: A002
    roles: Mapping[str, str] | None = None,
    limit: int | None = None,
) -> Corruption:
    """Read dialogues, corrupt a share of them, write all to `output` with `OUTPUT.manifest.json` beside it.

    Args:
        paths: As in `read_dialogues`.
        output: A `.jsonl`, `.jsonl.gz` or `.parquet` file; never one of the inputs.
        config: What to do.
        world: The world that the dialogues come from; that they do is checked.
        overwrite: Replace an existing output.
        format: As in `read_dialogues`.
        roles: As in `read_dialogues`.
        limit: As in `read_dialogues`.

    Raises:
        ConfigError: As `corrupt_dialogues`.
        DataError: As `read_dialogues`, `check_of_world`, `corrupt_dialogues` and `write_dialogues`.
    """
    output = check_output(output, overwrite=overwrite)
    manifest = Manifest(
        "data corrupt",
        config={
            "paths": [str(path) for path in ([paths] if isinstance(paths, str | Path) else paths)],
            **config.model_dump(),
            "format": format,
            "roles": dict(roles or {}),
            "limit": limit,
            "world_seed": None if world is None else world.seed,
            "entities": None if world is None else len(world.facts),
        },
        seeds={"seed": config.seed},
    )
    read, counts = ReadReport(), NoiseReport()
    dialogues = list(read_dialogues(paths, format=format, roles=roles, limit=limit, report=read))
    if any(output.resolve() == Path(file.path).resolve() for file in read.files):
        raise DataError("the output is one of the inputs", path=output, hint="choose another --output")
    if world is not None:
        check_of_world(dialogues, world)
    corrupted = corrupt_dialogues(dialogues, config, world=world, report=counts)
    for file in read.files:
        manifest.add_input(file.path, file.read)
    for donor in donor_files(config):
        manifest.add_input(donor)
    written = write_dialogues(corrupted, output, overwrite=overwrite)
    manifest.add_output(output, read.read, written)
    manifest.outputs[-1]["noise"] = counts.to_dict()
    manifest.finish()
    manifest_path = output.with_name(output.name + ".manifest.json")
    manifest.write(manifest_path)
    return Corruption(counts, count_kinds(corrupted), manifest_path)


def donor_files(config: CorruptConfig) -> list[Path]:
    """The files that the donors are read from; folders are listed, hub data sets left out."""
    return [file for file in list_sources(config.donors)[0] if isinstance(file, Path)] if config.donors else []


def count_kinds(dialogues: Sequence[Dialogue]) -> dict[str, dict[str, int]]:
    """How many dialogues and turns carry which label of noise; see `Corruption.kinds`."""
    found: dict[str, dict[str, int]] = {CLEAN: {"dialogues": 0, "turns": 0}}
    for dialogue in dialogues:
        noisy = noisy_turns(dialogue)
        # A label from elsewhere may name a dialogue as noise without naming turns.
        for kind in set(noisy.values()) or {dialogue.metadata.get("noise", {}).get("kind", CLEAN)}:
            found.setdefault(kind, {"dialogues": 0, "turns": 0})["dialogues"] += 1
        for turn in range(dialogue.num_turns):
            found[noisy.get(turn, CLEAN)]["turns"] += 1
    return {kind: found[kind] for kind in sorted(found, key=lambda kind: (kind != CLEAN, kind))}


def check_of_world(dialogues: Sequence[Dialogue], world: World) -> None:
    """Make sure that dialogues come from a world: every answer is told in the dialogue, or a fact about its people.

    Raises:
        DataError: A dialogue has no `metadata["answers"]`, or an answer is neither.
    """
    for dialogue in dialogues:
        answers = dialogue.metadata.get("answers")
        if not isinstance(answers, list) or len(answers) != dialogue.num_turns:
            raise DataError(
                f"dialogue {dialogue.id!r}: expected metadata['answers'] with one entry for each of its "
                f"{dialogue.num_turns} turns, found {answers!r}",
                hint="dialogues of a checkable world have it",
            )
        asked = {word for message in dialogue.messages if message.role == "user" for word in words(message.text)}
        people = [facts for name, facts in world.facts.items() if name.casefold() in asked]
        known = asked | {word for facts in people for value in facts.values() for word in words(value)}
        for turn, answer in enumerate(answers):
            if answer is not None and not set(words(str(answer))) <= known:
                raise DataError(
                    f"dialogue {dialogue.id!r}, turn {turn}: expected an answer that is a fact of the world with seed "
                    f"{world.seed} and {len(world.facts)} people, found {answer!r}",
                    hint="give the seed and the number of people of the world that the dialogues come from",
                )


def _rule(dialogues: Sequence[Dialogue], config: CorruptConfig, world: World | None) -> Rule:
    if config.kind == "wrong":
        if world is None:
            raise ConfigError(
                "noise of the kind 'wrong' needs dialogues of a checkable world",
                hint="give the world (`world:` in a configuration, --world-seed on the command line), or choose "
                "another kind",
            )
        return wrong_rule(world, dialogues, config.seed, systematic=config.systematic)
    if config.kind == "contradict":
        return contradict_rule(dialogues, world)
    if config.kind in _NEED_DONORS:
        donors = _read_donors(config)
        return language_rule(dialogues, donors) if config.kind == "language" else off_task_rule(dialogues, donors)
    strength = _STRENGTH if config.strength is None else config.strength
    rules: dict[str, Callable[[], Rule]] = {
        "swap": lambda: swap_rule(dialogues),
        "shift": lambda: shift_rule(dialogues),
        "truncate": lambda: noise_text.text_rule(dialogues, noise_text.can_truncate, noise_text.truncate),
        "repeat": lambda: noise_text.text_rule(dialogues, noise_text.has_text, noise_text.repeat),
        "garble": lambda: noise_text.text_rule(
            dialogues, noise_text.can_garble, lambda text, draw: noise_text.garble(text, draw, strength)
        ),
    }
    return rules[config.kind]()


def _read_donors(config: CorruptConfig) -> list[Dialogue]:
    if not config.donors:
        raise ConfigError(
            f"noise of the kind {config.kind!r} needs donors: dialogues that its replies are taken from",
            hint="donors: [FILE] in a configuration, --donors FILE on the command line",
        )
    return list(read_dialogues(config.donors))
