"""Training methods by name: what each trains, on which tokens, and how it weighs. One interface, so that they compare.

Each says only what makes it that method; what the user sets wins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from turnwise.training.encode import Supervise

MethodName = Literal["resure", "vicuna", "baize", "chatglm3", "dft", "trim", "mixture", "base"]


@dataclass(frozen=True, slots=True)
class Method:
    """What a method sets.

    Attributes:
        summary: What it does, in a few words.
        arguments: Fields of `ReSUREConfig`.
        weighting: Fields of `WeightingConfig`.
        supervise: The tokens that carry the loss.
        peft: `peft.LoraConfig` arguments; None leaves it to the user whether an adapter or all parameters are trained.
        trains: False leaves the model as it is.
    """

    summary: str
    arguments: Mapping[str, Any]
    weighting: Mapping[str, Any] = field(default_factory=dict)
    supervise: Supervise = "assistant"
    peft: Mapping[str, Any] | None = None
    trains: bool = True


# TRL's own loss: the mean over tokens, every weight 1.
_UNWEIGHTED: Mapping[str, Any] = {"weighting": False, "reduction": "token"}
# Eq. 1 averages over dialogues.
_WEIGHTED: Mapping[str, Any] = {"weighting": True, "reduction": "sample"}

METHODS: Mapping[MethodName, Method] = {
    "resure": Method("all replies, weighed by their reliability", _WEIGHTED),
    # As FastChat trains Vicuna.
    "vicuna": Method("all replies, no weights", _UNWEIGHTED),
    # Rank, alpha and dropout are those of Baize's own training script.
    "baize": Method(
        "vicuna through LoRA on the linear layers",
        _UNWEIGHTED,
        peft={"r": 8, "lora_alpha": 16, "lora_dropout": 0.05, "target_modules": "all-linear"},
    ),
    "chatglm3": Method("vicuna with the tools' answers learnt as well", _UNWEIGHTED, supervise="assistant_and_tools"),
    # Wu et al. 2025, as TRL has it.
    "dft": Method("vicuna, each token's loss times its probability", {**_UNWEIGHTED, "loss_type": "dft"}),
    # What one would try before ReSURE: drop high losses, or fit two components to them.
    "trim": Method("all replies but the highest losses of each batch", _WEIGHTED, {"rule": "trim"}),
    "mixture": Method("all replies, weighed by a mixture fitted to dialogue losses", _WEIGHTED, {"rule": "mixture"}),
    # Nothing is trained, so there is nothing to keep a ledger of.
    "base": Method("the model as it is, not trained", {**_UNWEIGHTED, "ledger": False}, trains=False),
}
"""What each method sets; a setting of the user wins."""
