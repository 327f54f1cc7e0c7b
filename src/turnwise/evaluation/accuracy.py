"""Accuracy on dialogues whose right answers are known: generate every reply greedily and check it by program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from turnwise.dialogue import Dialogue, Message
from turnwise.errors import DataError, ModelError
from turnwise.statistics.resampling import bootstrap_interval

Check = Callable[[str, str], bool]
"""(expected answer, generated reply) -> whether the reply is right, for example `World.check`."""

Key = Literal["turn_index", "distance", "kind"]
"""By which property of an answer accuracy can be split."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One generated reply.

    Attributes:
        dialogue_id: Which dialogue.
        turn_index: Which reply of it.
        expected: The answer it had to give.
        reply: What the model wrote, special tokens left out.
        correct: What the check said.
        distance: How many turns back one has to read to answer (`metadata["distances"]`); None where the dialogue does
            not say.
        kind: What the user does in this turn (`metadata["kinds"]`); None where the dialogue does not say.
    """

    dialogue_id: str
    turn_index: int
    expected: str
    reply: str
    correct: bool
    distance: int | None = None
    kind: str | None = None


@dataclass(frozen=True, slots=True)
class AccuracyByTurn:
    """Accuracy over all answers and by turn.

    Attributes:
        accuracy: Share of right answers over all turns of all dialogues; None when there was nothing to answer.
        accuracy_by_turn: The same, per `turn_index`.
        answers_by_turn: How many answers each turn_index had.
        answers: Every single answer, in the order of the dialogues.
    """

    accuracy: float | None
    accuracy_by_turn: dict[int, float]
    answers_by_turn: dict[int, int]
    answers: list[Answer]

    def accuracy_by(self, key: Key) -> dict[int | str, float]:
        """Share of right answers for every value of `turn_index`, `distance` or `kind`, in ascending order.

        Answers whose dialogue says nothing of the key are left out.
        """
        return {value: sum(correct) / len(correct) for value, correct in _correct_by(self.answers, key).items()}

    def answers_by(self, key: Key) -> dict[int | str, int]:
        """How many answers stand behind each number of `accuracy_by`."""
        return {value: len(correct) for value, correct in _correct_by(self.answers, key).items()}

    def interval(self, *, seed: int = 0, n: int = 1000, level: float = 0.95) -> tuple[float, float] | None:
        """Bootstrap interval of the accuracy; whole dialogues are drawn, as their turns depend on each other."""
        return bootstrap_interval(
            [float(answer.correct) for answer in self.answers],
            [answer.dialogue_id for answer in self.answers],
            seed=seed,
            n=n,
            level=level,
        )


def checkable_accuracy(
    model: Any,
    tokenizer: Any,
    dialogues: Sequence[Dialogue],
    check: Check,
    *,
    batch_size: int = 64,
    max_new_tokens: int = 32,
    history: str = "gold",
) -> AccuracyByTurn:
    """Let a model answer every turn of the dialogues, greedily, and check the answers.

    Args:
        model: A causal language model with `generate`.
        tokenizer: With a chat template; padded on the left while this runs.
        dialogues: Each with `metadata["answers"]`, one entry per turn (and `distances` and `kinds` where accuracy by
            those is wanted); a turn whose entry is None is not asked (with
            `history="own"` it is still generated, as later turns follow it).
        check: Decides about (expected, reply).
        batch_size: Prompts per forward pass.
        max_new_tokens: Longest reply in tokens.
        history: `gold` puts the dialogue's own earlier replies into the prompt, so turns are independent; `own` puts
            the model's, so one wrong reply can spoil the next.

    Returns:
        Accuracy by turn, and every answer.

    Raises:
        DataError: A dialogue has no `metadata["answers"]`, or one of `answers`, `distances` and `kinds` has not one
            entry per turn.
        ModelError: The tokenizer has no chat template or no pad token, or `history` is unknown.
    """
    if history not in ("gold", "own"):
        raise ModelError(f"expected history 'gold' or 'own', found {history!r}")
    if tokenizer.chat_template is None or tokenizer.pad_token_id is None:
        raise ModelError(
            "expected a tokenizer with a chat template and a pad token",
            hint="load the instruct version of the model, or set both on the tokenizer",
        )
    expected = [_expected(dialogue) for dialogue in dialogues]
    labels = [(_per_turn(dialogue, "distances"), _per_turn(dialogue, "kinds")) for dialogue in dialogues]
    if history == "own":
        replies = _own(model, tokenizer, dialogues, batch_size, max_new_tokens)
    else:
        replies = _gold(model, tokenizer, dialogues, expected, batch_size, max_new_tokens)
    answers = [
        Answer(
            dialogue.id,
            turn,
            wanted,
            replies[number, turn],
            check(wanted, replies[number, turn]),
            *(label[turn] for label in labels[number]),
        )
        for number, dialogue in enumerate(dialogues)
        for turn, wanted in enumerate(expected[number])
        if wanted is not None
    ]
    by_turn = _correct_by(answers, "turn_index")
    return AccuracyByTurn(
        accuracy=sum(answer.correct for answer in answers) / len(answers) if answers else None,
        accuracy_by_turn={turn: sum(correct) / len(correct) for turn, correct in by_turn.items()},
        answers_by_turn={turn: len(correct) for turn, correct in by_turn.items()},
        answers=answers,
    )


def _correct_by(answers: Sequence[Answer], key: Key) -> dict[Any, list[bool]]:
    groups: dict[Any, list[bool]] = {}
    for answer in answers:
        value = getattr(answer, key)
        if value is not None:
            groups.setdefault(value, []).append(answer.correct)
    return dict(sorted(groups.items()))


def _expected(dialogue: Dialogue) -> list[Any]:
    if dialogue.metadata.get("answers") is None:
        raise DataError(
            f"dialogue {dialogue.id!r}: expected metadata['answers'] with one entry for each of its "
            f"{dialogue.num_turns} turns, found none"
        )
    return _per_turn(dialogue, "answers")


def _per_turn(dialogue: Dialogue, key: str) -> list[Any]:
    """The entries of a list in the metadata that has one for each turn; Nones where there is no such list."""
    entries = dialogue.metadata.get(key)
    if entries is None:
        return [None] * dialogue.num_turns
    if not isinstance(entries, list) or len(entries) != dialogue.num_turns:
        found = f"{len(entries)}" if isinstance(entries, list) else repr(entries)
        raise DataError(
            f"dialogue {dialogue.id!r}: expected metadata[{key!r}] with one entry for each of its "
            f"{dialogue.num_turns} turns, found {found}"
        )
    return entries


Replies = dict[tuple[int, int], str]
"""(position of the dialogue, turn_index) -> generated text."""


def _gold(
    model: Any,
    tokenizer: Any,
    dialogues: Sequence[Dialogue],
    expected: Sequence[Sequence[str | None]],
    batch_size: int,
    max_new_tokens: int,
) -> Replies:
    prompts = {
        (number, turn): dialogue.messages[:place]
        for number, dialogue in enumerate(dialogues)
        for turn, place in enumerate(_reply_places(dialogue))
        if expected[number][turn] is not None
    }
    return _generate(model, tokenizer, prompts, batch_size, max_new_tokens)


def _own(model: Any, tokenizer: Any, dialogues: Sequence[Dialogue], batch_size: int, max_new_tokens: int) -> Replies:
    places = [_reply_places(dialogue) for dialogue in dialogues]
    histories = [list(dialogue.messages) for dialogue in dialogues]
    replies: Replies = {}
    for turn in range(max((len(place) for place in places), default=0)):
        prompts = {
            (number, turn): histories[number][: place[turn]] for number, place in enumerate(places) if turn < len(place)
        }
        made = _generate(model, tokenizer, prompts, batch_size, max_new_tokens)
        for (number, _), text in made.items():
            histories[number][places[number][turn]] = Message("assistant", text)
        replies |= made
    return replies


def _reply_places(dialogue: Dialogue) -> list[int]:
    return [place for place, message in enumerate(dialogue.messages) if message.role == "assistant"]


def _generate(
    model: Any,
    tokenizer: Any,
    prompts: dict[tuple[int, int], list[Message]],
    batch_size: int,
    max_new_tokens: int,
) -> Replies:
    import torch

    encoded = {
        key: tokenizer.apply_chat_template(
            [message.to_dict() for message in messages], add_generation_prompt=True, tokenize=True, return_dict=True
        )["input_ids"]
        for key, messages in prompts.items()
    }
    # Like lengths together: little padding. The sort is stable, so batches do not change between runs.
    keys = sorted(encoded, key=lambda key: len(encoded[key]))
    replies: Replies = {}
    was_training = model.training
    model.eval()
    try:
        for start in range(0, len(keys), batch_size):
            chunk = keys[start : start + batch_size]
            longest = max(len(encoded[key]) for key in chunk)
            padding = [longest - len(encoded[key]) for key in chunk]
            input_ids = torch.tensor(
                [[tokenizer.pad_token_id] * pad + encoded[key] for key, pad in zip(chunk, padding, strict=True)],
                device=model.device,
            )
            mask = torch.tensor([[0] * pad + [1] * (longest - pad) for pad in padding], device=model.device)
            with torch.no_grad():
                output = model.generate(
                    input_ids=input_ids,
                    attention_mask=mask,
                    do_sample=False,
                    num_beams=1,
                    max_new_tokens=max_new_tokens,
                    pad_token_id=tokenizer.pad_token_id,
                    eos_token_id=tokenizer.eos_token_id,
                )
            texts = tokenizer.batch_decode(output[:, longest:], skip_special_tokens=True)
            replies.update(zip(chunk, texts, strict=True))
    finally:
        model.train(was_training)
    return replies
