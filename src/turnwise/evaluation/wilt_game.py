"""One game of WILT: what is said to the model, how its replies are read, when the game is over.

A game is a function of the rule and the replies alone, so stored replies play the same game again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

from turnwise.evaluation.wilt_grammar import Expression, Refused, exact, parse_expression
from turnwise.evaluation.wilt_rules import Agreement, Rule, Triple, compare

End = Literal["guessed", "invalid"]
"""How a game ends: with a guess, or with too many replies that could not be read."""

_NUMBER = re.compile(r"[+-]?(?:\d{1,9}(?:\.\d{1,6})?|\.\d{1,6})")
_MOST_READ = 20_000
"""Characters at the end of a reply that are looked at."""

OPENING = """I have a rule about three numbers x, y and z, in this order. For some triples it holds, for others not. \
The numbers may be negative and may have decimals. Find the rule.

You have {tests} tests and one guess. Think aloud if you like, but every reply must hold exactly one line of one of \
these two forms:

TEST: 1, 2, 3
GUESS: x < y and z % 2 == 0

To a test I answer whether the rule holds for your three numbers. A guess ends the game: it has to be true for exactly \
those triples for which the rule holds. Write it as a Python expression over x, y and z with numbers, + - * / // % **, \
comparisons, and, or, not, abs, min, max, sum, len, round, sorted, and lists or sets to compare. You need not use all \
tests, and asking the same twice tells you nothing new."""


@dataclass(slots=True)
class Game:
    """A game as it stands.

    Attributes:
        rule: The hidden rule.
        max_tests: How many tests the model may make.
        max_invalid: With so many replies that cannot be read, the game is over.
        tests: Triples and the rule's answers, in order; repeated ones too.
        invalid: Why replies could not be read.
        guess: The guess that was made.
        end: How the game ended; None while it goes on.
    """

    rule: Rule
    max_tests: int = 30
    max_invalid: int = 3
    tests: list[tuple[Triple, bool]] = field(default_factory=list)
    invalid: list[str] = field(default_factory=list)
    guess: Expression | None = None
    end: End | None = None

    @property
    def opening(self) -> str:
        """The first message."""
        return OPENING.replace("{tests}", str(self.max_tests))

    @property
    def repeated(self) -> int:
        """How many tests had been made before."""
        return len(self.tests) - len({triple for triple, _ in self.tests})

    @property
    def consistent(self) -> bool | None:
        """Whether the guess agrees with all that the tests showed; None without a guess."""
        if self.guess is None:
            return None
        return all(self.guess.holds(triple) == answer for triple, answer in self.tests)

    def agreement(self) -> Agreement | None:
        """How far the guess is the rule; None without a guess. Takes a moment: some thousand points are compared."""
        return None if self.guess is None else compare(self.rule.expression, self.guess)

    def hear(self, reply: str) -> str | None:
        """Take the model's next reply in; what to say to it, or None when the game is over.

        Raises:
            ValueError: The game was over before.
        """
        if self.end is not None:
            raise ValueError("the game is over")
        try:
            action, content = _action(reply)
            if action == "GUESS":
                self.guess = parse_expression(content)
                self.end = "guessed"
                return None
            return self._test(content)
        except Refused as reason:
            self.invalid.append(str(reason))
            if len(self.invalid) >= self.max_invalid:
                self.end = "invalid"
                return None
            left = self.max_invalid - len(self.invalid)
            return (
                f"I cannot read that: {reason}. Reply with exactly one line `TEST: 1, 2, 3` or `GUESS: expression`. "
                f"After {left} more such {'reply' if left == 1 else 'replies'} the game ends."
            )

    def _test(self, content: str) -> str:
        if len(self.tests) >= self.max_tests:
            raise Refused("all tests are used up")
        triple = _triple(content)
        holds = self.rule.expression.holds(triple)
        self.tests.append((triple, holds))
        left = self.max_tests - len(self.tests)
        shown = ", ".join(str(float(number)) if isinstance(number, Fraction) else str(number) for number in triple)
        said = f"Test {len(self.tests)} of {self.max_tests}: ({shown}) is {holds}."
        return said if left else f"{said} That was the last test. Reply with your GUESS."


def _action(reply: str) -> tuple[str, str]:
    """The one line that says what to do, and what follows its colon. Thoughts before `</think>` do not count."""
    found = []
    for line in reply.rpartition("</think>")[2][-_MOST_READ:].splitlines():
        head, colon, content = line.partition(":")
        action = head.strip(" \t>*_`#-").upper()
        if colon and action in ("TEST", "GUESS"):
            found.append((action, content.strip(" \t*_`")))
    if len(found) != 1:
        raise Refused(f"expected one line that begins with TEST: or GUESS:, found {len(found) or 'none'}")
    return found[0]


def _triple(content: str) -> Triple:
    parts = [part.strip() for part in content[:200].strip("()[] .").split(",")]
    if len(parts) != 3 or not all(_NUMBER.fullmatch(part) for part in parts):
        raise Refused("a test needs three numbers with commas between them, up to nine digits and six decimals each")
    return tuple(exact(Fraction(part)) for part in parts)
