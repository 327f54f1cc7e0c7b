"""The eight prompts of a two-turn benchmark: single or pair, first or second turn, with or without a reference.

A set comes from FastChat's own file (`turnwise.judging.published`) or from the package (`packaged_prompts`). Scores
under one set are not comparable with scores under another: the words differ, and so does what the judge sees.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Literal

import yaml

from turnwise.errors import ConfigError
from turnwise.judging.judge import Rubric
from turnwise.judging.prompt import fence, places
from turnwise.judging.ratings import last_choice, last_rating

Kind = Literal["single", "pair"]


@dataclass(frozen=True, slots=True)
class Role:
    """What a prompt is for.

    Attributes:
        kind: One answer, or two compared.
        second: The second turn is judged, with the first in view.
        reference: A reference answer is shown.
    """

    kind: Kind
    second: bool
    reference: bool

    def __str__(self) -> str:
        return self.kind + ("-reference" if self.reference else "") + ("-second" if self.second else "")

    @property
    def judged(self) -> tuple[str, ...]:
        """The fields that hold what is judged; a prompt without them judges nothing."""
        turn = "_2" if self.second else ""
        return (f"answer{turn}",) if self.kind == "single" else (f"answer_a{turn}", f"answer_b{turn}")

    @property
    def fields(self) -> tuple[str, ...]:
        """All fields that such a prompt may have, by FastChat's names."""
        letters = ("answer",) if self.kind == "single" else ("answer_a", "answer_b")
        if self.second:
            names = ("question_1", "question_2", *(f"{letter}_{turn}" for letter in letters for turn in (1, 2)))
        else:
            names = ("question", *letters)
        return (*names, "ref_answer_1", "ref_answer_2") if self.reference else names


ROLES = tuple(
    Role(kind, second, reference)
    for kind in ("single", "pair")
    for second in (False, True)
    for reference in (False, True)
)
"""All eight."""


@dataclass(frozen=True, slots=True)
class PromptSet:
    """The prompts that a benchmark judges with.

    Attributes:
        source: Where they come from, for messages and manifests.
        rubrics: By role; a set for single grading alone may lack the pairs, and the reverse.
        fenced: Whether the texts are put between marks that they cannot hold themselves. The published prompts are
            filled with the bare texts.
    """

    source: str
    rubrics: Mapping[Role, Rubric]
    fenced: bool = False

    def rubric(self, role: Role) -> Rubric:
        """The prompt for a role.

        Raises:
            ConfigError: The set has none.
        """
        if role not in self.rubrics:
            has = ", ".join(str(one) for one in ROLES if one in self.rubrics) or "nothing"
            raise ConfigError(f"the prompts of {self.source} have none for {role}; they are for {has}")
        return self.rubrics[role]

    def fields(self, role: Role, texts: Mapping[str, str]) -> dict[str, str]:
        """What is filled into the role's prompt: the texts that it has a place for, fenced where the set fences."""
        wanted = places(self.rubric(role).template)
        return {name: fence(text, name) if self.fenced else text for name, text in texts.items() if name in wanted}


@functools.cache
def packaged_prompts() -> PromptSet:
    """Our own prompts (`prompts/mt_bench.yaml`): texts fenced, the verdict in the last line, ratings from 1 to 10."""
    text = resources.files("turnwise.judging").joinpath("prompts", "mt_bench.yaml").read_text(encoding="utf-8")
    content = yaml.safe_load(text)
    rubrics = {
        role: Rubric(
            name=f"turnwise-{role}",
            version=str(content["version"]),
            template=content["prompts"][str(role)]["user"].strip(),
            system=content["prompts"][str(role)]["system"].strip(),
            parse=last_rating if role.kind == "single" else last_choice,
            low=1 if role.kind == "single" else None,
            high=10 if role.kind == "single" else None,
        )
        for role in ROLES
    }
    return PromptSet("turnwise", rubrics, fenced=True)
