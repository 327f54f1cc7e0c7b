"""From a data set as TRL takes it to token columns that keep the dialogue and turn of every token.

TRL's own preparation drops every column but `input_ids` and `labels` when it packs. Here the same steps (encode,
truncate, shuffle, pack, with TRL's own packer) carry token columns along: `dialogue_ids`, the row number of the
dialogue in the encoded data, `turn_ids`, the turn index of each supervised token, and `token_weights` where messages
have static weights.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from datasets import Dataset
from trl.data_utils import is_conversational, is_conversational_from_value, maybe_convert_to_chatml, pack_dataset

from turnwise.data.formats.common import Options, resolve_roles
from turnwise.dialogue import Dialogue, Document, unique_ids
from turnwise.errors import ConfigError, DataError, TemplateError
from turnwise.training.encode import Skipped, Supervise, Truncation, encode_columns, encode_dialogue
from turnwise.training.template import SpanFinder
from turnwise.training.units import turns_of_runs

WEIGHT_COLUMN = "token_weights"
TOKEN_COLUMNS: Mapping[str, int | float] = {"dialogue_ids": 0, "turn_ids": -1, WEIGHT_COLUMN: 1.0}
"""Token columns that travel beside `input_ids`, with the value that padding gets."""

_CHUNK = 1000


@dataclass(frozen=True, slots=True)
class Preparation:
    """A data set ready for the collator.

    Attributes:
        dataset: Columns `input_ids`, `labels`, `dialogue_ids`, `turn_ids`, where needed `token_weights`, and
            `seq_lengths` where packed.
        ids: The dialogues' own ids by the number in `dialogue_ids`; None for a stream.
        sources: Where the data name them, the dialogues' sources by the same number.
        skipped: Dialogues left out, by reason (not counted for a stream).
    """

    dataset: Any
    ids: list[str] | None = None
    sources: list[str] | None = None
    skipped: Mapping[str, int] = field(default_factory=dict)


def is_conversational_dataset(dataset: Any) -> bool:
    """Whether the data set holds dialogues as `messages` (or `conversations`) and is not tokenised yet.

    Raises:
        DataError: It is empty.
    """
    if dataset is None:
        return False
    sample = next(iter(dataset), None)
    if sample is None:
        raise DataError("the training data set is empty", hint="check the data's path, split and limit")
    if "input_ids" in sample or "completion" in sample:
        return False
    # Only this column: others may bear names that TRL knows (UltraChat has a text `prompt` beside its messages).
    messages = {"messages": sample["messages"]} if "messages" in sample else {}
    return bool(is_conversational(messages) or is_conversational_from_value(sample))


def encoded_dataset(
    dialogues: Iterable[Dialogue],
    finder: SpanFinder,
    *,
    max_length: int | None,
    truncation: Truncation,
    name: str,
    supervise: Supervise = "assistant",
) -> tuple[Dataset, dict[str, int]]:
    """Encode dialogues straight into Arrow, whatever their content is (Arrow cannot hold text and parts in one column).

    Args:
        dialogues: The dialogues.
        finder: Finds the replies' tokens.
        max_length: The most tokens of a dialogue; None for no limit.
        truncation: `turns` or `keep_start`.
        name: What the data is for, for errors.
        supervise: Which tokens carry the loss.

    Returns:
        A data set with `id`, `source`, `input_ids`, `labels`, `turn_ids` and `token_weights`, and counts of the
        dialogues left out by reason.

    Raises:
        DataError: Nothing is left.
        TemplateError: The chat template's assistant spans cannot be found.
    """
    schema = pa.schema(
        [
            ("id", pa.string()),
            ("source", pa.string()),
            ("input_ids", pa.list_(pa.int32())),
            ("labels", pa.list_(pa.int32())),
            ("turn_ids", pa.list_(pa.int32())),
            (WEIGHT_COLUMN, pa.list_(pa.float32())),
        ]
    )
    tables, skipped, weighted = [], Counter[str](), False
    for chunk in _batched(dialogues, _CHUNK):
        rows = []
        for dialogue in chunk:
            try:
                found = encode_dialogue(
                    dialogue, finder, max_length=max_length, truncation=truncation, supervise=supervise
                )
            except TemplateError as error:
                raise TemplateError(f"dialogue {dialogue.id!r}: {error.message}", hint=error.hint) from None
            if isinstance(found, Skipped):
                skipped[found.reason] += 1
                continue
            weighted |= found.token_weights is not None
            rows.append(
                {
                    "id": dialogue.id,
                    "source": dialogue.source,
                    "input_ids": found.input_ids,
                    "labels": found.labels,
                    "turn_ids": found.turn_ids,
                    WEIGHT_COLUMN: found.token_weights or [1.0] * len(found.input_ids),
                }
            )
        tables.append(pa.Table.from_pylist(rows, schema=schema))
    table = pa.concat_tables(tables) if tables else schema.empty_table()
    if not weighted:
        table = table.drop_columns([WEIGHT_COLUMN])
    _refuse_empty(len(table), skipped, name)
    return Dataset(table), dict(skipped)


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
        dataset: A `datasets.Dataset` or `IterableDataset`, in any form that TRL's SFTTrainer takes, or one of
            `encoded_dataset`.
        tokenizer: The tokenizer whose chat template renders dialogues.
        args: The `ReSUREConfig`.
        packing: Whether to pack.
        encode_assistant: Encode dialogues with turnwise (assistant turns supervised) rather than TRL.
        fallback: TRL's preparation, called with the data set and a copy of `args` without shuffling.
        name: `train` or the name of an evaluation set, for progress and errors.

    Raises:
        ConfigError: A message has a weight of its own, and the loss is DFT's.
        DataError: No dialogue is left.
        TemplateError: The chat template's assistant spans cannot be found.
    """
    columns = _columns(dataset)
    if "dialogue_ids" in columns:
        return Preparation(dataset)
    stream = not isinstance(dataset, Dataset)
    kwargs: dict[str, Any] = {} if stream else {"num_proc": args.dataset_num_proc}
    if not stream and "id" not in columns:
        dataset = dataset.add_column("id", [f"row-{number}" for number in range(len(dataset))])

    skipped: Counter[str] = Counter()
    if "turn_ids" not in columns:
        if encode_assistant and "input_ids" not in columns:
            dataset, skipped = _encode(dataset, tokenizer, args, packing, stream, kwargs)
        else:
            dataset, skipped = _encode_as_trl(dataset, args, packing, fallback, stream, kwargs)
    if not stream:
        _refuse_empty(len(dataset), skipped, name)
    if args.loss_type == "dft" and WEIGHT_COLUMN in _columns(dataset):
        dataset = dataset.map(_refuse_weights, **kwargs)
    ids = None if stream else _unique(str(value) for value in dataset["id"])
    named = not stream and "source" in _columns(dataset)
    sources = [str(value or "") for value in dataset["source"]] if named else None
    dataset = dataset.map(_number, with_indices=True, **kwargs)
    kept = ["input_ids", "labels", *(column for column in TOKEN_COLUMNS if column in _columns(dataset))]
    dataset = dataset.select_columns(kept)
    if args.shuffle_dataset:
        dataset = dataset.shuffle(seed=args.seed)
    if packing:
        dataset = pack_dataset(dataset, args.max_length, args.packing_strategy, kwargs)
        if args.shuffle_dataset:
            dataset = dataset.shuffle(seed=args.seed)
    return Preparation(dataset, ids, sources, dict(skipped))


def _encode(
    dataset: Any, tokenizer: Any, args: Any, packing: bool, stream: bool, kwargs: dict[str, Any]
) -> tuple[Any, Counter[str]]:
    sample = next(iter(dataset))
    if is_conversational_from_value(sample):
        dataset = dataset.map(_messages_of_conversations, remove_columns="conversations", **kwargs)
        sample = next(iter(dataset))
    split = packing and args.packing_strategy == "bfd_split"
    dataset = dataset.map(
        encode_columns,
        batched=True,
        fn_kwargs={
            "finder": SpanFinder(tokenizer, policy=args.template_policy),
            # Overflowing text becomes fragments, each a sample of its own, so nothing is truncated before.
            "max_length": None if split else args.max_length,
            "truncation": args.truncation,
            # A stream's first row does not tell what later rows hold.
            "weights": stream or any("weight" in message for message in sample["messages"]),
        },
        remove_columns=[column for column in _columns(dataset) if column not in ("id", "source")],
        **kwargs,
    )
    if stream:
        return dataset.filter(_is_kept), Counter()
    skipped = Counter(reason for reason in dataset["skipped"] if reason)
    return (dataset.filter(_is_kept, **kwargs) if skipped else dataset), skipped


def _messages_of_conversations(example: dict[str, Any]) -> dict[str, Any]:
    """`from`/`value` records as messages. TRL keeps speakers such as `human` and `gpt`, which no template knows."""
    example = maybe_convert_to_chatml(example)
    messages = example["messages"]
    roles = resolve_roles([message["role"] for message in messages], Options(), strict=False)
    messages = [{**message, "role": role} for message, role in zip(messages, roles, strict=True)]
    return {**example, "messages": messages}


def _encode_as_trl(
    dataset: Any, args: Any, packing: bool, fallback: Callable[[Any, Any], Any], stream: bool, kwargs: dict[str, Any]
) -> tuple[Any, Counter[str]]:
    plain = copy.copy(args)
    plain.shuffle_dataset = False
    if packing and args.packing_strategy == "bfd_split":
        plain.max_length = None
    before = None if stream else len(dataset)
    dataset = fallback(dataset, plain).map(_turns_from_labels, **kwargs)
    skipped: Counter[str] = Counter()
    if before is not None and len(dataset) < before:
        skipped["no supervised tokens within max_length"] = before - len(dataset)
    return dataset, skipped


def _refuse_empty(kept: int, skipped: Mapping[str, int], name: str) -> None:
    if kept == 0:
        reasons = "; ".join(f"{count} left out: {reason}" for reason, count in skipped.items())
        raise DataError(
            f"no dialogue of the {name} data can be used ({reasons or 'it is empty'})",
            hint="raise max_length, or look at the data with 'turnwise data inspect'",
        )


def _is_kept(example: Mapping[str, Any]) -> bool:
    return not example["skipped"]


def _refuse_weights(example: Mapping[str, Any]) -> dict[str, Any]:
    """DFT reads each token's probability from the number that a weight would have changed."""
    if any(weight not in (0, 1) for weight in example[WEIGHT_COLUMN]):
        raise ConfigError(
            f"dialogue {example['id']!r}: the loss 'dft' cannot be combined with the 'weight' of a message",
            hint="take the weights out of the data ('train': false works), or choose another method",
        )
    return {}


def _turns_from_labels(example: Mapping[str, Any]) -> dict[str, list[int]]:
    return {"turn_ids": turns_of_runs(example["labels"])}


def _number(example: Mapping[str, Any], index: int) -> dict[str, list[int]]:
    return {"dialogue_ids": [index] * len(example["input_ids"])}


def _unique(names: Iterable[str]) -> list[str]:
    """The names with repeated ones told apart as `name#2`, as `dialogue.unique_ids` does."""
    return [record.id for record in unique_ids(Document(id=name, text="") for name in names)]


def _batched(items: Iterable[Dialogue], size: int) -> Iterable[list[Dialogue]]:
    chunk: list[Dialogue] = []
    for item in items:
        chunk.append(item)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _columns(dataset: Any) -> list[str]:
    names = dataset.column_names
    return list(names) if names is not None else list(next(iter(dataset)))
