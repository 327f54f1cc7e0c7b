"""From a data set as TRL takes it to token columns that keep the dialogue and turn of every token.

TRL's own preparation drops every column but `input_ids` and `labels` when it packs. Here the same steps (encode,
truncate, shuffle, pack, with TRL's own packer) carry two token columns along: `dialogue_ids`, the row number of the
dialogue, and `turn_ids`, the turn index of each supervised token.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from datasets import Dataset
from trl.data_utils import is_conversational, is_conversational_from_value, maybe_convert_to_chatml, pack_dataset

from turnwise.errors import DataError
from turnwise.training.encode import encode_columns
from turnwise.training.template import SpanFinder
from turnwise.training.units import turns_of_runs

WEIGHT_COLUMN = "message_weights"
TOKEN_COLUMNS: Mapping[str, int | float] = {"dialogue_ids": 0, "turn_ids": -1, WEIGHT_COLUMN: 1.0}
"""Token columns that travel beside `input_ids`, with the value that padding gets."""

_ROW = "dialogue_row"


@dataclass(frozen=True, slots=True)
class Preparation:
    """A data set ready for the collator.

    Attributes:
        dataset: Columns `input_ids`, `labels`, `dialogue_ids`, `turn_ids`, where needed `message_weights`, and
            `seq_lengths` where packed.
        ids: The dialogues' own ids by row number; None where the data has none or is a stream.
        skipped: Dialogues left out, by reason (not counted for a stream).
    """

    dataset: Any
    ids: list[str] | None = None
    skipped: Mapping[str, int] = field(default_factory=dict)


def is_conversational_dataset(dataset: Any) -> bool:
    """Whether the data set holds dialogues as `messages` (or `conversations`) and is not tokenised yet."""
    if dataset is None:
        return False
    sample = next(iter(dataset), None)
    if sample is None:
        raise DataError("the training data set is empty", hint="check the data's path, split and limit")
    if "input_ids" in sample or "prompt" in sample:
        return False
    return bool(is_conversational(sample) or is_conversational_from_value(sample))


def prepare(
    dataset: Any,
    *,
    tokenizer: Any,
    args: Any,
    packing: bool,
    encode_assistant: bool,
    fallback: Callable[[Any, Any], Any],
    name: str,
) -> Preparation:
    """Encode, truncate, shuffle and pack a data set; a data set prepared before passes through.

    Args:
        dataset: A `datasets.Dataset` or `IterableDataset`, in any form that TRL's SFTTrainer takes.
        tokenizer: The tokenizer whose chat template renders dialogues.
        args: The `ReSUREConfig`.
        packing: Whether to pack.
        encode_assistant: Encode dialogues with turnwise (assistant turns supervised) rather than TRL.
        fallback: TRL's preparation, called with the data set and a copy of `args` without shuffling.
        name: `train` or the name of an evaluation set, for progress and errors.

    Raises:
        DataError: No dialogue is left.
        TemplateError: The chat template's assistant spans cannot be found.
    """
    columns = _columns(dataset)
    if "turn_ids" in columns:
        return Preparation(dataset)
    if encode_assistant and "input_ids" in columns:
        encode_assistant = False
    stream = not isinstance(dataset, Dataset)
    kwargs: dict[str, Any] = {} if stream else {"num_proc": args.dataset_num_proc}
    ids = None if stream or "id" not in columns else [str(value) for value in dataset["id"]]
    dataset = dataset.map(_add_row, with_indices=True, **kwargs)

    skipped: Counter[str] = Counter()
    if encode_assistant:
        dataset, skipped = _encode(dataset, tokenizer, args, packing, stream, kwargs)
    else:
        plain = copy.copy(args)
        plain.shuffle_dataset = False
        if packing and args.packing_strategy == "bfd_split":
            plain.max_length = None  # overflowing text becomes fragments, each a sample of its own
        before = None if stream else len(dataset)
        dataset = fallback(dataset, plain)
        dataset = dataset.map(_turns_from_labels, **kwargs)
        if before is not None and len(dataset) < before:
            skipped["no supervised tokens within max_length"] = before - len(dataset)
    if not stream and len(dataset) == 0:
        reasons = "; ".join(f"{count} {reason}" for reason, count in skipped.most_common())
        raise DataError(
            f"no dialogue of the {name} data can be trained on ({reasons or 'it is empty'})",
            hint="raise max_length, or check the data with 'turnwise data inspect'",
        )
    dataset = dataset.map(_spread_row, **kwargs)
    kept = ["input_ids", "labels", *(column for column in TOKEN_COLUMNS if column in _columns(dataset))]
    dataset = dataset.select_columns(kept)
    if args.shuffle_dataset:
        dataset = dataset.shuffle(seed=args.seed)
    if packing:
        dataset = pack_dataset(dataset, args.max_length, args.packing_strategy, kwargs)
        if args.shuffle_dataset:
            dataset = dataset.shuffle(seed=args.seed)
    return Preparation(dataset, ids, dict(skipped))


def _encode(
    dataset: Any, tokenizer: Any, args: Any, packing: bool, stream: bool, kwargs: dict[str, Any]
) -> tuple[Any, Counter[str]]:
    if is_conversational_from_value(next(iter(dataset))):
        dataset = dataset.map(maybe_convert_to_chatml, remove_columns="conversations", **kwargs)
    finder = SpanFinder(tokenizer, policy=args.template_policy)
    split = packing and args.packing_strategy == "bfd_split"
    remove = [column for column in _columns(dataset) if column != _ROW]
    dataset = dataset.map(
        encode_columns,
        batched=True,
        fn_kwargs={
            "finder": finder,
            "max_length": None if split else args.max_length,
            "truncation": args.truncation,
        },
        remove_columns=remove,
        **kwargs,
    )
    if stream:
        return dataset.filter(_is_kept), Counter()
    skipped = Counter(reason for reason in dataset["skip_reason"] if reason)
    return dataset.filter(_is_kept, **kwargs), skipped


def _is_kept(example: Mapping[str, Any]) -> bool:
    return not example["skip_reason"]


def _add_row(_example: Mapping[str, Any], index: int) -> dict[str, int]:
    return {_ROW: index}


def _turns_from_labels(example: Mapping[str, Any]) -> dict[str, list[int]]:
    return {"turn_ids": turns_of_runs(example["labels"])}


def _spread_row(example: Mapping[str, Any]) -> dict[str, list[int]]:
    return {"dialogue_ids": [example[_ROW]] * len(example["input_ids"])}


def _columns(dataset: Any) -> list[str]:
    names = dataset.column_names
    return list(names) if names is not None else list(next(iter(dataset)))
