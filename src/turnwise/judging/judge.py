"""A judge asks a chat model to grade by a rubric, and makes a record of whatever comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from turnwise.judging.prompt import fill
from turnwise.judging.records import Judgment, Unscored, Winner
from turnwise.llm.chat import ChatModel, ChatReply, ChatRequest, FailureKind, Sampling

JUDGE_SAMPLING = Sampling(temperature=0, max_tokens=2048)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a parser read in a judge's reply: scores by criterion, a winner (`A`, `B`, `tie`), or why neither.

    Attributes:
        scores: By criterion; a criterion that the reply leaves out is `unparsable`.
        winner: Of a comparison: `A` for the first answer, `B` for the second, or `tie`.
        unscored: Why there is nothing; per criterion in `unscored_criteria` where only some are missing.
        unscored_criteria: Reasons of single criteria.
        notes: Worth keeping, for example `{"ambiguous": True}`.
    """

    scores: Mapping[str, float] = field(default_factory=dict)
    winner: str | None = None
    unscored: Unscored | None = None
    unscored_criteria: Mapping[str, Unscored] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rubric:
    """What is judged, on which scale, in which words, and how the verdict is read.

    Attributes:
        name: For example `single-v1`.
        version: Of the wording; part of every record. A changed wording is another version.
        template: The user message, with `{name}` where a field is filled in.
        parse: From the reply's text to the verdict. Not part of any cache key.
        system: The system message; "" for none.
        criteria: What the scores are called.
        low: Lowest score; below it a score is `out_of_scale`. None for no check.
        high: Highest score.
        schema: JSON schema of the reply, where the verdict is JSON.
        sampling: How the judge is asked.
    """

    name: str
    version: str
    template: str
    parse: Callable[[str], Verdict]
    system: str = ""
    criteria: tuple[str, ...] = ("overall",)
    low: float | None = None
    high: float | None = None
    schema: Mapping[str, Any] | None = None
    sampling: Sampling = JUDGE_SAMPLING

    def request(self, fields: Mapping[str, str], *, sample: int = 0) -> ChatRequest:
        """The request for one judgment; system message and template are both filled in one pass."""
        messages = [{"role": "user", "content": fill(self.template, fields)}]
        if self.system:
            messages.insert(0, {"role": "system", "content": self.system})
        return ChatRequest(messages, self.sampling, self.schema, sample)


@dataclass(frozen=True, slots=True)
class Judge:
    """A rubric and the model that grades by it.

    Attributes:
        model: The grading model.
        rubric: What it grades by.
        samples: How often each judgment is repeated (with `Judgment.sample` from 0).
    """

    model: ChatModel
    rubric: Rubric
    samples: int = 1

    async def grade(
        self, fields: Mapping[str, str], *, item: str, turn: int | None, model: str, metadata: Mapping[str, Any]
    ) -> list[Judgment]:
        """Grade one answer: one judgment per criterion and sample.

        Args:
            fields: What is filled into the rubric's template.
            item: Id of the judged dialogue.
            turn: The judged `turn_index`, or None for the whole dialogue.
            model: Whose answer it is.
            metadata: Kept with every judgment.
        """
        requests = [self.rubric.request(fields, sample=sample) for sample in range(self.samples)]
        replies = await asyncio.gather(*(self.model.reply(request) for request in requests))
        judgments = []
        for sample, reply in enumerate(replies):
            verdict = read_verdict(self.rubric, reply)
            for criterion in self.rubric.criteria:
                score, unscored = _of_criterion(self.rubric, verdict, criterion)
                judgments.append(
                    Judgment(
                        item=item,
                        turn=turn,
                        model=model,
                        judge=self.model.name,
                        criterion=criterion,
                        prompt=f"{self.rubric.name}@{self.rubric.version}",
                        score=score,
                        unscored=unscored,
                        sample=sample,
                        text=reply.text,
                        metadata=_kept(metadata, verdict, reply),
                    )
                )
        return judgments

    async def compare(
        self,
        fields_of: Callable[[str, str], Mapping[str, str]],
        answers: tuple[str, str],
        *,
        item: str,
        turn: int | None,
        model: str,
        baseline: str,
        metadata: Mapping[str, Any],
    ) -> list[Judgment]:
        """Compare two answers in both orders: one judgment per order and sample.

        Args:
            fields_of: From the answer shown first and the one shown second to the template's fields.
            answers: The model's answer and the baseline's.
            item: Id of the judged dialogue.
            turn: The judged `turn_index`, or None for the whole dialogue.
            model: Whose answer the first one is.
            baseline: Whose answer the second one is.
            metadata: Kept with every judgment.
        """
        ours, theirs = answers
        shown = {"first": fields_of(ours, theirs), "second": fields_of(theirs, ours)}
        orders = [(position, sample) for sample in range(self.samples) for position in shown]
        replies = await asyncio.gather(
            *(self.model.reply(self.rubric.request(shown[position], sample=sample)) for position, sample in orders)
        )
        judgments = []
        for (position, sample), reply in zip(orders, replies, strict=True):
            verdict = read_verdict(self.rubric, reply)
            winner = _winner(verdict.winner, position)
            judgments.append(
                Judgment(
                    item=item,
                    turn=turn,
                    model=model,
                    judge=self.model.name,
                    criterion=self.rubric.criteria[0],
                    prompt=f"{self.rubric.name}@{self.rubric.version}",
                    winner=winner,
                    unscored=None if winner is not None else (verdict.unscored or "unparsable"),
                    baseline=baseline,
                    position="first" if position == "first" else "second",
                    sample=sample,
                    text=reply.text,
                    metadata=_kept(metadata, verdict, reply),
                )
            )
        return judgments


def read_verdict(rubric: Rubric, reply: ChatReply) -> Verdict:
    """The verdict of a reply; a reply that is no answer gives none, whatever text it holds."""
    if reply.failure is not None:
        return Verdict(unscored=_REASONS.get(reply.failure, "failed"), notes={"failure": reply.detail})
    return rubric.parse(reply.text)


_REASONS: dict[FailureKind, Unscored] = {
    "refused": "refused",
    "empty": "empty",
    "truncated": "truncated",
    "schema": "unparsable",
    "limit": "limit",
}
"""Reasons of failed replies; all others are `failed`."""


def _of_criterion(rubric: Rubric, verdict: Verdict, criterion: str) -> tuple[float | None, Unscored | None]:
    if verdict.unscored is not None:
        return None, verdict.unscored
    if criterion not in verdict.scores:
        return None, verdict.unscored_criteria.get(criterion, "unparsable")
    score = verdict.scores[criterion]
    low = rubric.low if rubric.low is not None else float("-inf")
    high = rubric.high if rubric.high is not None else float("inf")
    return (score, None) if low <= score <= high else (None, "out_of_scale")


def _winner(letter: str | None, position: str) -> Winner | None:
    if letter is None or letter == "tie":
        return "tie" if letter == "tie" else None
    return "model" if (letter == "A") == (position == "first") else "baseline"


def _kept(metadata: Mapping[str, Any], verdict: Verdict, reply: ChatReply) -> dict[str, Any]:
    kept = {**metadata, **verdict.notes}
    if reply.model is not None:
        kept["judge_snapshot"] = reply.model
    if reply.thinking:
        kept["judge_thinking"] = reply.thinking
    return kept
