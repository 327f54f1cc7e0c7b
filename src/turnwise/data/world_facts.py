"""What the checkable world talks about: people, the facts that everybody has, the things told on the way, the words.

No value occurs in another relation, in a name or in a template, so a value in a reply means one thing only.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

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
OBJECT_FORM = {"he": "him", "she": "her"}


@dataclass(frozen=True, slots=True)
class Relation:
    """One kind of fact: the values it can take and how people talk about it.

    Attributes:
        noun: What its values are, in one word: "town".
        values: Every value; no value occurs in another relation, in a name or in a template.
        questions: Ways to ask; `{who}` is the name or the pronoun, `{thing}` the thing that was told about.
        answer: The reply; `{Who}` starts the sentence, `{value}` is the fact.
    """

    noun: str
    values: tuple[str, ...]
    questions: tuple[str, ...]
    answer: str


def _relation(noun: str, values: str, questions: tuple[str, ...], answer: str) -> Relation:
    return Relation(noun, tuple(values.split()), questions, answer)


RELATIONS = {
    "home": _relation(
        "town",
        "Alderby Brackwell Cresthaven Dunmoor Eastholt Fenwick Glenport Harrowgate Inverley Kestrelton",
        ("Where does {who} live?", "Which town does {who} call home?"),
        "{Who} lives in {value}.",
    ),
    "job": _relation(
        "job",
        "baker carpenter dentist farmer gardener judge miller nurse painter tailor",
        ("What job does {who} have?", "What does {who} do for a living?"),
        "{Who} works as a {value}.",
    ),
    "pet": _relation(
        "pet",
        "cat dog ferret goat hamster lizard parrot rabbit snake tortoise",
        ("Which animal does {who} keep?", "What kind of pet does {who} own?"),
        "{Who} keeps a {value}.",
    ),
    "colour": _relation(
        "colour",
        "black blue brown green grey orange pink red violet yellow",
        ("Which colour does {who} like most?", "What colour would {who} choose?"),
        "{Who} likes {value} most.",
    ),
    "breakfast": _relation(
        "breakfast",
        "apples bread cheese dates eggs honey noodles porridge rice soup",
        ("What does {who} eat in the morning?", "Which breakfast does {who} have?"),
        "{Who} eats {value} in the morning.",
    ),
    "instrument": _relation(
        "instrument",
        "banjo cello drum flute guitar harp lute piano trumpet violin",
        ("What music does {who} make?", "Which instrument does {who} play?"),
        "{Who} plays the {value}.",
    ),
    "sport": _relation(
        "sport",
        "archery boxing chess climbing fencing golf rowing running skating tennis",
        ("Which sport does {who} love?", "What does {who} train for?"),
        "{Who} loves {value}.",
    ),
    "birthday": _relation(
        "birthday",
        "January February March April May June July August September October",
        ("In which month was {who} born?", "When does {who} have a birthday?"),
        "{Who} was born in {value}.",
    ),
}
"""What everybody has a fact of: the fixed table that a model learns by heart."""

TOLD = _relation(
    "place",
    "attic barn basket box cellar cupboard drawer garage jar shed",
    ("Where did {who} leave the {thing}?", "In which place did {who} put the {thing}?"),
    "{Who} left it in the {value}.",
)
"""What is told in the dialogue itself and asked later: no table holds it."""
THINGS = ("key", "letter", "lamp", "map", "ticket")
"""What can be told about; all share the places of `TOLD`, so a reply must take the place of the right thing."""

TELL = "Please note: {who} left the {thing} in the {value}."
CORRECT = "No, the {thing} is in the {value}."
NOTED = "Noted, it is in the {value}."

OTHER_PERSON = "And what about {whom}?"
"""A follow-up that asks the relation of the question before about the other person."""
OTHER_FACT = "And the {noun}?"
"""A follow-up that asks another fact about the person of the question before."""

FIRST_ANSWER = ("What was your first answer?", "First I said {value}.")
FIRST_PERSON = ("Whom did I name first?", "You named {value} first.")
FIRST_OF_KIND = ("Which {noun} did you name first?", "The first {noun} was {value}.")
"""(question, reply) of the three ways to ask for what was said."""

_WORDS = re.compile(r"\w+")


def words(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation: what `World.check` compares."""
    return _WORDS.findall(text.casefold())


def random_source(key: str) -> random.Random:
    """A random source that is the same in every process and on every machine: a text seeds through SHA-512."""
    return random.Random(f"turnwise/world/{key}")
