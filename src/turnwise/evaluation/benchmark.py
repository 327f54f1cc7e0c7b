"""What a benchmark is: what it asks, how it scores, how its scores become tables.

`turnwise.evaluation.evaluate` runs any of them: every item is answered (`Benchmark.answer`), every answer is scored
(`Benchmark.score`, `Benchmark.compare`), and the judgments alone become the tables (`Benchmark.tables`), so stored
judgments can be read again without a model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from turnwise.dialogue import Dialogue, Message
from turnwise.errors import ConfigError
from turnwise.llm.chat import ChatModel, ChatReply, ChatRequest, Sampling

if TYPE_CHECKING:
    from turnwise.judging.records import Judgment


@dataclass(frozen=True, slots=True)
class Item:
    """One dialogue that a model is led through.

    Attributes:
        id: Stable name; the answer's `Dialogue.id`.
        messages: System, user and gold assistant messages in order. The model replies wherever a user message stands;
            gold assistant messages are history where the benchmark or the user says so.
        sampling: How the replies are drawn.
        answer_from: First `turn_index` that the model answers; earlier turns are always gold history.
        metadata: `category` and whatever else the scores are grouped by or need (references, labels).
    """

    id: str
    messages: Sequence[Message]
    sampling: Sampling = field(default_factory=Sampling)
    answer_from: int = 0
    metadata: dict[str, Any] = field(default_factory=dict)


GIVEN = (None, "truncated", "empty")
"""`failure` of a reply that its model gave: whole, cut short, or without a word. It is scored as it stands; any other
failure lies on the way to the model (`no_answer`) and says nothing about it."""


def is_given(failure: object) -> bool:
    """Whether a reply with this `failure` among its extra keys is the model's own."""
    return failure in GIVEN


def reply_extra(reply: ChatReply) -> dict[str, Any]:
    """What an answer keeps of a reply beside its text, where there is any: `failure` and `detail`, `thinking`."""
    extra: dict[str, Any] = {} if reply.failure is None else {"failure": reply.failure, "detail": reply.detail}
    return {**extra, "thinking": reply.thinking} if reply.thinking else extra


class Benchmark:
    """Base of all benchmarks. Override what differs.

    Attributes:
        name: As on the command line and in `Dialogue.source` of the answers.
        needs_judge: Whether `score` asks a judge.
        written_by: What stands for a model's name where the dialogues are there already: no model is asked, and
            `answer` gives every item as it stands. None where a model answers.
    """

    name: str = ""
    needs_judge: bool = False
    written_by: str | None = None

    def items(self) -> Sequence[Item]:
        """Everything that is asked, in a fixed order.

        Raises:
            DataError: The benchmark's files are missing or not what they should be.
        """
        raise NotImplementedError

    async def answer(self, item: Item, model: ChatModel, *, gold_history: bool = False) -> Dialogue:
        """Lead the model through one item, turn by turn.

        Args:
            item: What to ask.
            model: Who answers.
            gold_history: Show the model the item's own earlier replies in place of its own.

        Returns:
            The dialogue with the model's replies; `source` is the benchmark's name, `metadata` the item's with
            `model`. A reply that failed has the content "" (or what text came) and `failure` and `detail` among its
            message's extra keys. Later turns of such a dialogue are still asked, except after `limit` and `request`,
            where they get the same failure unasked.
        """
        return await answer_turns(self.name, item, model, gold_history=gold_history)

    async def score(self, answer: Dialogue, judge: ChatModel | None) -> list[Judgment]:
        """Score one answer; `judge` is None where `needs_judge` is False."""
        raise NotImplementedError

    async def compare(self, answer: Dialogue, baseline: Dialogue, judge: ChatModel) -> list[Judgment]:
        """Compare one answer with a baseline's, in both orders: one judgment per turn and order."""
        raise ConfigError(f"{self.name} has no pairwise mode")

    def tables(self, judgments: Sequence[Judgment]) -> list[ScoreTable]:
        """The tables of these judgments (of one model; scores or comparisons), the main one first."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """One line of a table.

    Attributes:
        name: What the line is about: `all`, a category, a turn.
        mean: Mean score (or win rate, 0 to 1); None without scores.
        n: How many scores it is a mean of.
        low: Lower end of the 95 % interval, bootstrap over whole dialogues; None without scores.
        high: Its upper end.
        unscored: How many are unscored, by reason; never part of `mean` or `n`.
        counts: Further counts, for example `win`, `tie`, `loss`.
    """

    name: str
    mean: float | None
    n: int
    low: float | None = None
    high: float | None = None
    unscored: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def num_unscored(self) -> int:
        """All that are unscored."""
        return sum(self.unscored.values())


@dataclass(frozen=True, slots=True)
class ScoreTable:
    """A table with intervals.

    Attributes:
        title: For people.
        label: What the rows are: `category`, `turn`, `criterion`.
        rows: The lines.
        measure: What `mean` is: `score`, `win rate`, `share`.
    """

    title: str
    label: str
    rows: list[ScoreRow]
    measure: str = "score"


class AsWritten:
    """Stands where a model would, for benchmarks with `written_by`; it is never asked."""

    def __init__(self, name: str) -> None:
        self._name = name

    @property
    def name(self) -> str:
        """As given."""
        return self._name

    async def reply(self, request: ChatRequest) -> ChatReply:
        """No reply.

        Raises:
            ConfigError: Always: the dialogues are there already.
        """
        raise ConfigError(f"{self._name}: the dialogues are written; there is no model to ask")

    async def close(self) -> None:
        """Nothing to give back."""


async def answer_turns(benchmark: str, item: Item, model: ChatModel, *, gold_history: bool) -> Dialogue:
    """`Benchmark.answer`'s default: every user message in order, on the model's own history or the item's."""
    shown: list[Message] = []
    told: list[Message] = []
    turn = 0
    stopped: Message | None = None
    messages = list(item.messages)
    for place, message in enumerate(messages):
        if message.role == "assistant":
            continue
        shown.append(message)
        told.append(message)
        if message.role != "user":
            continue
        following = messages[place + 1] if place + 1 < len(messages) else None
        gold = following if following is not None and following.role == "assistant" else None
        if turn < item.answer_from:
            if gold is None:
                raise ConfigError(f"{benchmark}: item {item.id} has no stored reply for turn {turn}")
            reply = gold
        elif stopped is not None:
            reply = stopped
        else:
            reply, ended = await _ask(shown, item, model)
            stopped = reply if ended else None
        told.append(reply)
        shown.append(gold if gold_history and gold is not None else reply)
        turn += 1
    return Dialogue(messages=told, id=item.id, source=benchmark, metadata={**item.metadata, "model": model.name})


async def _ask(shown: Sequence[Message], item: Item, model: ChatModel) -> tuple[Message, bool]:
    request = ChatRequest([{"role": one.role, "content": one.content} for one in shown], item.sampling)
    reply = await model.reply(request)
    return Message("assistant", reply.text, extra=reply_extra(reply)), reply.failure in ("limit", "request")
