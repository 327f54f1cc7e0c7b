"""Trainers on conversations in TRL's own forms of data, for tests of `ReSURETrainer` in place of `SFTTrainer`."""

from __future__ import annotations

import pyarrow.parquet as pq
from template_cases import chat
from tiny import BASE_ARGUMENTS, tiny_llama
from trl import SFTConfig, SFTTrainer

from turnwise.training.arguments import ReSUREConfig
from turnwise.training.trainer import ReSURETrainer

IGNORE = -100


def talks(count, turns=2):
    return [
        chat(*(f"{'Is it' if part % 2 == 0 else 'Yes, in'} {number * 7 + part}?" for part in range(2 * turns)))
        for number in range(count)
    ]


def rows(count=8):
    return [{"messages": talk} for talk in talks(count)]


def build(tmp_path, tokenizer, data, *, cls=ReSURETrainer, hooks=None, **options):
    config = SFTConfig if cls is SFTTrainer else ReSUREConfig
    arguments = {**BASE_ARGUMENTS, "max_length": 128, "max_steps": 2, **options}
    return cls(
        model=tiny_llama(vocab_size=len(tokenizer)),
        args=config(output_dir=str(tmp_path), **arguments),
        train_dataset=data,
        processing_class=tokenizer,
        **(hooks or {}),
    )


def supervised(trainer, tokenizer):
    """What is supervised of each row, as text."""
    return [tokenizer.decode([label for label in row["labels"] if label != IGNORE]) for row in trainer.train_dataset]


def ledger(folder):
    return pq.read_table(folder / "ledger.parquet").to_pylist()
