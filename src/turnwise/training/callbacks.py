"""What a run writes down while it trains: one JSON object per log event."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from turnwise.run import write_text


class MetricsCallback(TrainerCallback):
    """Appends every log of the Trainer to `metrics.jsonl` and tells whoever shows progress.

    Args:
        path: The file.
        checkpoint: Where training goes on from; later lines of an interrupted run are dropped. None starts anew.
        on_log: Called with step, steps in all and the logged values (empty at steps without a log).
    """

    def __init__(
        self, path: Path, checkpoint: Path | None, on_log: Callable[[int, int, Mapping[str, float]], None] | None
    ) -> None:
        self._path = path
        self._on_log = on_log
        last = -1 if checkpoint is None else int(checkpoint.name.rpartition("-")[2])
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() and last >= 0 else []
        kept = [line for line in map(_read_line, lines) if line is not None and line["step"] <= last]
        # The closing line of a run that had finished; the resumed one writes its own.
        kept = [line for line in kept if "train_runtime" not in line]
        write_text(path, "".join(json.dumps(line) + "\n" for line in kept))

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Report progress."""
        if self._on_log is not None and state.is_world_process_zero:
            self._on_log(state.global_step, state.max_steps, {})

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        """Write one line; a value that is not finite is written as null, for JSON has no NaN."""
        if not state.is_world_process_zero or not logs:
            return
        line = {"step": state.global_step, **{key: _plain(value) for key, value in logs.items()}}
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")
        if self._on_log is not None:
            self._on_log(state.global_step, state.max_steps, logs)


def _read_line(text: str) -> dict[str, Any] | None:
    """A line of an earlier run; None where the run was killed while writing it."""
    try:
        line = json.loads(text)
    except ValueError:
        return None
    return line if isinstance(line, dict) and isinstance(line.get("step"), int) else None


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
