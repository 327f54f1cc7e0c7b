"""Dialogues of the checkable world, in two steps: decide what every turn is about, then put it into words."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import ConfigDict, Field

from turnwise.config import StrictModel
from turnwise.data.world_facts import (
    CORRECT,
    FIRST_ANSWER,
    FIRST_OF_KIND,
    FIRST_PERSON,
    NOTED,
    OBJECT_FORM,
    OTHER_FACT,
    OTHER_PERSON,
    RELATIONS,
    TELL,
    THINGS,
    TOLD,
    Relation,
)
from turnwise.dialogue import Dialogue, Message

SWITCH = 0.35
"""How likely a turn goes over to the other person of the dialogue."""
MOST_TURNS = 2 * len(RELATIONS)
"""No fact is asked twice, and a dialogue is about two people."""

Kind = Literal["fact", "pronoun", "follow_up", "tell", "correct", "told", "corrected", "recollect"]
"""What the user does in a turn; docs/world.md says what each needs and how its distance counts."""


class Difficulty(StrictModel):
    """What makes dialogues of the checkable world harder to follow; by default nothing does."""

    model_config = ConfigDict(frozen=True)

    slots: int = Field(
        1, ge=1, le=len(THINGS), description="Things told in each dialogue that tells any, as far as there is room."
    )
    distance: tuple[int, int] = Field(
        (1, MOST_TURNS - 1),
        description="Least and most turns between a value told, corrected or said and the question for it.",
    )
    corrections: float = Field(
        0.0, ge=0, le=1, description="Share of told things that the user corrects before asking, where there is room."
    )
    follow_ups: float = Field(
        0.0, ge=0, le=1, description="Share of the turns after a fact that ask on in a few words (And the pet?)."
    )
    recollections: float = Field(
        0.0, ge=0, le=1, description="Share of the turns that ask what was said earlier, where there is something."
    )


PLAIN = Difficulty()
"""Facts by name and by pronoun only, and at most one told thing."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one turn is about.

    Attributes:
        kind: What the user does; `fact` covers facts by name and by pronoun until the turn is put into words.
        name: The person that the turn is about.
        topic: A relation, a thing told about, or for a recollection: a noun, `answer` or `person`.
        value: What was told; empty for a value that stands in the table or was said before.
        source: The turn that the value comes from, where it comes from a turn.
        to_other: A follow-up that goes over to the other person (same relation), not to another fact.
    """

    kind: Kind
    name: str
    topic: str
    value: str = ""
    source: int = 0
    to_other: bool = False


def plan_turns(
    draw: random.Random, cast: list[str], num_turns: int, told: str | None, difficulty: Difficulty
) -> list[Step]:
    """Decide what every turn is about.

    Args:
        draw: Random source. A share of 0 draws nothing from it, so an unused knob changes no dialogue.
        cast: The two people.
        num_turns: How many turns, at most `MOST_TURNS`.
        told: The first value that is told; None tells nothing.
        difficulty: Shares and distances.
    """
    left = {name: draw.sample(list(RELATIONS), len(RELATIONS)) for name in cast}
    first = current = draw.choice(cast)
    reserved = {} if told is None else _told_steps(draw, first, cast, num_turns, told, difficulty)
    steps: list[Step] = []
    for turn in range(num_turns):
        if turn and draw.random() < SWITCH:
            current = _other(cast, current)
        step = reserved.get(turn) or _recollection(draw, steps, difficulty) or _follow_up(draw, steps, left, difficulty)
        if step is None:
            if not left[current]:
                current = _other(cast, current)
            step = Step("fact", current, left[current].pop())
        current = step.name
        steps.append(step)
    return steps


def _told_steps(
    draw: random.Random, first: str, cast: list[str], num_turns: int, told: str, difficulty: Difficulty
) -> dict[int, Step]:
    """The turns that tell, correct and ask for things: the first thing is told at turn 0, the others anywhere."""
    things = THINGS[:1] if difficulty.slots == 1 else draw.sample(THINGS, difficulty.slots)
    places: list[str] = []
    steps: dict[int, Step] = {}
    for slot, thing in enumerate(things):
        free = [turn for turn in range(num_turns) if turn not in steps]
        corrected = _happens(draw, difficulty.corrections)
        rooms = _rooms(free, free if slot else [0], difficulty.distance, corrected)
        if not rooms:
            break
        *statements, asked = draw.choice(rooms)
        name = draw.choice(cast) if slot else first
        for turn in statements:
            # All places of a dialogue differ, so an old one or another thing's can never pass for the right one.
            places.append(draw.choice([place for place in TOLD.values if place not in places]) if places else told)
            steps[turn] = Step("tell" if turn == statements[0] else "correct", name, thing, places[-1], turn)
        steps[asked] = Step("told" if len(statements) == 1 else "corrected", name, thing, places[-1], statements[-1])
    return steps


def _rooms(free: list[int], starts: list[int], distance: tuple[int, int], corrected: bool) -> list[tuple[int, ...]]:
    """Free turns for telling (in `starts`) and asking, with a correction between where that is wanted and possible."""
    least, most = distance
    spans = [(said, asked) for said in free for asked in free if least <= asked - said <= most]
    told: list[tuple[int, ...]] = [span for span in spans if span[0] in starts]
    corrections = [(start, *span) for start in starts for span in spans if start < span[0]]
    return list(corrections) if corrected and corrections else told


def _recollection(draw: random.Random, steps: list[Step], difficulty: Difficulty) -> Step | None:
    """Ask for something said at a wanted distance that was not asked for yet; None where there is nothing."""
    if not steps or not _happens(draw, difficulty.recollections):
        return None
    said = {"answer": 0, "person": 0}
    for turn, step in enumerate(steps):
        if step.kind != "recollect":
            said.setdefault(relation_of(step).noun, turn)
    asked = {step.topic for step in steps if step.kind == "recollect"}
    least, most = difficulty.distance
    topics = [topic for topic, turn in said.items() if topic not in asked and least <= len(steps) - turn <= most]
    if not topics:
        return None
    topic = draw.choice(topics)
    return Step("recollect", steps[-1].name, topic, source=said[topic])


def _follow_up(
    draw: random.Random, steps: list[Step], left: dict[str, list[str]], difficulty: Difficulty
) -> Step | None:
    """Ask on after a fact: the same about the other person, or another fact about the same; None where neither fits."""
    if not steps or steps[-1].kind not in ("fact", "follow_up") or not _happens(draw, difficulty.follow_ups):
        return None
    name, topic = steps[-1].name, steps[-1].topic
    other = _other(list(left), name)
    ways = [Step("follow_up", other, topic, to_other=True)] if topic in left[other] else []
    if left[name]:
        ways.append(Step("follow_up", name, left[name][-1]))
    if not ways:
        return None
    step = draw.choice(ways)
    left[step.name].remove(step.topic)
    return step


def relation_of(step: Step) -> Relation:
    """The relation that the value of a step belongs to."""
    return RELATIONS.get(step.topic, TOLD)


def write_dialogue(
    draw: random.Random, steps: list[Step], pronouns: Mapping[str, str], facts: Mapping[str, Mapping[str, str]]
) -> Dialogue:
    """Put planned turns into words: a person is named in the first question about them and "he" or "she" after it.

    Args:
        draw: Random source of the wording.
        steps: What `plan_turns` decided.
        pronouns: Name to "he" or "she".
        facts: Name to relation to value.
    """
    named_in: dict[str, int] = {}
    messages: list[Message] = []
    answers: list[str] = []
    distances: list[int] = []
    kinds: list[Kind] = []
    for turn, step in enumerate(steps):
        pronoun = pronouns[step.name]
        by_name = step.name not in named_in
        named_in.setdefault(step.name, turn)
        if step.kind == "recollect":
            value = steps[0].name if step.topic == "person" else answers[step.source]
        else:
            value = step.value or facts[step.name][step.topic]
        question, reply = _templates(draw, step)
        fill = {
            "who": step.name if by_name else pronoun,
            "whom": step.name if by_name else OBJECT_FORM[pronoun],
            "Who": step.name if by_name else pronoun.capitalize(),
            "thing": step.topic,
            "noun": step.topic if step.kind == "recollect" else relation_of(step).noun,
            "value": value,
        }
        messages += [Message("user", question.format(**fill)), Message("assistant", reply.format(**fill))]
        answers.append(value)
        distances.append(_distance(step, turn, named_in[step.name]))
        kinds.append("pronoun" if step.kind == "fact" and not by_name else step.kind)
    return Dialogue(messages, source="world", metadata={"answers": answers, "distances": distances, "kinds": kinds})


def _templates(draw: random.Random, step: Step) -> tuple[str, str]:
    """Question and reply, with places for the words."""
    match step.kind:
        case "tell":
            return TELL, NOTED
        case "correct":
            return CORRECT, NOTED
        case "recollect":
            return {"answer": FIRST_ANSWER, "person": FIRST_PERSON}.get(step.topic, FIRST_OF_KIND)
        case "follow_up":
            return (OTHER_PERSON if step.to_other else OTHER_FACT), relation_of(step).answer
        case _:
            return draw.choice(relation_of(step).questions), relation_of(step).answer


def _distance(step: Step, turn: int, named: int) -> int:
    """How many turns back the oldest turn is that must be read to answer."""
    if step.kind == "follow_up":
        return max(1, turn - named)
    return turn - (named if step.kind == "fact" else step.source)


def _other(cast: list[str], name: str) -> str:
    return cast[1 - cast.index(name)]


def _happens(draw: random.Random, share: float) -> bool:
    # Draws nothing for a share of 0, so that dialogues without the knob stay what they were before there was one.
    return share > 0 and draw.random() < share
