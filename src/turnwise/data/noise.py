"""Kinds of labelled noise that put other replies in the place of the right ones, or a wrong fact into them.

What every kind shares, the choice of turns and the label in `metadata["noise"]`, is in `noise_engine`; noise inside the
text of a reply is in `noise_text`, contradictions are in `noise_contradict`; `turnwise.data.corruption` offers all of
them by name.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Sequence

from turnwise.data.noise_engine import (
    Choice,
    Per,
    Rule,
    Turns,
    apply_rule,
    corrupt,
    make_label,
    noisy_turns,
    replies_rule,
    set_replies,
)
from turnwise.data.world import World
from turnwise.dialogue import Dialogue, Message
from turnwise.errors import DataError

__all__ = [
    "PER_TURN_METADATA",
    "Turns",
    "corrupt",
    "language_rule",
    "off_task_rule",
    "shift_rule",
    "swap_replies",
    "swap_rule",
    "wrong_answers",
    "wrong_rule",
]

PER_TURN_METADATA = ("answers", "distances", "kinds")
"""Keys of a dialogue's metadata that hold one entry per turn, so an inserted turn needs one too (None)."""


def swap_replies(
    dialogues: Sequence[Dialogue], rate: float, seed: int, turns: Turns = "all", *, per: Per = "dialogue"
) -> list[Dialogue]:
    """Replace the replies of a share of the dialogues by replies of other dialogues: fluent, but off the question.

    A reply comes from the same `turn_index` of another dialogue, or from any turn where no other dialogue has one
    there. It differs from the reply it replaces; a reply that is equal to all others is never chosen.

    Args:
        dialogues: The clean dialogues.
        rate: Share of dialogues (or turns) to corrupt: exactly round(rate * n).
        seed: Seed of the choice and of the donors.
        turns: Which replies of a chosen dialogue.
        per: What the rate is a share of.

    Returns:
        As many dialogues in the same order, each with `metadata["noise"]`.

    Raises:
        ConfigError: `rate`, `turns` or `per` is not allowed.
        DataError: There are not enough dialogues with replies.
    """
    return apply_rule(dialogues, Choice("swap", rate, seed, turns, per), swap_rule(dialogues))


def swap_rule(dialogues: Sequence[Dialogue]) -> Rule:
    """The rule of `swap_replies`: replies of other dialogues."""
    texts = [[None if reply.content is None else reply.text for reply in dialogue.replies] for dialogue in dialogues]
    everything = [(home, text) for home, replies in enumerate(texts) for text in replies]
    by_turn: dict[int, list[tuple[int, str | None]]] = {}
    for home, replies in enumerate(texts):
        for turn, text in enumerate(replies):
            by_turn.setdefault(turn, []).append((home, text))
    overall = Counter(text for _, text in everything if text is not None)
    total = overall.total()

    def can(position: int, turn: int) -> bool:
        own = texts[position][turn]
        if not own:
            return False
        mine = [text for text in texts[position] if text is not None]
        return total - overall[own] > len(mine) - mine.count(own)  # another dialogue has another text

    def donate(position: int, turn: int, draw: random.Random) -> str:
        own = texts[position][turn] or ""
        for pool in (by_turn[turn], everything):
            found = _draw_other(pool, position, own, draw)
            if found is not None:
                return found
        raise AssertionError("a reply was chosen that has no other one")

    return replies_rule(can, donate)


def wrong_answers(
    world: World,
    dialogues: Sequence[Dialogue],
    rate: float,
    seed: int,
    turns: Turns = "all",
    *,
    systematic: bool = False,
    per: Per = "dialogue",
) -> list[Dialogue]:
    """Replace the fact in the replies of a share of the dialogues by another value of the same relation.

    Only the fact is wrong; the sentence stays the same, so this is the hardest noise for a language model to see.
    Right is what `metadata["answers"]` of the clean dialogue says: a later reply that recollects a corrupted one still
    has to give what was said before the corruption.

    Args:
        world: The world that the dialogues come from.
        dialogues: Dialogues of the world, with `metadata["answers"]`; a turn whose answer is None is never chosen.
        rate: Share of dialogues (or turns) to corrupt: exactly round(rate * n).
        seed: Seed of the choice and of the wrong values.
        turns: Which replies of a chosen dialogue.
        systematic: True replaces a value by the same wrong one everywhere (a rumour that many repeat); False draws
            anew each time, which leaves the right answer the most frequent one.
        per: What the rate is a share of.

    Returns:
        As many dialogues in the same order, each with `metadata["noise"]`; `metadata["answers"]` stays the truth.

    Raises:
        ConfigError: `rate`, `turns` or `per` is not allowed.
        DataError: A chosen reply does not hold a value of this world.
    """
    rule = wrong_rule(world, dialogues, seed, systematic=systematic)
    return apply_rule(dialogues, Choice("wrong", rate, seed, turns, per), rule)


def wrong_rule(world: World, dialogues: Sequence[Dialogue], seed: int, *, systematic: bool = False) -> Rule:
    """The rule of `wrong_answers`: another value of the same relation."""

    def can(position: int, turn: int) -> bool:
        answers = dialogues[position].metadata.get("answers") or []
        # None marks a turn that asks for no fact; what has no entry at all is no dialogue of a world: see below.
        return turn >= len(answers) or answers[turn] is not None

    def lie(position: int, turn: int, draw: random.Random) -> str:
        dialogue = dialogues[position]
        answers = dialogue.metadata.get("answers") or []
        answer = answers[turn] if turn < len(answers) else None
        text = dialogue.replies[turn].text
        others = world.alternatives(answer) if isinstance(answer, str) else ()
        pattern = rf"\b{re.escape(str(answer))}\b"
        if not others or not re.search(pattern, text):
            raise DataError(
                f"dialogue {dialogue.id!r}, turn {turn}: expected a reply that holds a fact of the world, "
                f"found {text!r}",
                hint="wrong answers can be made only for dialogues of the same world, before any other noise",
            )
        source = random.Random(f"{seed}/{answer}") if systematic else draw
        return re.sub(pattern, source.choice(others), text)

    return replies_rule(can, lie)


def shift_rule(dialogues: Sequence[Dialogue]) -> Rule:
    """From a drawn turn on, every reply answers the turn before it: an early error that the later turns build on.

    The first of these turns gets the last reply of the dialogue. Turns whose reply stays the same (two equal replies
    in a row) are not labelled; a turn from which on nothing would change is never the first.
    """
    texts = [[reply.text for reply in dialogue.replies] for dialogue in dialogues]

    def with_text_from(position: int, start: int) -> list[int]:
        return [turn for turn, text in enumerate(texts[position]) if turn >= start and text]

    def can(position: int, turn: int) -> bool:
        following = with_text_from(position, turn)
        return turn in following and len({texts[position][other] for other in following}) > 1

    def change(made: Dialogue, position: int, turns: list[int], draw: random.Random) -> list[int]:
        turned = with_text_from(position, turns[draw.randrange(len(turns))])
        own = texts[position]
        shifted = {turn: own[before] for turn, before in zip(turned, [turned[-1], *turned[:-1]], strict=True)}
        changed = {turn: text for turn, text in shifted.items() if text != own[turn]}
        set_replies(made, dict(changed))
        return sorted(changed)

    return Rule(can, change)


def language_rule(dialogues: Sequence[Dialogue], donors: Sequence[Dialogue]) -> Rule:
    """Replace replies by replies of donors, which are dialogues in another language."""
    offered = [reply.text for donor in donors for reply in donor.replies if reply.text.strip()]
    counts = Counter(offered)

    def can(position: int, turn: int) -> bool:
        text = dialogues[position].replies[turn].text
        return bool(text) and len(offered) > counts[text]

    def donate(position: int, turn: int, draw: random.Random) -> str:
        own = dialogues[position].replies[turn].text
        while (text := draw.choice(offered)) == own:
            pass
        return text

    return replies_rule(can, donate)


def off_task_rule(dialogues: Sequence[Dialogue], donors: Sequence[Dialogue]) -> Rule:
    """Insert a question and its answer from a donor in front of a turn: a turn that is off the dialogue's task.

    A chosen turn is one that the insertion stands in front of; the label names the inserted turn. Entries of
    `PER_TURN_METADATA` get None for it, and the message numbers in `evidence` and an earlier label move on.
    A turn that begins with the result of a tool cannot be parted from the call and is never chosen.
    """
    exchanges = [exchange for donor in donors if (exchange := _first_exchange(donor)) is not None]
    places = [_beginnings(dialogue) for dialogue in dialogues]

    def can(position: int, turn: int) -> bool:
        return bool(exchanges) and turn in places[position]

    def change(made: Dialogue, position: int, turns: list[int], draw: random.Random) -> list[int]:
        for turn in sorted(turns, reverse=True):  # from the end, so that earlier places stay right
            _insert_turn(made, turn, places[position][turn], *draw.choice(exchanges))
        return [turn + number for number, turn in enumerate(sorted(turns))]

    return Rule(can, change)


def _first_exchange(donor: Dialogue) -> tuple[str, str] | None:
    """The first user message with text and the reply directly behind it."""
    for question, answer in zip(donor.messages, donor.messages[1:], strict=False):
        if (question.role, answer.role) == ("user", "assistant") and question.text.strip() and answer.text.strip():
            return question.text, answer.text
    return None


def _beginnings(dialogue: Dialogue) -> dict[int, int]:
    """Turns to the number of their first user message, where no result of a tool stands before it."""
    found: dict[int, int] = {}
    turn, parted = 0, False
    for number, message in enumerate(dialogue.messages):
        if message.role == "assistant":
            turn, parted = turn + 1, False
        elif message.role == "user" and not parted:
            found.setdefault(turn, number)
        parted = parted or message.role == "tool"
    return {turn: place for turn, place in found.items() if turn < dialogue.num_turns}


def _insert_turn(made: Dialogue, turn: int, place: int, question: str, answer: str) -> None:
    noisy = {number + (number >= turn): kind for number, kind in noisy_turns(made).items()}
    num_turns = made.num_turns
    made.messages[place:place] = [Message("user", question), Message("assistant", answer)]
    for key in PER_TURN_METADATA:
        entries = made.metadata.get(key)
        if isinstance(entries, list) and len(entries) == num_turns:
            entries.insert(turn, None)
    if noisy:
        made.metadata["noise"] = make_label(noisy)
    for span in made.evidence:
        if isinstance(span.get("message"), int) and span["message"] >= place:
            span["message"] += 2


def _draw_other(pool: Sequence[tuple[int, str | None]], position: int, own: str, draw: random.Random) -> str | None:
    """A text of another dialogue that differs from the own one; None when the pool holds none."""
    for _ in range(20):  # nearly always enough; the scan below is for pools of near-equal replies
        home, text = draw.choice(pool)
        if home != position and text is not None and text != own:
            return text
    others = [text for home, text in pool if home != position and text is not None and text != own]
    return draw.choice(others) if others else None
