"""Training methods by name: what each supervises and how it weighs. One interface, so that they can be compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

MethodName = Literal["resure", "vicuna"]

METHODS: Mapping[MethodName, Mapping[str, Any]] = {
    # The loss on all assistant turns, weighed by their reliability; Eq. 1 averages over dialogues.
    "resure": {"weighting": True, "reduction": "sample"},
    # Vicuna-style tuning: the loss on all assistant turns, no weights; the mean over tokens is TRL's own loss.
    "vicuna": {"weighting": False, "reduction": "token"},
}
"""`ReSUREConfig` fields that each method sets; a setting of the user wins."""
