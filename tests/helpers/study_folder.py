"""Folders of studies written by code, as a finished study leaves them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from turnwise.run import write_json

SCHEMA = pa.schema(
    [
        ("study", pa.string()),
        ("mixture", pa.string()),
        ("method", pa.string()),
        ("seed", pa.int32()),
        ("metric", pa.string()),
        ("name", pa.string()),
        ("turn", pa.int32()),
        ("source", pa.string()),
        ("key", pa.string()),
        ("value", pa.float64()),
        ("n", pa.int64()),
        ("run", pa.string()),
    ]
)


class StudyFolder:
    """A study's folder in the making: add figures, then write."""

    def __init__(self, path: Path, *, name: str = "s", untrained: Sequence[str] = ("base",), **described: Any) -> None:
        self.path = path
        self.untrained = untrained
        self.rows: list[dict[str, Any]] = []
        self.described = {
            "name": name,
            "mixtures": [{"name": mixture, "complexity": place} for place, mixture in enumerate(("H", "H+N"), 1)],
            "methods": ["base", "plain", "resure", "oracle"],
            "seeds": [0, 1, 2],
            "reference_method": "plain",
            "oracle_method": "oracle",
            "failed": [],
        } | described

    @property
    def mixtures(self) -> list[str]:
        return [mixture["name"] for mixture in self.described["mixtures"]]

    def add(self, metric: str, cell: tuple[str, str, int], value: float | None, **fields: Any) -> StudyFolder:
        mixture, method, seed = cell
        run = f"untrained/{method}" if method in self.untrained else f"cells/{mixture}/{method}/{seed}"
        row = dict.fromkeys(SCHEMA.names) | {"study": self.described["name"], "name": "", "run": run}
        of = {"mixture": mixture, "method": method, "seed": seed, "metric": metric, "value": value}
        self.rows.append(row | of | fields)
        return self

    def fill(self, metric: str, value: Callable[[int, str, int], float | None], **fields: Any) -> StudyFolder:
        """One figure per cell: `value` of the mixture's place from 0, the method and the seed; None leaves it out."""
        for place, mixture in enumerate(self.mixtures):
            for method in self.described["methods"]:
                for seed in self.described["seeds"]:
                    found = value(place, method, seed)
                    if found is not None:
                        self.add(metric, (mixture, method, seed), found, **fields)
        return self

    def write(self) -> Path:
        self.path.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(self.rows, SCHEMA), self.path / "results.parquet")
        write_json(self.path / "study.json", self.described)
        return self.path


def whole_study(path: Path) -> StudyFolder:
    """A study with figures of every kind, four mixtures, one missing cell with and one without a reason.

    Held-out loss by design: base 3; the oracle 2.0 on every mixture; plain 2.0, 2.2, 2.4, 2.6 as noise grows; ReSURE
    undoes half of that; each plus 0.01 * seed, which is common to all methods, and a ripple of a thousandth.
    """
    mixtures = [{"name": name, "complexity": place} for place, name in enumerate(("H", "H+N", "H+L", "H+N+L"), 1)]
    failed = [{"cell": "H+L/oracle/1", "reason": "the loss was not finite for 20 steps"}]
    study = StudyFolder(path, name="mixed quality", mixtures=mixtures, failed=failed)
    absent = {(2, "oracle", 1), (3, "resure", 2)}
    harm = {"oracle": 0.0, "plain": 0.2, "resure": 0.1}
    start = {"oracle": 2.0, "plain": 2.0, "resure": 2.0}

    def loss(place: int, method: str, seed: int, more: float = 0.0) -> float | None:
        if (place, method, seed) in absent:
            return None
        if method == "base":
            return 3.0 + more
        ripple = 0.001 * ((7 * place + 3 * seed + len(method)) ** 2 % 5)
        return start[method] + harm[method] * place + 0.01 * seed + ripple + more

    def accuracy(place: int, method: str, seed: int) -> float | None:
        found = loss(place, method, seed)
        return None if found is None else 1.2 - 0.3 * found

    def trained(value: Callable[[int, str, int], float]) -> Callable[[int, str, int], float | None]:
        return lambda p, m, s: None if m == "base" or (p, m, s) in absent else value(p, m, s)

    study.fill("loss", loss, name="held-out", n=5000).fill("accuracy", accuracy, name="held-out", n=400)
    for turn in range(3):
        more = 0.3 - 0.1 * turn
        study.fill("loss", lambda p, m, s, more=more: loss(p, m, s, more), name="held-out", turn=turn, n=1600)
    for distance in (1, 2):
        study.fill("accuracy", accuracy, name="held-out", key=f"distance={distance}", n=200)
    study.fill("wall_seconds", trained(lambda p, m, s: (10.0 + p) * (1.25 if m == "resure" else 1.0)))
    study.fill("steps", trained(lambda *_: 120.0)).fill("supervised_tokens", trained(lambda *_: 250_000.0))
    study.fill("train_loss", trained(lambda *_: 2.5))

    def weighed(value: Callable[[int, int], float]) -> Callable[[int, str, int], float | None]:
        return lambda p, m, s: value(p, s) if m == "resure" and p and (p, m, s) not in absent else None

    study.fill("auroc_noise", weighed(lambda p, s: 0.9 - 0.01 * s - 0.02 * p), n=600)
    study.fill("auroc_noise", weighed(lambda p, s: 0.95 - 0.01 * s), key="kind=swap", n=500)
    study.fill("auroc_noise_turn", weighed(lambda p, s: 0.8 - 0.01 * s), n=1800)
    study.fill("precision_at_flagged", weighed(lambda p, s: 0.6), n=600)
    study.fill("flag_rate", weighed(lambda p, s: 0.2))
    return study
