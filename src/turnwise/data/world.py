"""A checkable world: dialogues in which a program can tell whether an assistant reply is right.

A `World` is a seeded table of invented people and facts about them (where they live, what they play ...). Its dialogues
ask for facts of that table, first by name and then by pronoun, so a model that has learned the table still needs the
earlier turns to know who "she" is. A share of the dialogues may also tell something new and ask for it later. Because
the right answer of every turn is known, accuracy needs no judge, and noise in training data can be made and labelled
exactly (`turnwise.data.noise`).
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import Field

from turnwise.config import StrictModel
from turnwise.dialogue import Dialogue, Message
from turnwise.errors import ConfigError

HE = (
    "Anton",
    "Bruno",
    "Carl",
    "Dorian",
    "Emil",
    "Felix",
    "Gustav",
    "Henrik",
    "Ivan",
    "Jonas",
    "Karel",
    "Ludvig",
    "Marek",
    "Nestor",
    "Otto",
    "Pavel",
)
SHE = (
    "Adela",
    "Berta",
    "Clara",
    "Dina",
    "Elsa",
    "Frida",
    "Greta",
    "Hilda",
    "Irma",
    "Jutta",
    "Katya",
    "Lotte",
    "Mira",
    "Nadia",
    "Olga",
    "Petra",
)


@dataclass(frozen=True, slots=True)
class Relation:
    """One kind of fact: the values it can take and how people talk about it.

    Attributes:
        values: Every value; no value occurs in another relation, in a name or in a template.
        questions: Ways to ask; `{who}` is the name or the pronoun.
        answer: The reply; `{Who}` starts the sentence, `{value}` is the fact.
    """

    values: tuple[str, ...]
    questions: tuple[str, ...]
    answer: str


def _relation(values: str, questions: tuple[str, ...], answer: str) -> Relation:
    return Relation(tuple(values.split()), questions, answer)


RELATIONS = {
    "home": _relation(
        "Alderby Brackwell Cresthaven Dunmoor Eastholt Fenwick Glenport Harrowgate Inverley Kestrelton",
        ("Where does {who} live?", "Which town does {who} call home?"),
        "{Who} lives in {value}.",
    ),
    "job": _relation(
        "baker carpenter dentist farmer gardener judge miller nurse painter tailor",
        ("What job does {who} have?", "What does {who} do for a living?"),
        "{Who} works as a {value}.",
    ),
    "pet": _relation(
        "cat dog ferret goat hamster lizard parrot rabbit snake tortoise",
        ("Which animal does {who} keep?", "What kind of pet does {who} own?"),
        "{Who} keeps a {value}.",
    ),
    "colour": _relation(
        "black blue brown green grey orange pink red violet yellow",
        ("Which colour does {who} like most?", "What colour would {who} choose?"),
        "{Who} likes {value} most.",
    ),
    "breakfast": _relation(
        "apples bread cheese dates eggs honey noodles porridge rice soup",
        ("What does {who} eat in the morning?", "Which breakfast does {who} have?"),
        "{Who} eats {value} in the morning.",
    ),
    "instrument": _relation(
        "banjo cello drum flute guitar harp lute piano trumpet violin",
        ("What music does {who} make?", "Which instrument does {who} play?"),
        "{Who} plays the {value}.",
    ),
    "sport": _relation(
        "archery boxing chess climbing fencing golf rowing running skating tennis",
        ("Which sport does {who} love?", "What does {who} train for?"),
        "{Who} loves {value}.",
    ),
    "birthday": _relation(
        "January February March April May June July August September October",
        ("In which month was {who} born?", "When does {who} have a birthday?"),
        "{Who} was born in {value}.",
    ),
}
"""What everybody has a fact of: the fixed table that a model learns by heart."""

TOLD = _relation(
    "attic barn basket box cellar cupboard drawer garage jar shed",
    ("Where did {who} leave the key?", "In which place did {who} put the key?"),
    "{Who} left it in the {value}.",
)
"""What is told in the dialogue itself and asked later: no table holds it."""
_TELL = "Please note: {who} left the key in the {value}."
_NOTED = "Noted, it is in the {value}."

SWITCH = 0.35
"""How likely a turn goes over to the other person of the dialogue."""

_WORDS = re.compile(r"\w+")


def words(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation: what `World.check` compares."""
    return _WORDS.findall(text.casefold())


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
        draw = _random(f"facts/{seed}")
        self.facts = {
            name: {relation: draw.choice(RELATIONS[relation].values) for relation in RELATIONS}
            for name in self.pronouns
        }
        self._pools = {
            value.casefold(): relation.values for relation in (*RELATIONS.values(), TOLD) for value in relation.values
        }

    def dialogues(
        self, n: int, *, seed: int = 0, turns: tuple[int, int] = (3, 6), told: float = 0.0
    ) -> Iterator[Dialogue]:
        """Generate dialogues; dialogue i depends on (world, seed, i) alone, so a shorter list is a prefix of a longer.

        Every dialogue is about one "he" and one "she", so a pronoun always names one person. No fact is asked twice.

        Args:
            n: How many.
            seed: Seed of the dialogues (not of the facts).
            turns: Least and most turns of a dialogue.
            told: Share of dialogues (in expectation) in which the first turn tells where somebody left a key and a
                later turn asks for it.

        Yields:
            Dialogues with id `world-<seed>-<i>`, source `world`, and in `metadata`, one entry per turn:
            `answers`, the value that the reply must hold, and `distances`, how many turns ago the person was last
            named by the user (0: in this turn).

        Raises:
            ConfigError: `turns` or `told` is out of range.
        """
        least, most = turns
        limit = 2 * len(RELATIONS)
        if not 1 <= least <= most <= limit:
            raise ConfigError(f"expected 1 <= least <= most <= {limit} turns, found {least} and {most}")
        if not 0 <= told <= 1:
            raise ConfigError(f"expected a told share from 0 to 1, found {told}")
        for number in range(n):
            draw = _random(f"dialogue/{self.seed}/{len(self.pronouns)}/{seed}/{number}")
            num_turns = draw.randint(least, most)
            tells = draw.random() < told and num_turns > 1
            dialogue = self._dialogue(draw, num_turns, tells)
            dialogue.id = f"world-{seed}-{number}"
            yield dialogue

    def _dialogue(self, draw: random.Random, num_turns: int, tells: bool) -> Dialogue:
        cast = [draw.choice([name for name in self.pronouns if self.pronouns[name] == one]) for one in ("he", "she")]
        told_value = draw.choice(TOLD.values)
        named_in: dict[str, int] = {}
        messages: list[Message] = []
        answers: list[str] = []
        distances: list[int] = []
        for turn, (name, topic) in enumerate(_plan(draw, cast, num_turns, tells)):
            by_name = name not in named_in
            named_in.setdefault(name, turn)
            who = name if by_name else self.pronouns[name]
            if topic == "tell":
                question, reply, value = _TELL.format(who=name, value=told_value), _NOTED, told_value
            else:
                relation = TOLD if topic == "told" else RELATIONS[topic]
                question, reply = draw.choice(relation.questions).format(who=who), relation.answer
                value = told_value if topic == "told" else self.facts[name][topic]
            answer = reply.format(Who=who.capitalize(), value=value)
            messages += [Message("user", question), Message("assistant", answer)]
            answers.append(value)
            distances.append(turn - named_in[name])
        return Dialogue(messages, source="world", metadata={"answers": answers, "distances": distances})

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

    def world(self) -> World:
        """The world that the dialogues come from."""
        return World(self.world_seed, self.num_entities)

    def dialogues(self) -> Iterator[Dialogue]:
        """The dialogues, as `World.dialogues` generates them."""
        return self.world().dialogues(self.n, seed=self.seed, turns=self.turns, told=self.told)


def _plan(draw: random.Random, cast: list[str], num_turns: int, tells: bool) -> list[tuple[str, str]]:
    """Who and what each turn is about: a relation, `tell` (turn 0 only) or `told`."""
    left = {name: draw.sample(list(RELATIONS), len(RELATIONS)) for name in cast}
    first = current = draw.choice(cast)
    asks_told = draw.randrange(1, num_turns) if tells else 0
    plan: list[tuple[str, str]] = []
    for turn in range(num_turns):
        if turn and draw.random() < SWITCH:
            current = cast[1 - cast.index(current)]
        if tells and turn in (0, asks_told):
            current = first
            plan.append((first, "told" if turn else "tell"))
            continue
        if not left[current]:
            current = cast[1 - cast.index(current)]
        plan.append((current, left[current].pop()))
    return plan


def _random(key: str) -> random.Random:
    # A text seeds through SHA-512, not through hash(), so it is the same in every process and on every machine.
    return random.Random(f"turnwise/world/{key}")
