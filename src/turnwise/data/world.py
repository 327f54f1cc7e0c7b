"""A checkable world: dialogues in which a program can tell whether an assistant reply is right.

A `World` is a seeded table of invented people and facts about them (where they live, what they play ...). Its dialogues
ask for facts of that table, first by name and then by pronoun, so a model that has learned the table still needs the
earlier turns to know who "she" is. They may also tell something new and ask for it later, correct it in between, ask on
in a few words, and ask what was said (`Difficulty`). Because the right answer of every turn is known, accuracy needs no
judge, and noise in training data can be made and labelled exactly (`turnwise.data.noise`).
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from pydantic import Field

from turnwise.config import StrictModel
from turnwise.data.world_facts import HE, RELATIONS, SHE, TOLD, random_source, words
from turnwise.data.world_turns import MOST_TURNS, PLAIN, Difficulty, plan_turns, write_dialogue
from turnwise.dialogue import Dialogue
from turnwise.errors import ConfigError

__all__ = ["HE", "PLAIN", "RELATIONS", "SHE", "TOLD", "Difficulty", "World", "WorldConfig", "words"]


class World:
    """People and facts drawn from a seed.

    Args:
        seed: Seed of the table of facts. The same seed gives the same world on every machine.
        num_entities: How many people, 2 to 32; half of them are "he", half "she".

    Attributes:
        pronouns: Name to "he" or "she".
        facts: Name to relation to value.

    Raises:
        ConfigError: `num_entities` is out of range.
    """

    def __init__(self, seed: int = 0, num_entities: int = 32) -> None:
        limit = len(HE) + len(SHE)
        if not 2 <= num_entities <= limit:
            raise ConfigError(f"expected num_entities from 2 to {limit}, found {num_entities}")
        self.seed = seed
        num_he = num_entities // 2
        self.pronouns = dict.fromkeys(HE[:num_he], "he") | dict.fromkeys(SHE[: num_entities - num_he], "she")
        draw = random_source(f"facts/{seed}")
        self.facts = {
            name: {relation: draw.choice(RELATIONS[relation].values) for relation in RELATIONS}
            for name in self.pronouns
        }
        pools = [relation.values for relation in (*RELATIONS.values(), TOLD)] + [tuple(self.pronouns)]
        self._pools = {value.casefold(): pool for pool in pools for value in pool}

    def dialogues(
        self,
        n: int,
        *,
        seed: int = 0,
        turns: tuple[int, int] = (3, 6),
        told: float = 0.0,
        difficulty: Difficulty = PLAIN,
    ) -> Iterator[Dialogue]:
        """Generate dialogues; dialogue i depends on (world, seed, i) alone, so a shorter list is a prefix of a longer.

        Every dialogue is about one "he" and one "she", so a pronoun always names one person. No fact is asked twice.

        Args:
            n: How many.
            seed: Seed of the dialogues (not of the facts).
            turns: Least and most turns of a dialogue.
            told: Share of dialogues (in expectation) in which the first turn tells where somebody left a thing and a
                later turn asks for it. A dialogue too short for the distance of `difficulty` tells nothing.
            difficulty: More told things, corrections, follow-ups and recollections; by default none of them.

        Yields:
            Dialogues with id `world-<seed>-<i>`, source `world`, and in `metadata`, one entry per turn:
            `answers`, the value that the reply must hold, `kinds`, what the user does (`world_turns.Kind`), and
            `distances`, how many turns back the oldest turn is that must be read to answer (0: this turn is enough):
            where the value was told, corrected or said, else where the person was named, and for a follow-up at
            least 1, as it continues the turn before.

        Raises:
            ConfigError: `turns`, `told` or the distance of `difficulty` is out of range.
        """
        _check_dialogues(turns, told, difficulty)
        for number in range(n):
            draw = random_source(f"dialogue/{self.seed}/{len(self.pronouns)}/{seed}/{number}")
            dialogue = self._dialogue(draw, turns, told, difficulty)
            dialogue.id = f"world-{seed}-{number}"
            yield dialogue

    def _dialogue(self, draw: Random, turns: tuple[int, int], told: float, difficulty: Difficulty) -> Dialogue:
        num_turns = draw.randint(*turns)
        tells = draw.random() < told
        cast = [draw.choice([name for name in self.pronouns if self.pronouns[name] == one]) for one in ("he", "she")]
        place = draw.choice(TOLD.values)
        steps = plan_turns(draw, cast, num_turns, place if tells else None, difficulty)
        return write_dialogue(draw, steps, self.pronouns, self.facts)

    def alternatives(self, value: str) -> tuple[str, ...]:
        """The other values of the relation that `value` belongs to; empty for a value that the world does not know."""
        return tuple(other for other in self._pools.get(value.casefold(), ()) if other.casefold() != value.casefold())

    def check(self, expected: str, reply: str) -> bool:
        """Whether a reply gives the expected value, and no other value of the same relation.

        Words are compared without case and punctuation. The second condition keeps a reply that lists every town
        from being right about where somebody lives.
        """
        found = words(reply)
        wanted = words(expected)
        spans = (found[start : start + len(wanted)] for start in range(len(found)))
        if not wanted or wanted not in spans:
            return False
        return not any(other.casefold() in found for other in self.alternatives(expected))


class WorldConfig(StrictModel):
    """Dialogues of a checkable world, as a configuration file asks for them."""

    n: int = Field(ge=1, description="How many dialogues.")
    seed: int = Field(0, description="Seed of the dialogues.")
    world_seed: int = Field(0, description="Seed of the table of facts.")
    num_entities: int = Field(32, description="People in the world, 2 to 32.")
    turns: tuple[int, int] = Field((3, 6), description="Least and most turns of a dialogue.")
    told: float = Field(0.0, description="Share of dialogues that tell something first and ask for it later.")
    difficulty: Difficulty = Field(
        default_factory=Difficulty, description="Told things, distances, corrections, follow-ups, recollections."
    )

    def world(self) -> World:
        """The world that the dialogues come from."""
        return World(self.world_seed, self.num_entities)

    def dialogues(self) -> Iterator[Dialogue]:
        """The dialogues, as `World.dialogues` generates them."""
        return self.world().dialogues(
            self.n, seed=self.seed, turns=self.turns, told=self.told, difficulty=self.difficulty
        )


def _check_dialogues(turns: tuple[int, int], told: float, difficulty: Difficulty) -> None:
    least, most = turns
    if not 1 <= least <= most <= MOST_TURNS:
        raise ConfigError(f"expected 1 <= least <= most <= {MOST_TURNS} turns, found {least} and {most}")
    if not 0 <= told <= 1:
        raise ConfigError(f"expected a told share from 0 to 1, found {told}")
    near, far = difficulty.distance
    if not 1 <= near <= far:
        raise ConfigError(f"expected a distance of 1 <= least <= most turns, found {near} and {far}")
    if near > max(1, most - 1):
        raise ConfigError(
            f"expected a distance of at most {most - 1} turns in dialogues of at most {most}, found {near}",
            hint="allow longer dialogues (`turns`) or a shorter `distance`",
        )
