"""`metrics.jsonl` as columns: per logged name, the steps and values."""

from __future__ import annotations

import json
import re
from array import array
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from turnwise.report.text import as_number

Column = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]

_GROUP_KEY = re.compile(r"resure/group_(\d{1,6})/(\w+)")


@dataclass(frozen=True)
class Metrics:
    """What a run logged.

    Attributes:
        columns: Per logged name, its steps (ascending, no step twice) and values; a null value is NaN.
        events: How many events were read.
        skipped: Lines that are no JSON object with a numeric `step`, such as the torn last line of a killed run.
    """

    columns: dict[str, Column] = field(default_factory=dict)
    events: int = 0
    skipped: int = 0

    def get(self, name: str) -> Column:
        """Steps and values of one name; empty where it was never logged."""
        return self.columns.get(name, (np.empty(0), np.empty(0)))

    def last(self, name: str) -> float | None:
        """The last finite value of one name."""
        values = self.get(name)[1]
        finite = values[np.isfinite(values)]
        return float(finite[-1]) if finite.size else None

    def groups(self, quantity: str) -> dict[int, Column]:
        """Per turn group, the column `resure/group_<g>/<quantity>`, groups ascending."""
        found: dict[int, Column] = {}
        for name, column in self.columns.items():
            match = _GROUP_KEY.fullmatch(name)
            if match is not None and match[2] == quantity:
                found[int(match[1])] = column
        return dict(sorted(found.items()))


def read_metrics(path: Path) -> Metrics:
    """Read a metrics file. Where a step was logged twice (a resumed run), the later line wins."""
    steps: dict[str, array[float]] = {}
    values: dict[str, array[float]] = {}
    events = skipped = 0
    with path.open(encoding="utf-8", errors="replace") as stream:
        for line in stream:
            if not line.strip():
                continue
            try:
                event: Any = json.loads(line)
            except ValueError:
                skipped += 1
                continue
            step = as_number(event.get("step")) if isinstance(event, dict) else None
            if step is None:
                skipped += 1
                continue
            events += 1
            for name, value in event.items():
                plain = as_number(value)
                # Null and the non-finite numbers are gaps of a curve; text and lists are no curve at all.
                if plain is None and not (value is None or isinstance(value, float)):
                    continue
                steps.setdefault(name, array("d")).append(step)
                values.setdefault(name, array("d")).append(float("nan") if plain is None else plain)
    columns = {name: _ordered(np.array(steps[name]), np.array(values[name])) for name in steps}
    return Metrics(columns, events, skipped)


def moving_average(values: npt.NDArray[np.float64], width: int) -> npt.NDArray[np.float64]:
    """The mean of the finite values within `width` places centred on each place (fewer at the ends); NaN where none.

    Args:
        values: Shape (N,).
        width: Places to average over; even widths count one more.
    """
    reach = max(0, width // 2)
    finite = np.isfinite(values)
    sums = np.concatenate([[0.0], np.cumsum(np.where(finite, values, 0.0))])
    counts = np.concatenate([[0], np.cumsum(finite)])
    low = np.maximum(np.arange(values.size) - reach, 0)
    high = np.minimum(np.arange(values.size) + reach + 1, values.size)
    inside = counts[high] - counts[low]
    return np.where(inside > 0, (sums[high] - sums[low]) / np.maximum(inside, 1), np.nan)


def _ordered(steps: npt.NDArray[np.float64], values: npt.NDArray[np.float64]) -> Column:
    order = np.argsort(steps, kind="stable")
    steps, values = steps[order], values[order]
    last_of_step = np.append(steps[1:] != steps[:-1], True)
    return steps[last_of_step], values[last_of_step]
