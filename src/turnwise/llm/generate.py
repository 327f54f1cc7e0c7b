"""One batch of prompts through a causal language model's `generate`: draws, stop texts and why each row ended.

Every row has random numbers of its own, so what is drawn for a prompt does not depend on which others share its batch.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from turnwise.llm.constrained import Constraint, Mask

_TAIL = 8
"""Tokens decoded beyond the longest stop text, so that its first character is never the first one decoded."""


@dataclass(frozen=True, slots=True, order=True)
class Drawing:
    """How the rows of a batch are drawn.

    Attributes:
        max_new_tokens: Most tokens of a reply.
        temperature: 0 takes the likeliest token.
        top_p: Nucleus sampling: draw from the fewest tokens that have this probability together; 1 draws from all.
        stop: Texts that end a reply.
    """

    max_new_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Generated:
    """One reply.

    Attributes:
        text: Without special tokens, cut before the first stop text.
        finish_reason: `stop` where the model, a stop text or a constraint ended it, `length` where the token limit did.
        tokens: How many tokens were generated, the end token included.
        complete: Whether it follows its constraint as a whole; True only with one.
    """

    text: str
    finish_reason: Literal["stop", "length"]
    tokens: int
    complete: bool = False


def generate_batch(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[Sequence[int]],
    drawing: Drawing,
    seeds: Sequence[str],
    *,
    end_tokens: Collection[int],
    abandoned: Callable[[], bool] = lambda: False,
    constraints: Sequence[Constraint | None] | None = None,
    close: bool = False,
) -> list[Generated]:
    """Continue prompts of any lengths, padded on the left.

    Args:
        model: A causal language model in eval mode whose `generation_config` sets nothing by itself.
        tokenizer: Its tokenizer.
        prompts: B prompts of at least one token id.
        drawing: How all of them are drawn.
        seeds: B seeds; not used where the temperature is 0.
        end_tokens: Token ids that end a reply.
        abandoned: Asked after every token: whether nobody waits any more, so that the rest can be left undone.
        constraints: What each of the B replies must follow, None for free text; they are used up. None: all are free.
        close: Lead constrained replies to their end before they reach the token limit. A reply for which that was done
            has the finish reason `length` all the same.

    Returns:
        B replies, in the order of the prompts.
    """
    import torch
    from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteriaList

    longest = max(len(prompt) for prompt in prompts)
    fill = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0  # masked, so any token does
    padding = [longest - len(prompt) for prompt in prompts]
    input_ids = torch.tensor([[fill] * pad + list(prompt) for prompt, pad in zip(prompts, padding, strict=True)])
    mask = torch.tensor([[0] * pad + [1] * (longest - pad) for pad in padding])
    ends = _Ends(tokenizer, longest, drawing.stop, frozenset(end_tokens), abandoned, constraints)
    processors: list[Any] = []
    if constraints is not None:
        processors.append(Mask(constraints, longest + drawing.max_new_tokens if close else None))
    processors += [] if drawing.temperature == 0 else [_Draws(drawing, seeds)]
    config = GenerationConfig(
        do_sample=False,  # `_Draws` leaves one token to choose from
        num_beams=1,
        max_new_tokens=drawing.max_new_tokens,
        eos_token_id=sorted(end_tokens) or None,
        pad_token_id=fill,
    )
    with torch.inference_mode():
        output = model.generate(
            input_ids=input_ids.to(model.device),
            attention_mask=mask.to(model.device),
            generation_config=config,
            logits_processor=LogitsProcessorList(processors),
            stopping_criteria=StoppingCriteriaList([ends]),
        )
    rows = output[:, longest:].tolist()
    return [
        _read(
            tokenizer,
            row[: ends.lengths.get(number)],
            drawing,
            end_tokens,
            constraint=None if constraints is None else constraints[number],
        )
        for number, row in enumerate(rows)
    ]


def _read(
    tokenizer: Any, ids: list[int], drawing: Drawing, end_tokens: Collection[int], *, constraint: Constraint | None
) -> Generated:
    text = _decode(tokenizer, ids)
    stops = [place for place in (text.find(stop) for stop in drawing.stop) if place >= 0]
    if stops:
        return Generated(text[: min(stops)], "stop", len(ids))
    ended = (bool(ids) and ids[-1] in end_tokens) or len(ids) < drawing.max_new_tokens
    if constraint is None:
        return Generated(text, "stop" if ended else "length", len(ids))
    whole = (ended or constraint.finished) and not constraint.closed
    return Generated(text, "stop" if whole else "length", len(ids), constraint.complete or constraint.finished)


def _decode(tokenizer: Any, ids: Sequence[int]) -> str:
    return str(tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))


class _Ends:
    """A stopping criterion; `lengths` holds how many tokens each row that has ended is long."""

    def __init__(
        self,
        tokenizer: Any,
        start: int,
        stops: Sequence[str],
        end_tokens: frozenset[int],
        abandoned: Callable[[], bool],
        constraints: Sequence[Constraint | None] | None,
    ) -> None:
        self._tokenizer = tokenizer
        self._start = start
        self._stops = stops
        self._end_tokens = end_tokens
        self._abandoned = abandoned
        # A token is at least one byte long.
        self._tail = max((len(stop.encode("utf-8", "replace")) for stop in stops), default=0) + _TAIL
        self._constraints = constraints
        self.lengths: dict[int, int] = {}

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        import torch

        rows, length = input_ids.shape
        if self._abandoned():
            return torch.ones(rows, dtype=torch.bool, device=input_ids.device)
        tails = input_ids[:, max(self._start, length - self._tail) :].tolist()
        for row, tail in enumerate(tails):
            if row in self.lengths:
                continue
            if self._is_finished(row, tail[-1]) or tail[-1] in self._end_tokens or self._stopped(tail):
                self.lengths[row] = length - self._start
        done = [row in self.lengths for row in range(rows)]
        return torch.tensor(done, dtype=torch.bool, device=input_ids.device)

    def _is_finished(self, row: int, token: int) -> bool:
        """Tell the row's constraint its token; whether it lets nothing follow."""
        constraint = None if self._constraints is None else self._constraints[row]
        if constraint is None:
            return False
        constraint.take(token)
        return constraint.finished

    def _stopped(self, tail: Sequence[int]) -> bool:
        if not self._stops:
            return False
        text = _decode(self._tokenizer, tail)
        return any(stop in text for stop in self._stops)


class _Draws:
    """A logits processor that draws one token per row and makes it the only one.

    With one uniform number u per row and token, the first token at which the cumulated probability passes u is drawn.
    """

    def __init__(self, drawing: Drawing, seeds: Sequence[str]) -> None:
        self._temperature = drawing.temperature
        self._top_p = drawing.top_p
        self._random = [random.Random(seed) for seed in seeds]

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        import torch

        # Over 100,000 small probabilities are added up; Apple's GPUs have no float64.
        wide = torch.float32 if scores.device.type == "mps" else torch.float64
        probabilities = (scores.to(wide) / self._temperature).softmax(dim=-1)
        if self._top_p < 1:
            ordered, order = probabilities.sort(dim=-1, descending=True)
            before = ordered.cumsum(dim=-1) - ordered
            ordered[before >= self._top_p] = 0
            probabilities = torch.zeros_like(probabilities).scatter(-1, order, ordered)
        cumulated = probabilities.cumsum(dim=-1)
        drawn = torch.tensor([[one.random()] for one in self._random], dtype=wide, device=scores.device)
        chosen = torch.searchsorted(cumulated, drawn * cumulated[:, -1:], right=True)
        chosen = chosen.clamp(max=scores.shape[-1] - 1)
        return torch.full_like(scores, float("-inf")).scatter(-1, chosen, 0.0)
