"""The weights of a local model, whole or with an adapter, put on a device; nothing of a pickle, no foreign code."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from turnwise.errors import ConfigError, MissingExtraError, ModelError
from turnwise.llm.model_files import ModelFiles
from turnwise.llm.pretrained import cannot_load, check_causal, quiet_libraries

_DTYPES = ("auto", "float32", "bfloat16", "float16")


def require_libraries(*packages: str) -> None:
    """Check that packages of the extra `train` are installed, without loading them.

    Raises:
        MissingExtraError: One is missing.
    """
    for package in packages:
        if find_spec(package) is None:
            raise MissingExtraError(package, extra="train", purpose="a local model")


def check_dtype(dtype: str | None) -> None:
    """Refuse what is no number format that `load_weights` takes.

    Raises:
        ConfigError: It is none.
    """
    if dtype is not None and dtype not in _DTYPES:
        raise ConfigError(f"expected a dtype of {', '.join(_DTYPES)}, found {dtype!r}")


def load_weights(files: ModelFiles, *, device: str | None = None, dtype: str | None = None) -> Any:
    """Load a causal language model, and its adapter over it, in eval mode.

    Args:
        files: Where it lies.
        device: As PyTorch names it, or `auto` to spread the layers over all GPUs; None takes a GPU where there is one.
        dtype: `float32`, `bfloat16`, `float16`, or `auto` as stored; None is `auto` on a GPU and `float32` on a CPU.

    Raises:
        ModelError: It cannot be loaded, is no causal language model, or the device is not there.
        MissingExtraError: A library is not installed.
    """
    require_libraries("torch", "transformers", *(["peft"] if files.adapter else []))
    import torch
    from transformers import AutoModelForCausalLM

    check_dtype(dtype)
    quiet_libraries()
    folder, device = str(files.folder), device or _best_device()
    dtype = dtype or ("float32" if device == "cpu" else "auto")
    options: dict[str, Any] = {"device_map": "auto"} if device == "auto" else {}
    try:
        model = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype if dtype == "auto" else getattr(torch, dtype),
            trust_remote_code=False,
            use_safetensors=True,  # the alternative is a pickle
            **options,
        )
    except Exception as error:
        raise cannot_load(folder, "model", error) from error
    check_causal(folder, model)
    if files.adapter is not None:
        model = _with_adapter(model, files.adapter)
    if device != "auto":
        try:
            model = model.to(device)
        except (RuntimeError, AssertionError) as error:
            raise ModelError(f"{folder}: cannot be put on the device {device!r} ({error})") from error
    return model.eval()


def check_vocabulary(model: Any, tokenizer: Any) -> None:
    """Refuse a tokenizer whose tokens the model has no embedding for: on a GPU such a token kills the process.

    Raises:
        ModelError: It has more tokens than the model has embeddings.
    """
    rows = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > rows:
        raise ModelError(
            f"{model.config.name_or_path}: the tokenizer has {len(tokenizer)} tokens, the model embeddings for {rows}",
            hint="use the tokenizer that belongs to the model",
        )


def context_length(files: ModelFiles) -> int | None:
    """The most tokens that the model was made for; None where its configuration does not say.

    Raises:
        ModelError: The configuration cannot be read.
    """
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(str(files.folder), trust_remote_code=False)
    except Exception as error:
        raise cannot_load(str(files.folder), "model", error) from error
    found = getattr(config.get_text_config(), "max_position_embeddings", None)
    return found if isinstance(found, int) and found > 0 else None


def end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    """Every token that ends a reply: the model's (often several) and the tokenizer's."""
    named = (model.generation_config.eos_token_id, model.config.eos_token_id, tokenizer.eos_token_id)
    return frozenset(
        token for one in named if one is not None for token in (one if isinstance(one, Sequence) else [one])
    )


def _best_device() -> str:
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _with_adapter(model: Any, adapter: Path) -> Any:
    from peft import PeftModel

    try:
        return PeftModel.from_pretrained(model, str(adapter), is_trainable=False)
    except Exception as error:
        raise cannot_load(str(adapter), "adapter", error) from error
