"""The figures of a study as its folder holds them: `results.parquet`, and what the study says of itself beside it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from turnwise.errors import DataError

RESULTS_NAME = "results.parquet"
FAILED = "failed"
"""The metric of a row that stands for a cell without figures."""

DESCRIBED_NAMES = ("study.json", "summary.json")
"""What a study says of itself: the first of these that is there."""

_COLUMNS = ("mixture", "method", "seed", "metric", "name", "turn", "source", "key", "value", "run")


class Measure(NamedTuple):
    """What a figure is a figure of; the fields are those of `results.parquet`."""

    metric: str
    name: str = ""
    turn: int | None = None
    source: str | None = None
    key: str | None = None

    @property
    def overall(self) -> bool:
        """Whether it is of everything, not of one turn, source or key."""
        return self.turn is None and self.source is None and self.key is None

    @property
    def higher_is_better(self) -> bool:
        """False for losses."""
        return self.metric not in ("loss", "train_loss")

    @property
    def title(self) -> str:
        """As people name it: `accuracy on held-out`."""
        return f"{self.metric} on {self.name}" if self.name else self.metric

    @property
    def part(self) -> str:
        """What part of the evaluation set it is of: `turn 2`, a source, `distance=2`; empty for all."""
        turn = "" if self.turn is None else f"turn {self.turn}"
        return ", ".join(filter(None, [turn, self.source, self.key]))


class Place(NamedTuple):
    """A mixture and a method."""

    mixture: str
    method: str


@dataclass(frozen=True, slots=True)
class Failed:
    """A cell without results, and why."""

    cell: str
    reason: str


@dataclass(frozen=True)
class Results:
    """A study's figures, by what they are of.

    Attributes:
        name: Name of the study.
        complexity: Complexity of each mixture, in the order of the study.
        methods: In the order of the study.
        seeds: In the order of the study.
        reference: The method that others are compared with; None where the study names none.
        oracle: The method that knows the noise.
        untrained: Methods that train nothing: one model, measured once, whose figure stands under each seed.
        failed: Cells without results.
        absent: Cells without results and without a reason, as mixture/method/seed.
        values: Per measure and place the value of each seed. Figures that were not finite are not among them.
        not_finite: How many figures were not finite, per measure.
        described: All that the study says of itself.
    """

    name: str
    complexity: Mapping[str, float]
    methods: tuple[str, ...]
    seeds: tuple[int, ...]
    reference: str | None = None
    oracle: str | None = None
    untrained: frozenset[str] = frozenset()
    failed: tuple[Failed, ...] = ()
    absent: tuple[str, ...] = ()
    values: Mapping[Measure, Mapping[Place, Mapping[int, float]]] = field(default_factory=dict)
    not_finite: Mapping[Measure, int] = field(default_factory=dict)
    described: Mapping[str, Any] = field(default_factory=dict)

    @property
    def mixtures(self) -> tuple[str, ...]:
        """In the order of the study."""
        return tuple(self.complexity)

    @property
    def trained(self) -> tuple[str, ...]:
        """Methods that train."""
        return tuple(method for method in self.methods if method not in self.untrained)

    @property
    def qualities(self) -> list[Measure]:
        """Losses and accuracies over whole evaluation sets, in the order of the file."""
        return [measure for measure in self.values if measure.overall and measure.metric in ("loss", "accuracy")]

    def parts(self, measure: Measure) -> list[Measure]:
        """The same metric and evaluation set by turn, by source and by key, in that order."""
        found = [one for one in self.values if one[:2] == measure[:2] and not one.overall]
        return sorted(found, key=lambda one: (one.turn is None, one.turn or 0, one.source is None))

    def of(self, measure: Measure, mixture: str, method: str) -> Mapping[int, float]:
        """Value per seed; empty where there is none."""
        return self.values.get(measure, {}).get(Place(mixture, method), {})


def is_study(folder: Path) -> bool:
    """Whether a folder is that of a study: no other command writes `results.parquet`."""
    return (folder / RESULTS_NAME).is_file() or (folder / DESCRIBED_NAMES[0]).is_file()


def read_results(folder: str | Path) -> Results:
    """Read a study's figures.

    Raises:
        DataError: A file is absent, unreadable or not what it should be, or a figure stands in it twice.
    """
    folder = Path(folder)
    source = next((folder / name for name in DESCRIBED_NAMES if (folder / name).is_file()), folder / DESCRIBED_NAMES[0])
    described = _read_described(source)
    table = _read_table(folder / RESULTS_NAME)
    rows = table.select(list(_COLUMNS)).to_pylist()
    values: dict[Measure, dict[Place, dict[int, float]]] = {}
    not_finite: dict[Measure, int] = {}
    untrained, present = set(), set()
    for line, row in enumerate(rows, start=1):
        measure = Measure(row["metric"], row["name"], row["turn"], row["source"], row["key"])
        place, value = Place(row["mixture"], row["method"]), row["value"]
        if measure.metric == FAILED:
            continue
        present.add((*place, row["seed"]))
        if row["run"].startswith("untrained/"):
            untrained.add(place.method)
        by_seed = values.setdefault(measure, {}).setdefault(place, {})
        if row["seed"] in by_seed:
            raise DataError(
                f"{measure.title} of {'/'.join(place)}/{row['seed']} stands there twice",
                path=folder / RESULTS_NAME,
                line=line,
            )
        if value is None or not math.isfinite(value):
            not_finite[measure] = not_finite.get(measure, 0) + 1
        else:
            by_seed[row["seed"]] = value
    complexity = _complexity(described, source)
    unknown = {row["mixture"] for row in rows} - set(complexity)
    if unknown or not complexity:
        raise DataError(f"found no complexity of mixture {', '.join(sorted(unknown)) or '(none named)'}", path=source)
    # What the study names first, in its order; then what else has figures, so that none is left out unseen.
    methods = tuple(dict.fromkeys([*_names(described.get("methods")), *(row["method"] for row in rows)]))
    seeds = tuple(
        dict.fromkeys([*(int(seed) for seed in described.get("seeds") or ()), *(row["seed"] for row in rows)])
    )
    failed = tuple(_failed(described.get("failed", described.get("failures"))))
    known = {one.cell for one in failed}
    wanted = [(mixture, method, seed) for mixture in complexity for method in methods for seed in seeds]
    absent = ["/".join(map(str, cell)) for cell in wanted if cell not in present]
    return Results(
        name=str(described.get("name", folder.resolve().name)),
        complexity=complexity,
        methods=methods,
        seeds=seeds,
        reference=described.get("reference_method"),
        oracle=described.get("oracle_method"),
        untrained=frozenset(untrained),
        failed=failed,
        absent=tuple(cell for cell in absent if cell not in known),
        values=values,
        not_finite=not_finite,
        described=described,
    )


def _read_described(path: Path) -> dict[str, Any]:
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise DataError("no such file", path=path, hint="give the folder of a study") from None
    except ValueError as error:
        raise DataError(f"expected JSON ({error})", path=path) from None
    if not isinstance(described, dict):
        raise DataError(f"expected an object, found {type(described).__name__}", path=path)
    return described


def _read_table(path: Path) -> pa.Table:
    try:
        table = pq.read_table(path)
    except OSError:
        raise DataError("no such file", path=path, hint="no cell of the study has ended yet") from None
    except pa.ArrowInvalid as error:
        raise DataError(f"expected Parquet ({error})", path=path) from None
    absent = [column for column in _COLUMNS if column not in table.column_names]
    if absent:
        raise DataError(f"expected the columns {', '.join(_COLUMNS)}; found no {', '.join(absent)}", path=path)
    return table


def _complexity(described: Mapping[str, Any], source: Path) -> dict[str, float]:
    """Mixtures as a list of objects with `name` and `complexity`, or as an object from name to number."""
    given = described.get("mixtures")
    if isinstance(given, Mapping):
        given = [{"name": name, "complexity": number} for name, number in given.items()]
    try:
        return {str(one["name"]): float(one["complexity"]) for one in given or ()}
    except (KeyError, TypeError, ValueError):
        raise DataError("expected 'mixtures' with name and complexity", path=source) from None


def _names(given: Any) -> list[str]:
    return [str(one["name"] if isinstance(one, Mapping) else one) for one in given or ()]


def _failed(given: Any) -> list[Failed]:
    """A list of objects with `reason`, and `cell` or mixture, method and seed; or an object from cell to reason."""
    if isinstance(given, Mapping):
        return [Failed(str(cell), str(reason)) for cell, reason in given.items()]
    found = []
    for one in given or ():
        if not isinstance(one, Mapping):
            found.append(Failed(str(one), "no reason given"))
            continue
        parts = [one.get(name) for name in ("mixture", "method", "seed")]
        cell = one.get("cell") or "/".join(str(part) for part in parts if part is not None)
        found.append(Failed(str(cell), str(one.get("reason", "no reason given"))))
    return found
