"""What the starting model says of the data: every unit's loss, and what its replies cost without their dialogue.

One pass before the first step, and where asked for a second, cheaper one over the replies alone. The rule `mixture`
makes its weights from it; `reference.parquet` in the run folder keeps it, for the user to read and for a resumed run,
whose model is no longer the starting one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from datasets import Dataset

from turnwise.errors import ConfigError, TrainingError
from turnwise.run import atomic_path
from turnwise.training.distributed import gather_rows
from turnwise.training.prepare import TOKEN_COLUMNS, WEIGHT_COLUMN
from turnwise.training.reliability import Judgement, UnitLosses, judge_by_source
from turnwise.training.units import TokenColumns, find_units

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from turnwise.training.trainer import ReSURETrainer
    from turnwise.training.weights import Unit

REFERENCE_NAME = "reference.parquet"

REFERENCE_SCHEMA = pa.schema(
    [
        pa.field("dialogue_id", pa.string(), nullable=False),
        pa.field("row", pa.int64(), nullable=False),  # number of the dialogue in the encoded data
        pa.field("turn", pa.int32()),  # null where the unit is the dialogue
        pa.field("num_tokens", pa.int32(), nullable=False),
        pa.field("loss", pa.float64(), nullable=False),  # may be NaN
        pa.field("context_free_loss", pa.float64()),  # null where it was not asked for
        pa.field("weight", pa.float64(), nullable=False),
    ]
)
"""One row per unit; losses of the starting model in nats per token. The file's metadata say how they were judged."""

_FIGURES = b"reliability"


@dataclass(frozen=True, slots=True)
class UnitTable:
    """Losses of the units of a data set, each unit once, in the order in which they were met.

    Legend: `_U` one entry per unit.

    Attributes:
        dialogue_U: Row number of the dialogue in the encoded data set.
        turn_U: Turn index, -1 where the unit is the dialogue.
        group_U: Turn group.
        tokens_U: Supervised tokens.
        loss_U: Mean loss, nats per token; may be NaN.
    """

    dialogue_U: NDArray[np.int64]
    turn_U: NDArray[np.int64]
    group_U: NDArray[np.int64]
    tokens_U: NDArray[np.int64]
    loss_U: NDArray[np.float64]


def take_columns(inputs: dict[str, Any]) -> TokenColumns | None:
    """Remove the token columns from the model's inputs and return them; None where the batch has none."""
    taken = {name: inputs.pop(name, None) for name in TOKEN_COLUMNS}
    if taken["dialogue_ids"] is None or taken["turn_ids"] is None:
        return None
    return TokenColumns(taken["dialogue_ids"], taken["turn_ids"], taken[WEIGHT_COLUMN], inputs.get("seq_idx"))


def unit_losses(trainer: ReSURETrainer, dataset: Any, unit: Unit) -> UnitTable:
    """The losses of a prepared data set under the model as it is, in evaluation mode; all ranks work together.

    Raises:
        ConfigError: The data set has lost its token columns.
    """
    batches = list(_loss_batches(trainer, dataset, unit))
    return _table(np.concatenate(batches) if batches else np.empty((0, 5)))


def learn_warmup_set(trainer: ReSURETrainer) -> None:
    """Start the rule's statistics with the losses of the warm-up set, batch by batch as they come."""
    for batch in _loss_batches(trainer, _prepared_warmup_set(trainer), trainer.args.unit):
        table = _table(batch)
        trainer.rule.learn_unconditionally(table.loss_U, table.group_U)
    trainer.rule.end_warmup()


def judge_before_training(trainer: ReSURETrainer) -> Judgement:
    """Judge every unit of the training data by the starting model and hand the weights to the rule `mixture`.

    Raises:
        ConfigError: The data are a stream, which cannot be read before training.
    """
    if not isinstance(trainer.train_dataset, Dataset):
        raise ConfigError(
            "the rule 'mixture' reads all of the training data once before training; a stream cannot be read twice",
            hint="use a data set of known length, or resure.rule: threshold",
        )
    units, context_free_U = _measure(trainer, trainer.train_dataset)
    known, sources_U, finite_U = _as_known(trainer, "train", units, context_free_U)
    good: UnitLosses | None = None
    good_sources_U: list[str] = []
    if trainer.warmup_dataset is not None:
        measured = _measure(trainer, _prepared_warmup_set(trainer))
        good, good_sources_U, _ = _as_known(trainer, "warmup", *measured)
    found = judge_by_source(known, sources_U, good, good_sources_U, prior=trainer.args.dialogue_prior)
    weights_U = np.ones(len(units.loss_U))  # without a finite loss there is nothing to judge by
    weights_U[finite_U] = found.weights_U
    trainer.rule.weights = {  # type: ignore[attr-defined]
        (row, turn): weight
        for row, turn, weight in zip(units.dialogue_U.tolist(), units.turn_U.tolist(), weights_U.tolist(), strict=True)
    }
    if trainer.is_world_process_zero():
        _write(trainer, units, context_free_U, replace(found, weights_U=weights_U))
    return found


def restore_judgement(trainer: ReSURETrainer) -> Judgement:
    """Give the rule the weights that the run began with.

    Returns:
        What was found then.

    Raises:
        TrainingError: They are not there, or belong to other data.
    """
    path = _folder(trainer) / REFERENCE_NAME
    try:
        table = pq.read_table(path)
        figures = json.loads(table.schema.metadata[_FIGURES])
    except (KeyError, OSError, TypeError, pa.ArrowInvalid) as error:
        raise TrainingError(
            f"{path}: expected the weights that the run began with, found none that can be read ({error})",
            hint="without them the run cannot be resumed; start anew",
        ) from error
    rows, names = table["row"].to_pylist(), table["dialogue_id"].to_pylist()
    if any(trainer.dialogue_id(row) != name for row, name in zip(rows, names, strict=True)):
        raise TrainingError(
            f"{path}: belongs to other training data", hint="resume with the data of the run, or start anew"
        )
    turns = [-1 if turn is None else turn for turn in table["turn"].to_pylist()]
    weights = table["weight"].to_pylist()
    trainer.rule.weights = dict(zip(zip(rows, turns, strict=True), weights, strict=True))  # type: ignore[attr-defined]
    return Judgement(np.array(weights), **figures)


def _loss_batches(trainer: ReSURETrainer, dataset: Any, unit: Unit) -> Iterator[NDArray[np.float64]]:
    """(U, 5) tables of dialogue, turn, group, tokens and loss, one per batch of all ranks."""
    model = trainer.model_wrapped
    training = model.training
    model.eval()
    known: set[tuple[float, ...]] = set()
    for inputs in trainer.get_eval_dataloader(dataset):
        inputs = trainer._prepare_inputs(inputs)
        columns = take_columns(inputs)
        if columns is None:
            raise ConfigError("the data lost its token columns; leave remove_unused_columns at its default")
        with torch.no_grad(), trainer.compute_loss_context_manager():
            outputs = model(**inputs, use_cache=False, fused_lm_head=True)
        units = find_units(outputs.log_probs, outputs.label_mask, columns, unit)
        parts = [units.dialogue_U, units.turn_U, units.group_U, units.tokens_U, units.loss_U]
        table, _ = gather_rows(torch.stack([part.double() for part in parts], dim=1))
        # With several ranks the sampler repeats dialogues to fill the last batch; each counts once.
        keys = list(map(tuple, table[:, :2].tolist()))
        new = [key not in known for key in keys]
        known.update(keys)
        yield table[new]
    model.train(training)


def _table(rows: NDArray[np.float64]) -> UnitTable:
    dialogue_U, turn_U, group_U, tokens_U = rows[:, :4].astype(np.int64).T
    return UnitTable(dialogue_U, turn_U, group_U, tokens_U, rows[:, 4])


def _measure(trainer: ReSURETrainer, dataset: Any) -> tuple[UnitTable, NDArray[np.float64] | None]:
    """Units with their losses in context, and without where the options ask for it."""
    units = unit_losses(trainer, dataset, trainer.args.unit)
    if not trainer.args.context_free:
        return units, None
    alone = unit_losses(trainer, replies_alone(dataset, opening(trainer.processing_class)), "turn")
    nats: dict[tuple[int, int], float] = {}
    for row, turn, tokens, loss in zip(alone.dialogue_U, alone.turn_U, alone.tokens_U, alone.loss_U, strict=True):
        key = (int(row), int(turn) if trainer.args.unit == "turn" else -1)
        nats[key] = nats.get(key, 0.0) + float(loss) * int(tokens)
    keys = zip(units.dialogue_U.tolist(), units.turn_U.tolist(), strict=True)
    return units, np.array([nats[key] for key in keys]) / units.tokens_U


def replies_alone(dataset: Dataset, opening_ids: list[int]) -> Dataset:
    """Every reply of a prepared data set as a row of its own: the tokens that open a reply, then the reply.

    Args:
        dataset: Prepared (packed or not), with `dialogue_ids` and `turn_ids`.
        opening_ids: What stands before a reply; at least one token, as the first of a row is never predicted.
    """
    rows = []
    for example in dataset:
        ids, dialogues, turns = example["input_ids"], example["dialogue_ids"], example["turn_ids"]
        spans: dict[tuple[int, int], list[int]] = {}
        for place, (dialogue, turn) in enumerate(zip(dialogues, turns, strict=True)):
            # A turn may have several stretches (tool calls); the first token of a dialogue predicts nothing.
            if turn >= 0 and place > 0 and dialogues[place - 1] == dialogue:
                spans.setdefault((dialogue, turn), []).append(ids[place])
        for (dialogue, turn), span in spans.items():
            size = len(opening_ids) + len(span)
            rows.append(
                {
                    "input_ids": [*opening_ids, *span],
                    "labels": [-100] * len(opening_ids) + span,
                    "dialogue_ids": [dialogue] * size,
                    "turn_ids": [-1] * len(opening_ids) + [turn] * len(span),
                }
            )
    rows.sort(key=lambda row: len(row["input_ids"]))  # like lengths together: little padding
    return Dataset.from_list(rows)


def opening(tokenizer: Any) -> list[int]:
    """The tokens before a reply to an empty user message; without a chat template, the token that begins a text."""
    if tokenizer.chat_template is not None:
        rendered = tokenizer.apply_chat_template(
            [{"role": "user", "content": ""}], add_generation_prompt=True, tokenize=True, return_dict=True
        )
        return list(rendered["input_ids"])
    first = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    if first is None:
        raise ConfigError(
            "context_free needs a chat template or a token that begins or ends a text, and the tokenizer has none",
            hint="set resure.context_free: false",
        )
    return [first]


def _as_known(
    trainer: ReSURETrainer, name: str, units: UnitTable, context_free_U: NDArray[np.float64] | None
) -> tuple[UnitLosses, list[str], NDArray[np.bool_]]:
    """What `judge_by_source` takes, and which of the units have losses that are numbers; the others are left out."""
    finite_U = np.isfinite(units.loss_U)
    if context_free_U is not None:
        finite_U &= np.isfinite(context_free_U)
    sources = trainer.sources(name) if trainer.args.by_source else None
    sources_U = ["" if sources is None else sources[row] for row in units.dialogue_U[finite_U].tolist()]
    known = UnitLosses(units.loss_U, context_free_U, units.dialogue_U, units.turn_U).where(finite_U)
    return known, sources_U, finite_U


def _prepared_warmup_set(trainer: ReSURETrainer) -> Any:
    return trainer._prepare_dataset(
        trainer.warmup_dataset, trainer.processing_class, trainer.args, False, trainer._formatting_func, "warmup"
    )


def _folder(trainer: ReSURETrainer) -> Path:
    return Path(trainer.args.ledger_dir or trainer.args.output_dir)


def _write(
    trainer: ReSURETrainer, units: UnitTable, context_free_U: NDArray[np.float64] | None, found: Judgement
) -> None:
    columns = {
        "dialogue_id": [trainer.dialogue_id(row) for row in units.dialogue_U.tolist()],
        "row": units.dialogue_U,
        "turn": np.ma.masked_less(units.turn_U, 0),
        "num_tokens": units.tokens_U,
        "loss": units.loss_U,
        "context_free_loss": [None] * len(units.loss_U) if context_free_U is None else context_free_U,
        "weight": found.weights_U,
    }
    arrays = [pa.array(columns[field.name], type=field.type) for field in REFERENCE_SCHEMA]
    schema = REFERENCE_SCHEMA.with_metadata({_FIGURES: json.dumps(found.figures())})
    with atomic_path(_folder(trainer) / REFERENCE_NAME) as partial:
        pq.write_table(pa.Table.from_arrays(arrays, schema=schema), partial, compression="zstd")
