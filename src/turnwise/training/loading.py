"""Models for training: loaded as TRL would, with errors that say what is wrong; and the card of a trained model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from turnwise.errors import MissingExtraError
from turnwise.llm import pretrained
from turnwise.llm.pretrained import cannot_load, check_causal, check_folder

if TYPE_CHECKING:
    from turnwise.training.fit import TrainConfig

_CODE_HINT = "if you have read the code and trust it, set trainer.trust_remote_code: true"


def load_tokenizer(name: str, *, trust_remote_code: bool = False) -> Any:
    """As `turnwise.llm.pretrained.load_tokenizer`; the error names the trainer's setting for code of a tokenizer."""
    return pretrained.load_tokenizer(name, trust_remote_code=trust_remote_code, code_hint=_CODE_HINT)


def load_model(name: str, arguments: Any) -> Any:
    """Load a causal language model as TRL would, with `model_init_kwargs` of the trainer's arguments.

    Weights must be safetensors unless `model_init_kwargs` says `use_safetensors: false`; code that comes with a model
    is run only where the trainer's `trust_remote_code` says so.

    Raises:
        ModelError: There is none, or it is no causal language model.
    """
    from trl.trainer.utils import create_model_from_path

    check_folder(name)
    options = dict(arguments.model_init_kwargs or {})
    options.setdefault("trust_remote_code", arguments.trust_remote_code)
    options.setdefault("use_safetensors", True)  # the alternative is a pickle
    try:
        model = create_model_from_path(name, **options)
    except Exception as error:
        raise cannot_load(name, "model", error, code_hint=_CODE_HINT) from error
    finally:
        # The trainer gets the finished model and would warn that it ignores them.
        arguments.model_init_kwargs = None
    check_causal(name, model)
    return model


def require_training_libraries() -> None:
    """Check that the extra `train` is installed, without loading any of it.

    Raises:
        MissingExtraError: A package of it is missing.
    """
    from importlib.util import find_spec

    for package in ("torch", "transformers", "datasets", "accelerate", "peft", "trl"):
        if find_spec(package) is None:
            raise MissingExtraError(package, extra="train", purpose="training")


def model_card(config: TrainConfig, summary: Mapping[str, Any]) -> str:
    """A README for the trained model: what it was made from and how."""
    counts = summary["counts"]
    loss = "not finite" if summary["train_loss"] is None else f"{summary['train_loss']:.4f}"
    sources = "\n".join(f"- `{source.path}`" + (f" ({source.tier})" if source.tier else "") for source in config.data)
    prefiltered = f"\n- left out by the prefilter: {counts['prefiltered']}" if counts["prefiltered"] else ""
    skipped = "".join(f"\n- left out: {count} ({reason})" for reason, count in counts["skipped"].items())
    return f"""---
base_model: {config.model}
library_name: {"peft" if summary["trained"] == "adapter" else "transformers"}
tags: [turnwise, {config.method}, trl, sft]
---
# {Path(config.output).name}

`{config.model}` fine-tuned on multi-turn dialogues with turnwise, method `{config.method}`.

- training dialogues: {counts["train"]}{skipped}{prefiltered}
- optimizer steps: {summary["steps"]}, mean training loss {loss}
- seed: {config.seed}

Data:
{sources}

The run folder beside this model holds the configuration, the manifest with hashes and versions, and the reliability
ledger, which tells what every dialogue cost and weighed.
"""
