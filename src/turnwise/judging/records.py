"""A judgment: one score, or one comparison, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from turnwise.errors import DataError

Unscored = Literal[
    "no_answer",  # the model under test gave no answer (metadata tells why)
    "refused",  # the judge refused
    "empty",  # the judge said nothing
    "truncated",  # the judge's reply ended at its token limit
    "unparsable",  # a reply without a verdict where the rubric wants one
    "out_of_scale",  # a verdict beyond the rubric's scale
    "not_applicable",  # the judge said that the criterion does not apply
    "failed",  # the request failed after all tries
    "limit",  # a limit of the user's own was reached first
]
"""Why a judgment has no score."""

Winner = Literal["model", "baseline", "tie"]


@dataclass(frozen=True, slots=True)
class Judgment:
    """What one judge said of one answer by one criterion.

    Exactly one of these holds: `score` is set; `winner` is set; `unscored` is set.

    Attributes:
        item: Id of the judged dialogue.
        turn: The judged reply's `turn_index`; None where the whole dialogue is judged.
        model: Whose answer is judged.
        judge: The judge's name; `program` where a program scored.
        criterion: What is judged: `overall`, `faithfulness`, ...
        prompt: Name and version of the prompt, for example `single-v1`; of a program, its name.
        score: The score on the rubric's scale.
        winner: Of a comparison in one order: who won.
        unscored: Why there is neither.
        baseline: Of a comparison: the other model.
        position: Of a comparison: where the model's answer stood.
        sample: Number of the repeated judgment, from 0.
        text: The judge's reply, whole.
        metadata: What tables group by (`category`, `source`, ...) and what else is worth keeping (`user_prompt`).
    """

    item: str
    turn: int | None
    model: str
    judge: str
    criterion: str = "overall"
    prompt: str = ""
    score: float | None = None
    winner: Winner | None = None
    unscored: Unscored | None = None
    baseline: str | None = None
    position: Literal["first", "second"] | None = None
    sample: int = 0
    text: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if sum(value is not None for value in (self.score, self.winner, self.unscored)) != 1:
            raise ValueError("expected exactly one of score, winner and unscored")

    def to_dict(self) -> dict[str, Any]:
        """The JSON record: `item`, `turn`, `model`, `judge`, `criterion`, `prompt`, then what is set."""
        record: dict[str, Any] = {
            "item": self.item,
            "turn": self.turn,
            "model": self.model,
            "judge": self.judge,
            "criterion": self.criterion,
            "prompt": self.prompt,
        }
        for key in ("score", "winner", "unscored", "baseline", "position"):
            if getattr(self, key) is not None:
                record[key] = getattr(self, key)
        record.update(sample=self.sample, text=self.text)
        if self.metadata:
            record["metadata"] = dict(self.metadata)
        return record

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Judgment:
        """Read a record that `to_dict` wrote.

        Raises:
            DataError: A key is missing or unknown, or not exactly one of score, winner and unscored is set.
        """
        try:
            return cls(**record)
        except (TypeError, ValueError) as error:
            raise DataError(f"expected a judgment, found keys {', '.join(map(repr, record))} ({error})") from None


def repeated(judgments: Sequence[Judgment], samples: int) -> list[Judgment]:
    """The same judgments under every sample number: what cannot be judged at all weighs as much as what is judged."""
    return [replace(one, sample=sample) for sample in range(samples) for one in judgments]
