"""The hidden rules of WILT, from simple to hard, and how a guess is told to be the same rule."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from random import Random
from typing import Literal

from turnwise.evaluation.wilt_grammar import Expression, exact, parse_expression

Triple = tuple[Fraction | int, ...]
Difficulty = Literal["easy", "medium", "hard"]
DIFFICULTIES: tuple[Difficulty, ...] = ("easy", "medium", "hard")
SEED = 20241014


@dataclass(frozen=True, slots=True)
class Rule:
    """One hidden rule.

    Attributes:
        id: Stable name.
        difficulty: How hard it is to find, by our own judgement.
        text: The rule, in the grammar of `wilt_grammar`.
    """

    id: str
    difficulty: Difficulty
    text: str

    @property
    def expression(self) -> Expression:
        """The rule, read."""
        return parse_expression(self.text)


RULES: tuple[Rule, ...] = (
    Rule("rising", "easy", "x < y < z"),
    Rule("falling", "easy", "x > y > z"),
    Rule("all-equal", "easy", "x == y == z"),
    Rule("all-positive", "easy", "x > 0 and y > 0 and z > 0"),
    Rule("sum-above-ten", "easy", "x + y + z > 10"),
    Rule("sum-of-first-two", "easy", "x + y == z"),
    Rule("last-is-largest", "easy", "z >= x and z >= y"),
    Rule("first-negative", "easy", "x < 0"),
    Rule("all-different", "medium", "x != y and y != z and x != z"),
    Rule("two-equal", "medium", "x == y or y == z or x == z"),
    Rule("even-sum", "medium", "(x + y + z) % 2 == 0"),
    Rule("negative-product", "medium", "x * y * z < 0"),
    Rule("equal-steps", "medium", "y - x == z - y"),
    Rule("second-is-double", "medium", "y == 2 * x"),
    Rule("peak", "medium", "y > x and y > z"),
    Rule("any-above-five", "medium", "x > 5 or y > 5 or z > 5"),
    Rule("all-even", "medium", "x % 2 == 0 and y % 2 == 0 and z % 2 == 0"),
    Rule("product", "hard", "x * y == z"),
    Rule("squares", "hard", "x * x + y * y == z * z"),
    Rule("equal-gaps", "hard", "abs(x - y) == abs(y - z)"),
    Rule("equal-ratios", "hard", "y * y == x * z"),
    Rule("narrow", "hard", "max(x, y, z) - min(x, y, z) < 5"),
    Rule("triangle", "hard", "x + y > z and y + z > x and x + z > y"),
    Rule("exactly-two-negative", "hard", "(x < 0) + (y < 0) + (z < 0) == 2"),
    Rule("rising-with-even-end", "hard", "x < y < z and z % 2 == 0"),
    Rule("third-of-sum", "hard", "(x + y + z) % 3 == 0 and x <= y"),
)
"""Every rule of the benchmark."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far a guess is the rule.

    Attributes:
        same: Whether they agree on every point: then the guess counts as the rule.
        share: Mean of two shares of agreement, over the points where the rule holds and over those where it does not;
            0.5 is what a guess that is always true reaches.
        difference: The first point where they differ.
    """

    same: bool
    share: float
    difference: Triple | None


def compare(rule: Expression, guess: Expression) -> Agreement:
    """Compare a guess with the rule on every point of `points`."""
    right = {True: 0, False: 0}
    total = {True: 0, False: 0}
    difference: Triple | None = None
    for point, wanted in itertools.chain(_common(rule.text), _near(rule, guess)):
        total[wanted] += 1
        if guess.holds(point) == wanted:
            right[wanted] += 1
        elif difference is None:
            difference = point
    shares = [right[truth] / total[truth] for truth in (True, False) if total[truth]]
    return Agreement(difference is None, sum(shares) / len(shares), difference)


@cache
def points() -> tuple[Triple, ...]:
    """The points that every guess is tried on, some 3,300 without repeats, always the same.

    All triples of whole numbers from -5 to 5; all triples of nine special values (among them halves, 100 and -100);
    seeded draws of whole numbers up to 20 and up to 1,000 and of numbers with two decimals; and seeded draws in shapes
    that chance would hardly hit: equal members, sums, products, equal steps, equal ratios, right triangles.
    """
    draw = Random(SEED)
    found: dict[Triple, None] = {}
    halves = (Fraction(-1, 2), Fraction(1, 2), Fraction(21, 2))
    cubes: tuple[Sequence[Fraction | int], ...] = (range(-5, 6), (-100, -1, 0, 1, 10, 100, *halves))
    for values in cubes:
        found.update(dict.fromkeys(map(_triple, itertools.product(values, repeat=3))))
    for width, scale, times in ((20, 1, 400), (1000, 1, 150), (2000, 100, 300)):
        for _ in range(times):
            found[_triple(Fraction(draw.randint(-width, width), scale) for _ in range(3))] = None
    for _ in range(40):
        scale = draw.choice((1, 1, 2, 10))
        a, b = (Fraction(draw.randint(-30, 30), scale) for _ in range(2))
        found.update(dict.fromkeys(map(_triple, _shapes(a, b))))
    return tuple(found)


def _shapes(a: Fraction, b: Fraction) -> Iterator[tuple[Fraction, Fraction, Fraction]]:
    yield from ((a, a, a), (a, a, b), (a, b, a), (b, a, a))
    yield from ((a, b, a + b), (a + b, a, b), (a, b, a * b), (a, 2 * a, b), (a, b, -a - b))
    yield from ((a, a + b, a + 2 * b), (a, a + b, a), (a, a * b, a * b * b))
    yield from ((a * a - b * b, 2 * a * b, a * a + b * b), (3 * a, 4 * a, 5 * a))


def _triple(numbers: Iterable[Fraction | int]) -> Triple:
    return tuple(exact(number) for number in numbers)


@cache
def _common(text: str) -> tuple[tuple[Triple, bool], ...]:
    """The points with the rule's answers."""
    rule = parse_expression(text)
    return tuple((point, rule.holds(point)) for point in points())


def _near(rule: Expression, guess: Expression) -> Iterator[tuple[Triple, bool]]:
    """Points at and beside every number that one of the two names: as a member, as the sum, as a difference."""
    draw = Random(SEED)
    constants = list(dict.fromkeys([*rule.constants, *guess.constants]))[:12]
    for constant in constants:
        for step in (0, 1, -1, Fraction(1, 100), Fraction(-1, 100)):
            value = constant + step
            a, b = (Fraction(draw.randint(-9, 9)) for _ in range(2))
            for triple in (
                *((value, a, b), (a, value, b), (a, b, value), (value, value, value)),
                *((value, 1, 1), (0, value, 0), (a, b, value - a - b), (a, a + value, b), (a, b, b + value)),
                (a, a + value, a + value),
            ):
                point = _triple(triple)
                yield point, rule.holds(point)
