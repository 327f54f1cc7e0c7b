"""Models and tokenizers by name or folder, with errors that say what is wrong; and the card of a trained model."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from turnwise.errors import MissingExtraError, ModelError

if TYPE_CHECKING:
    from turnwise.training.fit import TrainConfig


def load_tokenizer(name: str, *, trust_remote_code: bool = False) -> Any:
    """Load a tokenizer by Hugging Face name or folder.

    Args:
        name: The name or folder.
        trust_remote_code: Run Python code that comes with the tokenizer.

    Raises:
        ModelError: There is none, or it has no chat template.
    """
    from transformers import AutoTokenizer

    _check_folder(name)
    try:
        # Never left to the library's default, which asks on the terminal.
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=trust_remote_code)
    except Exception as error:
        raise _cannot_load(name, "tokenizer", error) from error
    if tokenizer.chat_template is None:
        raise ModelError(
            f"{name}: the tokenizer has no chat template, so dialogues cannot be rendered",
            hint="use the chat (instruct) version of the model, or name one's tokenizer with 'tokenizer'",
        )
    return tokenizer


def load_model(name: str, arguments: Any) -> Any:
    """Load a causal language model as TRL would, with `model_init_kwargs` of the trainer's arguments.

    Weights must be safetensors unless `model_init_kwargs` says `use_safetensors: false`; code that comes with a model
    is run only where the trainer's `trust_remote_code` says so.

    Raises:
        ModelError: There is none, or it is no causal language model.
    """
    from trl.trainer.utils import create_model_from_path

    _check_folder(name)
    options = dict(arguments.model_init_kwargs or {})
    options.setdefault("trust_remote_code", arguments.trust_remote_code)
    options.setdefault("use_safetensors", True)  # the alternative is a pickle
    try:
        model = create_model_from_path(name, **options)
    except Exception as error:
        raise _cannot_load(name, "model", error) from error
    finally:
        # The trainer gets the finished model and would warn that it ignores them.
        arguments.model_init_kwargs = None
    if not _is_causal(model):
        raise ModelError(
            f"{name}: expected a causal language model, found {type(model).__name__}",
            hint="choose a decoder-only model, such as Llama, Qwen or Mistral",
        )
    return model


@contextlib.contextmanager
def few_threads_for(model: Any) -> Iterator[None]:
    """On a CPU, run a model of under a million parameters on one thread while the block runs.

    Its matrices are so small that threads wait for each other longer than they work: one thread is several times
    faster than two, and tens of times where other processes compete. `OMP_NUM_THREADS` in the environment wins.
    """
    import torch

    before = torch.get_num_threads()
    small = sum(parameter.numel() for parameter in model.parameters()) < 1_000_000
    if small and model.device.type == "cpu" and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def require_training_libraries() -> None:
    """Check that the extra `train` is installed, without loading any of it.

    Raises:
        MissingExtraError: A package of it is missing.
    """
    from importlib.util import find_spec

    for package in ("torch", "transformers", "datasets", "accelerate", "peft", "trl"):
        if find_spec(package) is None:
            raise MissingExtraError(package, extra="train", purpose="training")


def quiet_libraries() -> None:
    """Turn off the progress bars of datasets and transformers; turnwise shows its own."""
    from datasets import disable_progress_bars
    from transformers.utils import logging

    disable_progress_bars()
    logging.disable_progress_bar()


_HINT = "give the name of a model on the hub, or a folder that save_pretrained wrote (config.json, *.safetensors)"


def _check_folder(name: str) -> None:
    path = Path(name)
    if (path / "adapter_config.json").is_file() and not (path / "config.json").is_file():
        raise ModelError(
            f"{name}: found an adapter, expected a whole model",
            hint="merge it into its base model first: peft's PeftModel.merge_and_unload(), then save_pretrained()",
        )
    if path.is_file():
        raise ModelError(f"{name}: expected a model's folder, found a file", hint=_HINT)
    if path.is_dir() and not ((path / "config.json").is_file() or (path / "tokenizer_config.json").is_file()):
        raise ModelError(f"{name}: the folder holds no model (no config.json)", hint=_HINT)
    looks_local = name.startswith((".", "/", "~")) or name.count("/") > 1
    if looks_local and not path.is_dir():
        raise ModelError(f"{name}: no such model folder", hint=_HINT)


def _is_causal(model: Any) -> bool:
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    )

    if model.get_output_embeddings() is None or getattr(model.config, "is_encoder_decoder", False):
        return False
    kind = type(model).__name__
    masked = kind in MODEL_FOR_MASKED_LM_MAPPING_NAMES.values()
    return not masked or kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values()


def _cannot_load(name: str, what: str, error: Exception) -> ModelError:
    text = str(error)
    if "trust_remote_code" in text or "custom code" in text:
        return ModelError(
            f"{name}: the {what} comes with Python code of its own, which turnwise does not run",
            hint="choose a model that transformers knows; if you have read the code and trust it, "
            "set trainer.trust_remote_code: true",
        )
    path = Path(name)
    if isinstance(error, TypeError) and "subscriptable" in text:
        return ModelError(f"{name}: its config.json names no architecture", hint=_HINT)
    if what == "model" and path.is_dir() and any(path.glob("*.bin")) and not any(path.glob("*.safetensors")):
        return ModelError(
            f"{name}: expected weights as *.safetensors, found only *.bin (a pickle can run code when it is read)",
            hint="convert a model that you trust: load it with transformers, then save_pretrained()",
        )
    return ModelError(f"{name}: no {what} could be loaded ({_first_line(error)})", hint=_HINT)


def _first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


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
