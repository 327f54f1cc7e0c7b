"""Make labelled noise: corrupt an exact share of dialogues and write down which turns are no longer right.

Every dialogue of a corrupted set carries `metadata["noise"]`:

- `{"kind": "clean", "turns": []}` for an untouched one,
- `{"kind": "swap" | "wrong", "turns": [turn_index, ...]}` for a corrupted one.

Ids stay, inputs are not changed, and the label never reaches training: it is what a detector is measured against.
"""

from __future__ import annotations

import copy
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

from turnwise.data.world import World
from turnwise.dialogue import Content, Dialogue
from turnwise.errors import ConfigError, DataError

Turns = Literal["all", "one"]
"""Which replies of a chosen dialogue are corrupted: every one, or one drawn at random."""

Corrupter = Callable[[int, int, random.Random], Content]
"""(position of the dialogue, turn_index, random source) -> the new content of that reply."""


def swap_replies(dialogues: Sequence[Dialogue], rate: float, seed: int, turns: Turns = "all") -> list[Dialogue]:
    """Replace the replies of a share of the dialogues by replies of other dialogues: fluent, but off the question.

    A reply comes from the same `turn_index` of another dialogue, or from any turn where no other dialogue has one
    there. It differs from the reply it replaces unless every candidate is the same.

    Args:
        dialogues: The clean dialogues; at least two with replies unless the rate is 0.
        rate: Share of dialogues to corrupt: exactly round(rate * n).
        seed: Seed of the choice and of the donors.
        turns: `all` replies of a chosen dialogue, or `one`.

    Returns:
        As many dialogues in the same order, each with `metadata["noise"]`.

    Raises:
        ConfigError: `rate` or `turns` is not allowed.
        DataError: There are not enough dialogues with replies.
    """
    everything = [(home, reply.content) for home, dialogue in enumerate(dialogues) for reply in dialogue.replies]
    by_turn: dict[int, list[tuple[int, Content]]] = {}
    for home, dialogue in enumerate(dialogues):
        for turn, reply in enumerate(dialogue.replies):
            by_turn.setdefault(turn, []).append((home, reply.content))

    def donate(position: int, turn: int, draw: random.Random) -> Content:
        own = dialogues[position].replies[turn].content
        for pool in (by_turn[turn], everything):
            found = _draw_other(pool, position, own, draw)
            if found is not None:
                return copy.deepcopy(found)
        others = [content for home, content in everything if home != position]
        if not others:
            raise DataError("swapping replies needs at least two dialogues with assistant replies, found one")
        return copy.deepcopy(draw.choice(others))  # all equal to the own reply: unavoidable

    return corrupt(dialogues, rate, seed, "swap", donate, turns)


def wrong_answers(
    world: World,
    dialogues: Sequence[Dialogue],
    rate: float,
    seed: int,
    turns: Turns = "all",
    *,
    systematic: bool = False,
) -> list[Dialogue]:
    """Replace the fact in the replies of a share of the dialogues by another value of the same relation.

    Only the fact is wrong; the sentence stays the same, so this is the hardest noise for a language model to see.
    Right is what `metadata["answers"]` of the clean dialogue says: a later reply that recollects a corrupted one still
    has to give what was said before the corruption.

    Args:
        world: The world that the dialogues come from.
        dialogues: Dialogues of the world, with `metadata["answers"]`.
        rate: Share of dialogues to corrupt: exactly round(rate * n).
        seed: Seed of the choice and of the wrong values.
        turns: `all` replies of a chosen dialogue, or `one`.
        systematic: True replaces a value by the same wrong one everywhere (a rumour that many repeat); False draws
            anew each time, which leaves the right answer the most frequent one.

    Returns:
        As many dialogues in the same order, each with `metadata["noise"]`; `metadata["answers"]` stays the truth.

    Raises:
        ConfigError: `rate` or `turns` is not allowed.
        DataError: A chosen reply does not hold a value of this world.
    """

    def lie(position: int, turn: int, draw: random.Random) -> Content:
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

    return corrupt(dialogues, rate, seed, "wrong", lie, turns)


def corrupt(
    dialogues: Sequence[Dialogue], rate: float, seed: int, kind: str, corrupter: Corrupter, turns: Turns = "all"
) -> list[Dialogue]:
    """Corrupt an exact share of dialogues with any rule, and label the result: what every kind of noise is built on.

    Args:
        dialogues: The clean dialogues.
        rate: Share to corrupt: exactly round(rate * n) dialogues, drawn among those that have replies.
        seed: Seed of the choice; each dialogue then has its own random source.
        kind: The label written to `metadata["noise"]["kind"]`.
        corrupter: Gives the new content of a reply.
        turns: `all` replies of a chosen dialogue, or `one`.

    Raises:
        ConfigError: `rate` or `turns` is not allowed.
        DataError: Fewer dialogues have replies than must be corrupted.
    """
    if not 0 <= rate <= 1:
        raise ConfigError(f"expected a noise rate from 0 to 1, found {rate}")
    if turns not in ("all", "one"):
        raise ConfigError(f"expected turns 'all' or 'one', found {turns!r}")
    eligible = [position for position, dialogue in enumerate(dialogues) if dialogue.num_turns]
    size = round(rate * len(dialogues))
    if size > len(eligible):
        raise DataError(
            f"expected at least {size} dialogues with assistant replies to corrupt, found {len(eligible)}",
            hint="lower the rate, or leave out dialogues without replies",
        )
    chosen = set(_random(seed, kind, "choice").sample(eligible, size))
    result: list[Dialogue] = []
    for position, dialogue in enumerate(dialogues):
        made = copy.deepcopy(dialogue)
        changed: list[int] = []
        if position in chosen:
            draw = _random(seed, kind, position)
            changed = list(range(made.num_turns)) if turns == "all" else [draw.randrange(made.num_turns)]
            _replace_replies(made, {turn: corrupter(position, turn, draw) for turn in changed})
        made.metadata["noise"] = {"kind": kind if position in chosen else "clean", "turns": changed}
        result.append(made)
    return result


def _replace_replies(dialogue: Dialogue, contents: dict[int, Content]) -> None:
    turn = 0
    for place, message in enumerate(dialogue.messages):
        if message.role == "assistant":
            if turn in contents:
                dialogue.messages[place] = replace(message, content=contents[turn])
            turn += 1


def _draw_other(
    pool: Sequence[tuple[int, Content]], position: int, own: Content, draw: random.Random
) -> Content | None:
    """A content of another dialogue that differs from the own one; None when the pool holds none."""
    for _ in range(20):  # nearly always enough; the scan below is for pools of near-equal replies
        home, content = draw.choice(pool)
        if home != position and content is not None and content != own:
            return content
    others = [content for home, content in pool if home != position and content is not None and content != own]
    return draw.choice(others) if others else None


def _random(*key: object) -> random.Random:
    # A text seeds through SHA-512, not through hash(), so it is the same in every process and on every machine.
    return random.Random("turnwise/noise/" + "/".join(map(str, key)))
