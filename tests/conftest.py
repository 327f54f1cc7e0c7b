"""Fixtures shared by all tests: no network, where the public data lies, quiet threads."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Set before any Hugging Face import: a test never reaches for a hub, and models this small run fastest on one thread.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_NUM_THREADS", "1")

DATA_FOLDER = Path(os.environ.get("TURNWISE_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(scope="session")
def public_data() -> Path:
    """The folder of public data sets; tests that need it skip with a reason where it is absent."""
    if not DATA_FOLDER.is_dir():
        pytest.skip(f"public data not found at {DATA_FOLDER} (set TURNWISE_DATA)")
    return DATA_FOLDER


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory):
    """See `demo.make_demo`."""
    from demo import make_demo

    return make_demo(tmp_path_factory.mktemp("demo"))
