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
        return Constraint(self._begun[key].deep_copy())


class Constraint:
    """How far one reply has come in its grammar.

    Attributes:
        finished: Whether nothing more can follow: the reply is complete, or its end token was taken.
    """

    def __init__(self, matcher: Any) -> None:
        self._matcher = matcher
        self.finished = False

    def allowed(self, vocabulary: int) -> NDArray[np.bool_]:
        """(V,) which tokens may come next; an end token may where the reply could be complete."""
        bits = np.unpackbits(np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8), bitorder="little")
        may = np.zeros(vocabulary, dtype=np.bool_)
        size = min(vocabulary, len(bits))
        may[:size] = bits[:size]
        return may

    def take(self, token: int) -> None:
        """Go on with a token that was allowed."""
        if not self.finished:
            self._matcher.consume_token(token)
            self.finished = bool(self._matcher.is_stopped())


class Mask:
    """A logits processor: rows with a constraint keep the scores of allowed tokens, the others keep all.

    Args:
        constraints: One per row, None for free text.
    """

    def __init__(self, constraints: Sequence[Constraint | None]) -> None:
        self._constraints = constraints

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """(B, V) scores, minus infinity for what may not come next."""
        import torch

        masked = scores.clone()
        for row, constraint in enumerate(self._constraints):
            # A finished row is only filled up until the others of its batch are.
            if constraint is not None and not constraint.finished:
                may = torch.from_numpy(constraint.allowed(scores.shape[-1])).to(scores.device)
                masked[row] = masked[row].masked_fill(~may, float("-inf"))
        return masked
