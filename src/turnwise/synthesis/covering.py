"""How much of a document its dialogue covers, measured while a synthesis runs."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from turnwise.dialogue import Dialogue, Document

MINILM = "minilm"
"""Name of the encoder that comes with the extra `embed`."""

Measure = Callable[[Document, Dialogue], dict[str, float]]
"""From a document and its dialogue to shares of 0 to 1: `lexical_coverage`, and with an encoder `coverage_rate`."""


def coverage_measure(encoder: str | None) -> Measure | None:
    """What measures the coverage of every dialogue.

    Args:
        encoder: The sentence encoder; None for the lexical stand-in alone.

    Raises:
        MissingExtraError: The encoder's packages are not installed.
        ModelError: There is no such encoder.
    """
    if find_spec("turnwise.synthesis.coverage") is None:
        return None
    rate: Any = importlib.import_module("turnwise.synthesis.coverage").dialogue_coverage
    opened: Any = None
    if encoder is not None:
        load: Any = importlib.import_module("turnwise.synthesis.encoder").load_encoder
        opened = load(None if encoder == MINILM else encoder)

    def measured(document: Document, dialogue: Dialogue) -> dict[str, float]:
        found = {"lexical_coverage": rate(document, dialogue, None).percent / 100}
        if opened is not None:
            found["coverage_rate"] = rate(document, dialogue, opened).percent / 100
        return found

    return measured
