"""What a question made from a sentence is, whatever the language."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

QuestionKind = Literal["when", "number", "where", "who", "what", "why", "define", "whether", "cloze", "about"]
"""What is asked for. `whether` asks whether something holds, `cloze` for what fills a gap, `about` for what is said."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question that one sentence answers.

    Attributes:
        text: The question, with its question mark.
        answer: The short answer, a slice of the sentence; "" where only the whole sentence answers.
        kind: What is asked for.
        start: Where the answer begins in the sentence; 0 without one.
        rank: How well such questions read, from 0 (best) to 9.
        leaning: It begins with a pronoun and needs the sentence before to be understood.
    """

    text: str
    answer: str
    kind: QuestionKind
    start: int = 0
    rank: int = 5
    leaning: bool = False


@dataclass(frozen=True, slots=True)
class Entity:
    """A date, number or name, and where it stands in its sentence: what can be asked for and swapped."""

    kind: str
    text: str
    start: int

    @property
    def end(self) -> int:
        """One past its last character."""
        return self.start + len(self.text)
