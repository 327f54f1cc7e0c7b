"""Batches that keep the dialogue and turn of every token."""

from __future__ import annotations

from typing import Any

import torch
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling
from trl.trainer.utils import pad

from turnwise.training.prepare import TOKEN_COLUMNS


class ReSURECollator(DataCollatorForLanguageModeling):
    """TRL's collator, keeping the token columns that say which dialogue and turn a token belongs to."""

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """Collate; every token column gets the shape of `input_ids` (padding: 0, turn -1, weight 1)."""
        batch: dict[str, Any] = super().torch_call(examples)
        for column, padding in TOKEN_COLUMNS.items():
            if column not in examples[0]:
                continue
            rows = [torch.tensor(example[column]) for example in examples]
            if self.padding_free:
                rows = [torch.cat(rows)]
            batch[column] = pad(rows, padding, padding_side="right", pad_to_multiple_of=self.pad_to_multiple_of)
        return batch
