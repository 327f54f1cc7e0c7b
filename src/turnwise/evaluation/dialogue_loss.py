"""Held-out loss of dialogues: encoded as in training, then measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from turnwise.errors import TemplateError
from turnwise.evaluation.loss import HeldOutLoss, held_out_loss

if TYPE_CHECKING:
    from turnwise.dialogue import Dialogue
    from turnwise.training.spans import Policy


@dataclass(slots=True)
class LossExamples:
    """Dialogues as `turnwise.evaluation.loss` takes them.

    Attributes:
        examples: Each with `id`, `source`, `input_ids` and `turn_ids`.
        skipped: Dialogues that cannot be encoded, by reason.
        dropped_turns: Replies that did not fit into `max_length`.
    """

    examples: list[dict[str, Any]] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    dropped_turns: int = 0


def encode_for_loss(
    dialogues: Iterable[Dialogue], tokenizer: Any, *, max_length: int | None, template_policy: Policy = "refuse"
) -> LossExamples:
    """Encode dialogues as in training: every reply supervised, whole trailing turns dropped beyond `max_length`.

    Args:
        dialogues: The dialogues.
        tokenizer: With a chat template.
        max_length: Most tokens of a dialogue; None for no limit.
        template_policy: What to do with a chat template that rewrites earlier replies.

    Raises:
        TemplateError: The chat template's assistant spans cannot be found; the message names the dialogue.
    """
    from turnwise.training.encode import Skipped, encode_dialogue
    from turnwise.training.template import SpanFinder

    finder = SpanFinder(tokenizer, policy=template_policy)
    made = LossExamples()
    for dialogue in dialogues:
        try:
            encoded = encode_dialogue(dialogue, finder, max_length=max_length)
        except TemplateError as error:
            raise TemplateError(f"dialogue {dialogue.id!r}: {error.message}", hint=error.hint) from None
        if isinstance(encoded, Skipped):
            made.skipped[encoded.reason] += 1
            continue
        made.dropped_turns += encoded.dropped_turns
        made.examples.append(
            {
                "id": dialogue.id,
                "source": dialogue.source,
                "input_ids": encoded.input_ids,
                "turn_ids": encoded.turn_ids,
            }
        )
    return made


def dialogue_loss(
    model: Any,
    tokenizer: Any,
    dialogues: Sequence[Dialogue],
    *,
    max_length: int | None,
    template_policy: Policy = "refuse",
    batch_size: int = 16,
) -> HeldOutLoss:
    """Held-out loss of dialogues, encoded as in training; dialogues that cannot be encoded are left out."""
    made = encode_for_loss(dialogues, tokenizer, max_length=max_length, template_policy=template_policy)
    return held_out_loss(model, made.examples, batch_size=batch_size, pad_token_id=tokenizer.pad_token_id or 0)


def loss_figures(measured: HeldOutLoss) -> dict[str, Any]:
    """A held-out loss as JSON-ready figures; `*_by_turn` are lists over turn_index, None where a turn has no token."""
    by_turn = measured.loss_by_turn
    return {
        "loss": measured.loss,
        "perplexity": measured.perplexity,
        "tokens": measured.overall.tokens,
        "loss_by_turn": as_list(by_turn),
        "tokens_by_turn": as_list(measured.tokens_by_turn),
        "loss_by_source": {source: tally.loss for source, tally in measured.by_source.items()},
    }


def as_list(by_turn: Mapping[int, Any]) -> list[Any]:
    """Values by turn_index as a list, None in the holes."""
    return [by_turn.get(turn) for turn in range(max(by_turn, default=-1) + 1)]
