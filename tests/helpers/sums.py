"""A small benchmark that is whole: sums in two turns, scored by a judge from 1 to 10, or compared."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from turnwise.dialogue import Dialogue, Message
from turnwise.evaluation.benchmark import Benchmark, Item, ScoreRow, ScoreTable
from turnwise.judging.judge import Judge, Rubric, Verdict
from turnwise.judging.records import Judgment
from turnwise.llm.chat import ChatModel, ChatReply, ChatRequest
from turnwise.llm.scripted import ScriptedModel


def parse_score(text: str) -> Verdict:
    found = re.findall(r"\[\[(\d+)\]\]", text)
    return Verdict({"overall": float(found[-1])}) if found else Verdict(unscored="unparsable")


def parse_winner(text: str) -> Verdict:
    found = re.findall(r"\[\[([ABC])\]\]", text)
    letters = {"A": "A", "B": "B", "C": "tie"}
    return Verdict(winner=letters[found[-1]]) if found else Verdict(unscored="unparsable")


GRADE = Rubric("sums-single", "1", "Question: {question}\nAnswer: {answer}", parse_score, low=1, high=10)
COMPARE = Rubric("sums-pair", "1", "Question: {question}\nA: {a}\nB: {b}", parse_winner)


class Sums(Benchmark):
    """`count` items of two turns; categories `even` and `odd` by the item's number."""

    name = "sums"
    needs_judge = True

    def __init__(self, count: int = 6) -> None:
        self.count = count

    def items(self) -> Sequence[Item]:
        return [
            Item(
                f"sum-{number}",
                [Message("user", f"What is {number}+{number}?"), Message("user", "And one more?")],
                metadata={"category": "odd" if number % 2 else "even"},
            )
            for number in range(self.count)
        ]

    async def score(self, answer: Dialogue, judge: ChatModel | None) -> list[Judgment]:
        assert judge is not None
        found = []
        for turn, (question, reply) in enumerate(_turns(answer)):
            about = {"item": answer.id, "turn": turn, "model": answer.metadata["model"]}
            kept = {"category": answer.metadata["category"]}
            if reply.extra.get("failure"):
                reason = "limit" if reply.extra["failure"] == "limit" else "no_answer"
                kept["failure"] = reply.extra["failure"]
                found.append(
                    Judgment(**about, judge=judge.name, prompt="sums-single@1", unscored=reason, metadata=kept)
                )
                continue
            fields = {"question": question.text, "answer": reply.text}
            found += await Judge(judge, GRADE).grade(fields, **about, metadata=kept)
        return found

    async def compare(self, answer: Dialogue, baseline: Dialogue, judge: ChatModel) -> list[Judgment]:
        found = []
        for turn, ((question, ours), (_, theirs)) in enumerate(zip(_turns(answer), _turns(baseline), strict=True)):
            found += await Judge(judge, COMPARE).compare(
                lambda a, b, question=question: {"question": question.text, "a": a, "b": b},
                (ours.text, theirs.text),
                item=answer.id,
                turn=turn,
                model=answer.metadata["model"],
                baseline=baseline.metadata["model"],
                metadata={"category": answer.metadata["category"]},
            )
        return found

    def tables(self, judgments: Sequence[Judgment]) -> list[ScoreTable]:
        if any(one.baseline for one in judgments):
            wins = {"model": 1.0, "tie": 0.5, "baseline": 0.0}
            return [self._table("win rate", judgments, lambda one: None if one.winner is None else wins[one.winner])]
        return [self._table("score", judgments, lambda one: one.score)]

    def _table(
        self, measure: str, judgments: Sequence[Judgment], value: Callable[[Judgment], float | None]
    ) -> ScoreTable:
        rows = []
        for name in ("all", "even", "odd"):
            group = [one for one in judgments if name in ("all", one.metadata["category"])]
            values = [found for one in group if (found := value(one)) is not None]
            unscored: dict[str, int] = {}
            for one in group:
                if one.unscored is not None:
                    unscored[one.unscored] = unscored.get(one.unscored, 0) + 1
            mean = sum(values) / len(values) if values else None
            rows.append(ScoreRow(name, mean, len(values), *((min(values), max(values)) if values else ()), unscored))
        return ScoreTable(f"Sums, {measure}", "category", rows, measure)


def _turns(answer: Dialogue) -> list[tuple[Message, Message]]:
    return list(zip(answer.messages[::2], answer.messages[1::2], strict=True))


def answers_right(name: str = "right") -> ScriptedModel:
    """Says the sum in turn 0, and one more in turn 1."""

    def script(request: ChatRequest) -> str:
        number = int(re.search(r"(\d+)\+", request.messages[0]["content"])[1])
        return str(2 * number + (len(request.messages) > 1))

    return ScriptedModel(script, name=name)


def judges_by_length(**replies: str | ChatReply) -> ScriptedModel:
    """Scores an answer with 10 minus its number of digits; `sum_3="..."` is the reply about turn 0 of item 3."""

    def script(request: ChatRequest) -> str | ChatReply:
        text = request.messages[-1]["content"]
        for key, reply in replies.items():
            number = key.removeprefix("sum_")
            if f"What is {number}+" in text:
                return reply
        answer = re.search(r"Answer: (.*)", text)
        return f"Short is good. [[{10 - len(answer[1])}]]" if answer else "The first is better. [[A]]"

    return ScriptedModel(script, name="judge-by-length")
