"""Labelled noise as a configuration file asks for it: which kind, how often, in which turns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from turnwise.config import StrictModel
from turnwise.data.noise import Turns, swap_replies, wrong_answers
from turnwise.data.world import World
from turnwise.dialogue import Dialogue
from turnwise.errors import ConfigError

Kind = Literal["swap", "wrong"]


class CorruptConfig(StrictModel):
    """One kind of noise."""

    kind: Kind = Field(description="What becomes of a reply.")
    rate: float = Field(ge=0, le=1, description="Share of the dialogues to corrupt, exactly round(rate * n).")
    turns: Turns = Field("all", description="Which replies of a chosen dialogue.")
    seed: int = Field(0, description="Seed of the choice and of what replaces the replies.")


def corrupt_dialogues(
    dialogues: Sequence[Dialogue], config: CorruptConfig, *, world: World | None = None
) -> list[Dialogue]:
    """Corrupt a share of dialogues; every result carries `metadata["noise"]` (see `turnwise.data.noise`).

    Args:
        dialogues: The clean dialogues; not changed.
        config: What to do.
        world: The world that they come from; only noise that states wrong facts needs it.

    Raises:
        ConfigError: The kind needs a world and there is none.
        DataError: The dialogues do not allow this noise.
    """
    if config.kind == "swap":
        return swap_replies(dialogues, config.rate, config.seed, config.turns)
    if world is None:
        raise ConfigError(
            f"noise of the kind {config.kind!r} needs dialogues of a checkable world",
            hint="give the source as `world:`, or choose another kind",
        )
    return wrong_answers(world, dialogues, config.rate, config.seed, config.turns)
