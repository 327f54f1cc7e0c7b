"""Answers that are stored: read, fitted to what a benchmark asks, written in the order of its items."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from turnwise.data.records import open_source
from turnwise.data.write import encode_json
from turnwise.dialogue import Dialogue, Message
from turnwise.errors import ConfigError, DataError
from turnwise.evaluation.benchmark import Benchmark, Item
from turnwise.llm.chat import ChatReply, ChatRequest, FailureKind
from turnwise.run import atomic_path

NO_STORED_ANSWER = "no stored answer"
"""What `detail` says of a turn that a stored file has no reply for."""


@dataclass(frozen=True, slots=True)
class StoredAnswers:
    """The answers of one model.

    Attributes:
        model: Whose they are.
        by_id: One dialogue per item id.
    """

    model: str
    by_id: dict[str, Dialogue]


@dataclass(slots=True)
class Fit:
    """How stored answers fit a benchmark; everything by item id.

    Attributes:
        missing: Asked, but not answered in the file.
        extra: Answered in the file, but not asked.
        turns: Another number of replies than the item has turns: (found, expected).
        other_questions: The user messages differ from the item's.
    """

    missing: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    turns: dict[str, tuple[int, int]] = field(default_factory=dict)
    other_questions: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Counts and ids, for results.json."""
        return {
            "missing": self.missing,
            "extra": self.extra,
            "turns": {name: {"found": found, "expected": expected} for name, (found, expected) in self.turns.items()},
            "other_questions": self.other_questions,
        }

    def notes(self) -> list[str]:
        """What a user must know, one sentence each, with the first ids."""
        turns = [f"{name} ({found} of {expected})" for name, (found, expected) in self.turns.items()]
        said = (
            (self.missing, "not in the stored answers, so unscored (no_answer)"),
            (self.extra, "stored, but not asked by this benchmark, so left out"),
            (turns, "stored with another number of turns; missing ones are unscored, further ones left out"),
            (self.other_questions, "stored with other user messages than the benchmark's"),
        )
        return [f"{_listed(names)}: {what}" for names, what in said if names]


def read_stored_answers(path: str | Path, *, items: Sequence[Item] = (), model: str | None = None) -> StoredAnswers:
    """Read answers of an earlier run (canonical dialogues) or of FastChat (`question_id` and `choices`).

    Args:
        path: A file, or the folder of an evaluation run.
        items: What was asked; FastChat's files hold answers without questions.
        model: Take the answers of this model, where the file holds several models'.

    Raises:
        DataError: The file cannot be read, holds no answers, or answers an item twice.
        ConfigError: It holds answers of several models, or none of the one that was named.
    """
    path = Path(path)
    path = path / "answers.jsonl" if path.is_dir() else path
    if not path.is_file():
        raise DataError("no such file of answers", path=path)
    by_model: dict[str, dict[str, Dialogue]] = {}
    for number, dialogue in enumerate(_dialogues(path, items), start=1):
        name = str(dialogue.metadata.get("model") or path.stem)
        answers = by_model.setdefault(name, {})
        if dialogue.id in answers:
            raise DataError(f"expected one answer per item, found {dialogue.id!r} again", path=path, line=number)
        answers[dialogue.id] = dialogue
    if not by_model:
        raise DataError("expected at least one answer, found none", path=path)
    if model is None and len(by_model) > 1:
        raise ConfigError(
            f"{path}: holds answers of {len(by_model)} models ({_listed(list(by_model))})",
            hint="choose one with --model NAME",
        )
    name = model if model is not None else next(iter(by_model))
    if name not in by_model:
        raise ConfigError(f"{path}: expected answers of {name!r}, found those of {_listed(list(by_model))}")
    return StoredAnswers(name, by_model[name])


def _dialogues(path: Path, items: Sequence[Item]) -> Iterator[Dialogue]:
    for raw in open_source(path).rows:
        if isinstance(raw, DataError):
            raise raw
        if not isinstance(raw.value, Mapping):
            found = type(raw.value).__name__
            raise DataError(f"expected an answer as an object, found {found}", path=path, line=raw.line)
        if "question_id" in raw.value and "choices" in raw.value:
            break
        try:
            yield Dialogue.from_dict(raw.value)
        except DataError as error:
            raise DataError(error.reason, path=path, line=raw.line) from None
    else:
        return
    from turnwise.evaluation.fastchat_files import read_fastchat_answers

    yield from read_fastchat_answers(path, items)


class _Replay:
    """Gives the stored replies as a model would, so that a benchmark builds its answer from them."""

    def __init__(self, model: str, replies: Sequence[Message]) -> None:
        self._name, self._replies = model, replies

    @property
    def name(self) -> str:
        return self._name

    async def reply(self, request: ChatRequest) -> ChatReply:
        turn = sum(message["role"] == "user" for message in request.messages) - 1
        if not 0 <= turn < len(self._replies):
            return ChatReply("", failure="empty", detail=NO_STORED_ANSWER)
        stored = self._replies[turn]
        failure = cast("FailureKind | None", stored.extra.get("failure"))
        return ChatReply(stored.text, failure=failure, detail=str(stored.extra.get("detail", "")))

    async def close(self) -> None:
        pass


async def fit_answer(benchmark: Benchmark, item: Item, stored: StoredAnswers, fit: Fit) -> Dialogue:
    """The answer to one item as the benchmark would have it, from what is stored.

    The benchmark leads the dialogue once more and is given the stored replies in order. A turn without a stored reply
    becomes a failed reply, which the benchmark then does not score.
    """
    answer = stored.by_id.get(item.id)
    if answer is None:
        fit.missing.append(item.id)
        return await benchmark.answer(item, _Replay(stored.model, ()))
    replayed = await benchmark.answer(item, _Replay(stored.model, answer.replies))
    asked, told = _questions(replayed.messages), _questions(answer.messages)
    if told[: len(asked)] != asked[: len(told)]:
        fit.other_questions.append(item.id)
    lacking = any(reply.extra.get("detail") == NO_STORED_ANSWER for reply in replayed.replies)
    if lacking or replayed.num_turns != answer.num_turns or len(asked) != len(told):
        fit.turns[item.id] = (answer.num_turns, replayed.num_turns)
        return replayed
    answer.source = benchmark.name
    answer.metadata = {**answer.metadata, **item.metadata, "model": stored.model}
    if asked == told and [one.role for one in replayed.messages] == [one.role for one in answer.messages]:
        # The benchmark's own questions, with what it needs to know of them; the replies with all that is stored.
        pairs = zip(replayed.messages, answer.messages, strict=True)
        answer.messages = [theirs if theirs.role == "assistant" else own for own, theirs in pairs]
    return answer


def extra_answers(items: Iterable[Item], stored: StoredAnswers, fit: Fit) -> None:
    """Note the stored answers that no item of the benchmark asks for."""
    fit.extra += sorted(stored.by_id.keys() - {item.id for item in items})


def write_answers(answers: Iterable[Dialogue], path: str | Path) -> int:
    """Write answers as canonical dialogues, one JSON object per line, atomically, as they come; returns how many."""
    count = 0
    with atomic_path(path) as partial, partial.open("wb") as stream:
        for answer in answers:
            stream.write(encode_json(answer.to_dict()) + b"\n")
            count += 1
    return count


def read_answers(path: str | Path) -> Iterator[Dialogue]:
    """The answers of a run's own file, one at a time, in order.

    Raises:
        DataError: A line is no dialogue.
    """
    for raw in open_source(Path(path)).rows:
        if isinstance(raw, DataError):
            raise raw
        yield Dialogue.from_dict(raw.value)


def failures_of(answer: Dialogue) -> list[str]:
    """The kinds of failed replies, in order of the turns."""
    return [str(reply.extra["failure"]) for reply in answer.replies if reply.extra.get("failure")]


def _questions(messages: Iterable[Message]) -> list[str]:
    return [message.text for message in messages if message.role == "user"]


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:5])
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown
