"""Replies that can only follow a JSON schema: after every token, which tokens may come next.

The schema becomes a grammar, walked by llguidance (the extra `constrained`). Keys come in the schema's order and
without white space between them, so that a model cannot pad a reply up to its limit. What a grammar cannot hold of a
schema (`not`, `uniqueItems`, a `$ref` to an address, look-ahead in a `pattern`) is refused, never left out: a reply
that is complete follows the whole schema.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from turnwise.errors import MissingExtraError, ModelError


class SchemaError(ValueError):
    """A schema that no grammar can be made of; the reason is its text."""


class Grammars:
    """The grammars of schemas for one tokenizer.

    Args:
        tokenizer: A fast transformers tokenizer.

    Raises:
        MissingExtraError: llguidance is not installed.
        ModelError: The tokenizer is none that its grammars can be made for.
    """

    def __init__(self, tokenizer: Any) -> None:
        try:
            from llguidance.hf import from_tokenizer
        except ModuleNotFoundError:
            raise MissingExtraError("llguidance", extra="constrained", purpose="constrained decoding") from None
        try:
            # Without slices: they speed up vocabularies of some languages and change no mask.
            self._tokenizer = from_tokenizer(tokenizer, slices=[])
        except Exception as error:
            raise ModelError(
                f"constrained decoding does not know this tokenizer ({error})",
                hint="it needs a fast tokenizer (a tokenizer.json); leave `constrained` off for this model",
            ) from error
        self._closers = _Closers(tokenizer)
        self._begun: dict[str, Any] = {}

    def begin(self, schema: Mapping[str, Any]) -> Constraint:
        """A constraint at the start of a reply.

        Raises:
            SchemaError: The schema has what cannot be enforced.
        """
        from llguidance import LLMatcher

        key = json.dumps(schema)
        if key not in self._begun:
            grammar = LLMatcher.grammar_from_json_schema(key, {"whitespace_flexible": False})
            matcher = LLMatcher(self._tokenizer, grammar)
            if matcher.is_error():
                raise SchemaError(" ".join(str(matcher.get_error()).split()))
            self._begun[key] = matcher
        return Constraint(self._begun[key].deep_copy(), self._closers)


class Constraint:
    """How far one reply has come in its grammar.

    Attributes:
        finished: Whether nothing more can follow: the reply is complete, or its end token was taken.
        closed: Whether it was led to its end because the room was used up.
    """

    def __init__(self, matcher: Any, closers: _Closers) -> None:
        self._matcher = matcher
        self._closers = closers
        self._way: list[int] | None = None
        self._shortest: int | None = None
        self.finished = False
        self.closed = False

    @property
    def complete(self) -> bool:
        """Whether what was taken so far follows the schema as a whole."""
        return bool(self._matcher.is_accepting())

    def allowed(self, vocabulary: int, room: int | None = None) -> NDArray[np.bool_]:
        """(V,) which tokens may come next; an end token may where the reply could be complete.

        Args:
            vocabulary: V.
            room: Tokens that are left, this one included; where they are about as many as a short way to the end needs,
                only that way is allowed. None lets the reply run into its limit.
        """
        may = np.zeros(vocabulary, dtype=np.bool_)
        way = self._way_out(room) if room is not None else None
        if way:
            self.closed = True
            may[way[0]] = True
            return may
        bits = np.unpackbits(np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8), bitorder="little")
        size = min(vocabulary, len(bits))
        may[:size] = bits[:size]
        return may

    def take(self, token: int) -> None:
        """Go on with a token that was allowed."""
        if not self.finished:
            self._matcher.consume_token(token)
            self.finished = bool(self._matcher.is_stopped())
            if self._way and token == self._way[0]:
                self._way = self._way[1:]

    def _way_out(self, room: int) -> list[int] | None:
        """A way to the end, where it must be taken now."""
        if self._shortest is None:
            self._shortest = len(self._closers.way(self._matcher, self._closers.most) or ())
        # One token may begin another item of a list, which then has to be ended too: about a whole shortest reply.
        spare = self._shortest + _SPARE
        if not self._shortest or room > 8 * spare:
            return None
        if not self._still_leads_out():
            self._way = self._closers.way(self._matcher, room)
        return self._way if self._way and room <= len(self._way) + spare else None

    def _still_leads_out(self) -> bool:
        """Whether the way that was found a token ago is one: inside a text it is, token after token."""
        if not self._way:
            return False
        ahead = self._matcher.deep_copy()
        return ahead.try_consume_tokens(self._way) == len(self._way) and bool(ahead.is_accepting())


_SPARE = 8


class _Closers:
    """Short ways from any place in a grammar to its end, by preferring tokens that close something."""

    most = 2048

    def __init__(self, tokenizer: Any) -> None:
        self._source = tokenizer
        self._ranks: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None
        self._letter = 0

    def way(self, matcher: Any, most: int) -> list[int] | None:
        """Token ids after which the reply is complete; None where `most` do not suffice."""
        outside, inside = self._rank()
        found: list[int] = []
        ahead = matcher.deep_copy()
        while not ahead.is_accepting():
            if len(found) >= most:
                return None
            bits = np.unpackbits(np.frombuffer(ahead.compute_bitmask(), dtype=np.uint8), bitorder="little")
            may = np.flatnonzero(bits[: len(outside)])
            if not len(may):
                return None
            # Where any letter may stand is a text: brackets are only text there, and its end is a quotation mark.
            ranks = inside if bits[self._letter] else outside
            token = int(may[np.argmin(ranks[may])])
            ahead.consume_token(token)
            found.append(token)
        return found

    def _rank(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(V,) each, lower is better, outside of texts and inside: what closes most; else what is longest (a key)."""
        if self._ranks is None:
            texts = [self._source.decode([token]) for token in range(len(self._source))]
            # No literal (true, false, null, a number) holds these letters.
            self._letter = next((token for token, text in enumerate(texts) if text in ("z", "q", "w", "k")), 0)
            length = np.array([min(len(text), 9_999) for text in texts])
            closing = [bool(text) and not set(text) - set('"}]') for text in texts]
            brackets = [closes and '"' not in text for closes, text in zip(closing, texts, strict=True)]
            quotes = [closes and text.startswith('"') for closes, text in zip(closing, texts, strict=True)]
            outside = np.where(brackets, 0, np.where(closing, 10_000, 20_000)) - length
            inside = np.where(quotes, 0, 10_000) - length
            self._ranks = outside, inside
        return self._ranks


class Mask:
    """A logits processor: rows with a constraint keep the scores of allowed tokens, the others keep all.

    Args:
        constraints: One per row, None for free text.
        end: Length of a row, prompt included, at which it is cut: constraints are closed before. None lets them be cut.
    """

    def __init__(self, constraints: Sequence[Constraint | None], end: int | None = None) -> None:
        self._constraints = constraints
        self._end = end

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """(B, V) scores, minus infinity for what may not come next."""
        import torch

        masked = scores.clone()
        room = None if self._end is None else self._end - input_ids.shape[1]
        for row, constraint in enumerate(self._constraints):
            # A finished row is only filled up until the others of its batch are.
            if constraint is not None and not constraint.finished:
                may = torch.from_numpy(constraint.allowed(scores.shape[-1], room)).to(scores.device)
                masked[row] = masked[row].masked_fill(~may, float("-inf"))
        return masked
