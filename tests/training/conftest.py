"""Fixtures of the training tests."""

from __future__ import annotations

import pytest
import torch
from tiny import word_tokenizer


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    torch.set_num_threads(1)
    from datasets import disable_progress_bars

    disable_progress_bars()


@pytest.fixture(scope="session")
def token_tokenizer():
    """See `tiny.word_tokenizer`."""
    return word_tokenizer()
