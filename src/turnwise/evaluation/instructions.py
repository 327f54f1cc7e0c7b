"""PIF: the share of all instructions given so far that a reply follows, checked by program.

After Epstein, Yao, Li, Bai, Palangi (2024), "MMMT-IF: A Challenging Multimodal Multi-Turn Instruction Following
Benchmark" (arXiv 2409.18216), whose measures PIF and PIF-N-K these are; dialogues, instructions and checks are ours and
have no images, so the figures are not comparable with theirs.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from turnwise.dialogue import Dialogue, Message
from turnwise.errors import ConfigError, DataError
from turnwise.evaluation.benchmark import Benchmark, Item, ScoreTable, is_given, reply_extra
from turnwise.evaluation.instruction_checks import Instruction
from turnwise.evaluation.instruction_data import generate_dialogues, instructions_of, read_instruction_dialogues
from turnwise.evaluation.tables import score_rows, unit_of
from turnwise.judging.records import Judgment
from turnwise.llm.chat import ChatModel, ChatRequest, Sampling

GREEDY = Sampling(temperature=0, max_tokens=1024)
DRAWN = Sampling(temperature=0.7, max_tokens=1024)
PROMPT = "pif@1"
REPEATS = "repeats"
"""Key of an assistant message that holds the other replies to the same history."""


class PIF(Benchmark):
    """Dialogues in which instructions accumulate.

    Args:
        items: The dialogues; None generates `generate_dialogues()`.
        repeats: Replies per turn (N of PIF-N-K). The first one goes into the history.
        sampling: How they are drawn; None is greedy for one reply, and temperature 0.7 for several.

    Raises:
        ConfigError: Fewer than one repeat, or several that would all be greedy.
    """

    name = "pif"

    def __init__(
        self, items: Sequence[Item] | None = None, *, repeats: int = 1, sampling: Sampling | None = None
    ) -> None:
        if repeats < 1:
            raise ConfigError(f"expected at least one repeat, found {repeats}")
        self._repeats = repeats
        self._sampling = sampling or (GREEDY if repeats == 1 else DRAWN)
        if repeats > 1 and self._sampling.temperature == 0:
            raise ConfigError(f"{repeats} greedy replies would all be the same", hint="give a temperature above 0")
        given = generate_dialogues() if items is None else items
        self._items = [replace(item, sampling=self._sampling) for item in given]

    @classmethod
    def from_file(cls, path: str | Path, *, repeats: int = 1, sampling: Sampling | None = None) -> PIF:
        """Over a user's dialogues; see `instruction_data.read_instruction_dialogues`."""
        return cls(read_instruction_dialogues(path), repeats=repeats, sampling=sampling)

    def items(self) -> Sequence[Item]:
        """The dialogues, in their order."""
        return self._items

    async def answer(self, item: Item, model: ChatModel, *, gold_history: bool = False) -> Dialogue:
        """As for any benchmark; further replies to the same history are in a reply's extra key `repeats`."""
        if self._repeats == 1:
            return await super().answer(item, model, gold_history=gold_history)
        told: list[Message] = []
        shown: list[dict[str, Any]] = []
        messages = list(item.messages)
        for place, message in enumerate(messages):
            if message.role == "assistant":
                continue
            told.append(message)
            shown.append({"role": message.role, "content": message.content})
            if message.role != "user":
                continue
            requests = [ChatRequest(tuple(shown), item.sampling, sample=sample) for sample in range(self._repeats)]
            first, *others = await asyncio.gather(*(model.reply(request) for request in requests))
            extra = {**reply_extra(first), REPEATS: [{"text": one.text, **reply_extra(one)} for one in others]}
            told.append(Message("assistant", first.text, extra=extra))
            following = messages[place + 1] if place + 1 < len(messages) else None
            gold = following if gold_history and following is not None and following.role == "assistant" else None
            shown.append({"role": "assistant", "content": first.text if gold is None else gold.content})
        return Dialogue(told, id=item.id, source=self.name, metadata={**item.metadata, "model": model.name})

    async def score(self, answer: Dialogue, judge: ChatModel | None) -> list[Judgment]:
        """PIF of every reply from the first instruction on: followed instructions over those given so far.

        A truncated or empty reply is checked as it stands and marked; a failed one is `no_answer`. `metadata.checks`
        has kind, turn of giving and verdict of every instruction.

        Raises:
            DataError: A user message's instructions are none, or a stored repeat is none.
        """
        given: list[tuple[int, Instruction]] = []
        turn = 0
        judgments: list[Judgment] = []
        model = str(answer.metadata.get("model", ""))
        for message in answer.messages:
            if message.role == "user":
                given += [(turn, one) for one in instructions_of(message)]
            if message.role != "assistant":
                continue
            for sample, (text, failure) in enumerate(_replies(message, answer.id) if given else ()):
                metadata: dict[str, Any] = {"category": answer.metadata.get("category", "all")}
                if failure is not None:
                    metadata["answer_failure"] = failure
                if is_given(failure):
                    followed = [one.follows(text) for _, one in given]
                    metadata["checks"] = [
                        {"kind": one.kind, "given": since, "followed": right}
                        for (since, one), right in zip(given, followed, strict=True)
                    ]
                    verdict: dict[str, Any] = {"score": sum(followed) / len(followed)}
                else:
                    verdict = {"unscored": "no_answer"}
                judgments.append(
                    Judgment(
                        answer.id, turn, model, "program", "pif", PROMPT, sample=sample, metadata=metadata, **verdict
                    )
                )
            turn += 1
        return judgments

    def tables(self, judgments: Sequence[Judgment]) -> list[ScoreTable]:
        """PIF by turn; PIF-N-K; the share followed by kind and by how many turns ago the instruction was given."""
        turns = sorted({one.turn for one in judgments if one.turn is not None})
        by_turn = score_rows(judgments, _turn, order=[str(turn) for turn in turns], repeats="each")
        at_least = score_rows(list(_at_least(judgments)), lambda one: one.criterion, total=None)
        tables = [
            ScoreTable("PIF", "turn_index", by_turn, measure="share"),
            ScoreTable("PIF-N-K", "measure", at_least, measure="share"),
        ]
        checks = list(_single_checks(judgments))
        by_kind = sorted({one.criterion for one in checks})
        rows = score_rows(checks, lambda one: one.criterion, order=by_kind, total=None, repeats="each")
        tables.append(ScoreTable("Followed, by kind of instruction", "kind", rows, measure="share"))
        ages = [str(age) for age in sorted({one.metadata["age"] for one in checks})]
        rows = score_rows(checks, lambda one: str(one.metadata["age"]), order=ages, total=None, repeats="each")
        tables.append(ScoreTable("Followed, by turns since it was given", "turns", rows, measure="share"))
        categories = {str(one.metadata.get("category")) for one in judgments}
        if len(categories) > 1:
            rows = score_rows(judgments, lambda one: str(one.metadata.get("category")), repeats="each")
            tables.append(ScoreTable("PIF by category", "category", rows, measure="share"))
        return tables


def _at_least(judgments: Sequence[Judgment]) -> Iterator[Judgment]:
    """PIF-N-K, one 0 or 1 per turn and K: whether at least K of its N replies follow everything.

    A turn with fewer than N scored replies is unscored for every K.
    """
    turns: dict[Any, list[Judgment]] = defaultdict(list)
    for one in judgments:
        turns[unit_of(one)].append(one)
    most = max((len(replies) for replies in turns.values()), default=0)
    for replies in turns.values():
        perfect = sum(one.score == 1 for one in replies)
        complete = sum(one.score is not None for one in replies) == most
        for least in range(1, most + 1):
            name = f"PIF-{most}-{least}"
            if complete:
                yield replace(replies[0], criterion=name, sample=0, score=float(perfect >= least), unscored=None)
            else:
                yield replace(replies[0], criterion=name, sample=0, score=None, unscored="no_answer")


def _single_checks(judgments: Sequence[Judgment]) -> Iterator[Judgment]:
    """One 0 or 1 per reply and instruction; the criterion is the kind, `metadata.age` the turns since it was given."""
    for one in judgments:
        for check in one.metadata.get("checks", ()):
            age = {"age": (one.turn or 0) - check["given"]}
            yield replace(one, criterion=check["kind"], score=float(check["followed"]), metadata=age)


def _replies(message: Message, where: str) -> list[tuple[str, str | None]]:
    """Text and failure of a reply and of its repeats."""
    found = [(message.text, message.extra.get("failure"))]
    for one in message.extra.get(REPEATS, ()):
        if not isinstance(one, dict) or not isinstance(one.get("text"), str):
            raise DataError(f"{where}: expected repeats as objects with a 'text', found {one!r}")
        found.append((one["text"], one.get("failure")))
    return found


def _turn(judgment: Judgment) -> str | None:
    return None if judgment.turn is None else str(judgment.turn)
