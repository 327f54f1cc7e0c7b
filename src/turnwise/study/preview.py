"""What a study would do, without doing it: its cells, and how large its data are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from turnwise.data.mixture import mix_dialogues
from turnwise.dialogue import Dialogue
from turnwise.errors import DataError
from turnwise.study.plan import StudyConfig, check_outside, plan_cells
from turnwise.study.prepare import keep_clean


def preview_study(config: StudyConfig, *, only: str | None = None) -> dict[str, Any]:
    """Make every mixture of a study in memory (as configured, so for the seed 0) and count; nothing is written.

    Args:
        config: The study.
        only: As for `run_study`.

    Returns:
        `cells`, their names in the order in which they would run; `data`, by the setting that holds a mixture:
        `dialogues`, `turns`, `by_source`, `noisy` (by kind), and `clean` (what `keep: clean` leaves, 0 for nothing).
    """
    check_outside(config)
    cells = plan_cells(config, only)
    data = {where: _counts(list(mix_dialogues(mix).dialogues)) for where, mix in config.mixes().items()}
    data |= {
        f"evaluate.accuracy.{name}": _counts(list(asked.world.dialogues()))
        for name, asked in config.evaluate.accuracy.items()
    }
    return {"name": config.name, "cells": [cell.label for cell in cells], "data": data}


def _counts(dialogues: Sequence[Dialogue]) -> dict[str, Any]:
    noise = Counter((dialogue.metadata.get("noise") or {}).get("kind", "clean") for dialogue in dialogues)
    noise.pop("clean", None)
    try:
        clean = len(keep_clean(dialogues))
    except DataError:
        clean = 0
    return {
        "dialogues": len(dialogues),
        "turns": sum(dialogue.num_turns for dialogue in dialogues),
        "by_source": dict(Counter(dialogue.source or "" for dialogue in dialogues)),
        "noisy": dict(noise),
        "clean": clean,
    }
