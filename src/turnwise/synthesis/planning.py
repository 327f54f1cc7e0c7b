"""Which pieces of a document a dialogue goes through, in which order, and what logic each turn has."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from turnwise.synthesis.chain import LOGIC_TYPES, Logic
from turnwise.synthesis.pieces import LONGEST, Language, Piece, clauses_of

_WIDEST = 3
"""A span that is widened for coverage holds at most this many times the longest piece."""

_FIRST_ASKS = 0.3
"""How often a dialogue opens with a vague question that the assistant asks back about."""


@dataclass(frozen=True, slots=True)
class Unit:
    """What one turn is about.

    Attributes:
        piece: The piece that the question is made from.
        start: Where the evidence begins in the document; the evidence lies in the piece, or begins with it.
        end: Where it ends.
        only: The evidence alone is told, not the sentence around it (a low coverage is wanted).
    """

    piece: Piece
    start: int
    end: int
    only: bool = False

    @property
    def part(self) -> bool:
        """Whether the evidence is a clause of the piece."""
        return (self.start, self.end) != (self.piece.start, self.piece.end) and self.end <= self.piece.end


def room(pieces: Sequence[Piece], language: Language, enough: int) -> list[Unit]:
    """All units that a document has room for: every piece, then clauses of the longest pieces.

    Args:
        pieces: The usable pieces of the document.
        language: Of the document.
        enough: How many units to stop at; all pieces are there whatever it is.

    Returns:
        Units with different evidence: the pieces in the order of the document, then, as a second pass through it,
        clauses of them; every piece gives one clause before any gives a second, and only where that is not enough
        are sentences divided more finely.
    """
    said: set[str] = set()
    units = [Unit(piece, piece.start, piece.end) for piece in pieces if _new(piece, said)]
    if len(units) >= enough:
        return units
    rounds: list[tuple[int, int, Piece, Piece]] = []
    for number, unit in enumerate(units):
        clauses = clauses_of(unit.piece, language)
        clauses.sort(key=lambda clause: -sum(char.isdigit() for char in clause.text) * 20 - len(clause.text))
        rounds += [(turn, number, unit.piece, clause) for turn, clause in enumerate(clauses)]
    rounds.sort(key=lambda one: one[:2])
    more = [Unit(piece, clause.start, clause.end) for _, _, piece, clause in rounds if _new(clause, said)]
    for unit in sorted(units, key=lambda one: one.start - one.end):
        if len(units) + len(more) >= enough:
            break
        fine = clauses_of(unit.piece, language, fine=True)
        more += [Unit(unit.piece, clause.start, clause.end) for clause in fine if _new(clause, said)]
    return units + sorted(more[: enough - len(units)], key=lambda unit: unit.start)


def _new(piece: Piece, said: set[str]) -> bool:
    """Whether the same words were not there before; notes them."""
    key = piece.text.casefold()
    if key in said:
        return False
    said.add(key)
    return True


def chosen(units: Sequence[Unit], number: int, good: Callable[[Unit], float]) -> list[Unit]:
    """`number` units spread evenly over the document: of each stretch the one with the least `good`."""
    if number >= len(units):
        return list(units)
    bounds = [round(place * len(units) / number) for place in range(number + 1)]
    return [min(_some(units[low:high]), key=good) for low, high in itertools.pairwise(bounds) if low < high]


def _some(units: Sequence[Unit], most: int = 12) -> Sequence[Unit]:
    step = max(1, len(units) // most)
    return units[::step]


def covering(
    units: Sequence[Unit], turns: tuple[int, int], wanted: int, good: Callable[[Unit], float], language: Language
) -> list[Unit]:
    """Units whose evidence comes as near to `wanted` characters as `turns` allows.

    More turns are taken first; then, where that is too little, spans are widened to the pieces that follow, up to a
    limit; where the fewest turns are too much, evidence is narrowed to clauses.
    """
    low, high = turns
    picked: list[Unit] = []
    for number in range(low, high + 1):
        picked = chosen(units, number, partial(_off, wanted / number, good))
        if _covered(picked) >= wanted or number >= len(units):
            break
    if _covered(picked) < wanted:
        return _widened(picked, [unit.piece for unit in units if not unit.part], wanted, language)
    return _narrowed(picked, wanted, language)


def _off(wanted: float, good: Callable[[Unit], float], unit: Unit) -> float:
    """How far the evidence of a unit is from a length; of two alike the better one."""
    return abs(unit.end - unit.start - wanted) + good(unit) / 100


def _covered(units: Sequence[Unit]) -> int:
    """Characters in any evidence; units are in order, and may overlap."""
    total = last = 0
    for start, end in sorted((unit.start, unit.end) for unit in units):
        total += max(0, end - max(start, last))
        last = max(last, end)
    return total


def _widened(picked: list[Unit], pieces: list[Piece], wanted: int, language: Language) -> list[Unit]:
    ends = sorted({piece.end for piece in pieces})
    changed = True
    while changed and _covered(picked) < wanted:
        changed = False
        for number, unit in enumerate(picked):
            if unit.part:
                continue
            limit = min((other.start for other in picked if other.start > unit.start), default=None)
            further = next((end for end in ends if end > unit.end), None)
            if further is None or (limit is not None and further > limit):
                continue
            if further - unit.start <= _WIDEST * LONGEST[language]:
                picked[number] = replace(unit, end=further)
                changed = True
            if _covered(picked) >= wanted:
                break
    return picked


def _narrowed(picked: list[Unit], wanted: int, language: Language) -> list[Unit]:
    order = sorted(range(len(picked)), key=lambda number: picked[number].start - picked[number].end)
    taken = {(unit.start, unit.end) for unit in picked}
    for number in order:
        unit = picked[number]
        if unit.part:
            continue
        clauses = [*clauses_of(unit.piece, language), *clauses_of(unit.piece, language, fine=True)]
        for clause in sorted(clauses, key=lambda one: len(one.text)):
            less = Unit(unit.piece, clause.start, clause.end, only=True)
            tried = [*picked[:number], less, *picked[number + 1 :]]
            if (clause.start, clause.end) not in taken and wanted <= _covered(tried) < _covered(picked):
                picked[number] = less
                taken.add((clause.start, clause.end))
                break
    return picked


def logics(number: int, fits: Callable[[int, Logic], bool], rng: random.Random) -> list[Logic]:
    """A logic type for every turn.

    Args:
        number: Turns of the dialogue.
        fits: Whether a turn can be of a type; what it says yes to is done.
        rng: Source of the order.

    Returns:
        Each of the six types once where there are six turns and the types fit, the other turns question-answer, but
        with up to a third of what remains of other types. A question-question is never the last turn, and a
        question-answer, which answers the assistant's question, follows it.
    """
    plan: list[Logic] = ["question-answer"] * number
    free = list(range(1, number))
    rng.shuffle(free)
    others: list[Logic] = [logic for logic in LOGIC_TYPES if logic != "question-answer"]
    # What needs most comes first: two whole sentences in a row, two in a row with phrases, something to swap.
    first: list[Logic] = ["statement-explanation", "question-question", "opinion-rebuttal"]
    rest = [logic for logic in others if logic not in first]
    rng.shuffle(rest)
    again = ["opinion-rebuttal", "statement-explanation", "opinion-agreement", "statement-inquiry"]
    rng.shuffle(again)
    extra = max(0, (number - 6) // 3)
    held: set[int] = set()
    for logic in [*first, *rest, *again[:extra]]:
        places = free
        if logic == "question-question":
            places = [0, *free] if rng.random() < _FIRST_ASKS else [*free, 0]
        for place in places:
            asks = logic == "question-question"
            if place in held or (asks and (place + 1 >= number or plan[place + 1] != "question-answer")):
                continue
            if place and plan[place - 1] == "question-question":
                continue
            if fits(place, logic):  # type: ignore[arg-type]
                plan[place] = logic  # type: ignore[call-overload]
                held.add(place)
                if asks:
                    held.add(place + 1)
                break
        free = [place for place in free if place not in held]
    return plan
