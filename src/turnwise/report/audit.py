"""The reliability ledger, summed up for the report in two passes over the file, a batch of rows at a time.

Memory grows with the number of dialogues, not with the number of rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from turnwise.errors import DataError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

BINS = 20
"""Bins of the weight histogram, over 0 to 1."""

MAX_WINDOWS = 60
"""Most stretches of steps that rates over time are averaged over."""

_ROWS_PER_WINDOW = 500  # a rate over fewer rows says little
_BATCH = 1 << 17
_TURN_SPAN = 1 << 20
_COLUMNS = ("dialogue_id", "turn", "group", "epoch", "step", "loss", "threshold", "weight", "flagged")


@dataclass(frozen=True)
class Labels:
    """What is known of planted noise, per dialogue.

    Attributes:
        ids: Dialogue ids with a known label.
        codes: Per id, the position of its kind in `kinds`.
        kinds: Kinds of noise; the first is `clean`.
        turns: Keys (position of the id times 2^20, plus turn index) of the turns that labels name, ascending.
        named: Per id, whether its label names turns at all.
    """

    ids: pa.Array
    codes: Ints
    kinds: tuple[str, ...]
    turns: Ints
    named: npt.NDArray[np.bool_]

    @property
    def known(self) -> bool:
        """Whether any label is known, and some of it is noise."""
        return len(self.kinds) > 1

    def of_rows(self, dialogue_ids: pa.Array, turns: Floats) -> Ints:
        """Per ledger row its kind; `len(kinds)` where unknown. A turn that a label does not name is clean."""
        if not len(self.ids):
            return np.full(len(dialogue_ids), len(self.kinds), dtype=np.int64)
        found = pc.fill_null(pc.index_in(dialogue_ids, value_set=self.ids), -1).to_numpy(zero_copy_only=False)
        found = found.astype(np.int64)
        kinds = np.where(found >= 0, self.codes[found], len(self.kinds))
        by_turn = (found >= 0) & self.named[found] & np.isfinite(turns)
        keys = found * _TURN_SPAN + np.nan_to_num(turns).astype(np.int64)
        kinds[by_turn & ~np.isin(keys, self.turns)] = 0
        return kinds


@dataclass(frozen=True)
class Audit:
    """A ledger in sums. Arrays over kinds K have one more entry, last, for rows without a label.

    Attributes:
        rows: Units seen, over all epochs.
        unit: `turn` or `dialogue`.
        epochs: How many epochs the rows cover.
        judged: Rows that had a threshold.
        non_finite: Rows whose loss was not finite.
        kinds: Kinds of noise, `clean` first.
        kind_rows: Rows per kind, shape (K + 1,).
        kind_flagged: Flagged rows per kind, shape (K + 1,).
        kind_full: Rows of weight 1 per kind, shape (K + 1,).
        kind_weight: Sum of weights per kind, shape (K + 1,).
        below_one: Rows of weight under 1 per kind and bin of the weight, shape (K + 1, BINS).
        window_steps: Middle step of each window, shape (W,).
        kind_window: Rows and flagged rows per kind and window, shape (2, K + 1, W).
        groups: Per turn group: rows, flagged rows, rows with a threshold, sum of thresholds; shape (4, W).
        dialogues: One row per dialogue: `id`, `rows`, `flagged`, `non_finite`, `weight`, `loss`, `excess` (means;
            null where nothing was finite). Excess is loss minus threshold.
    """

    rows: int
    unit: str
    epochs: int
    judged: int
    non_finite: int
    kinds: tuple[str, ...]
    kind_rows: Floats
    kind_flagged: Floats
    kind_full: Floats
    kind_weight: Floats
    below_one: Floats
    window_steps: Floats
    kind_window: Floats
    groups: dict[int, Floats]
    dialogues: pa.Table

    @property
    def flag_rate(self) -> float:
        """Share of all rows that were flagged."""
        return float(self.kind_flagged.sum()) / max(1, self.rows)

    @property
    def mean_weight(self) -> float:
        """Mean weight over all rows."""
        return float(self.kind_weight.sum()) / max(1, self.rows)

    @property
    def weighted(self) -> bool:
        """Whether any row was turned down."""
        return float(self.kind_full.sum()) < self.rows


def read_labels(path: Path) -> Labels:
    """Read the noise labels of `dialogues.parquet`; a label that cannot be read counts as unknown.

    Raises:
        DataError: The file is no Parquet file with the columns `id` and `noise`.
    """
    ids: list[str] = []
    codes: list[int] = []
    named: list[bool] = []
    turns: list[int] = []
    kinds = {"clean": 0}
    for batch in read_batches(path, ("id", "noise")):
        for dialogue_id, noise in zip(batch["id"].to_pylist(), batch["noise"].to_pylist(), strict=True):
            label = read_label(noise)
            if label is None or dialogue_id is None:
                continue
            kind, noisy_turns = label
            turns.extend(len(ids) * _TURN_SPAN + turn for turn in noisy_turns)
            ids.append(dialogue_id)
            codes.append(kinds.setdefault(kind, len(kinds)))
            named.append(bool(noisy_turns))
    return Labels(
        pa.array(ids, pa.string()), np.array(codes, np.int64), tuple(kinds), np.array(sorted(turns), np.int64),
        np.array(named, np.bool_),
    )  # fmt: skip


def read_label(noise: str | None) -> tuple[str, list[int]] | None:
    """The kind of a noise label and the turns it names; None where it is unknown or cannot be read."""
    try:
        label: Any = json.loads(noise) if noise else None
    except ValueError:
        return None
    if not isinstance(label, dict) or not isinstance(label.get("kind"), str):
        return None
    turns = label.get("turns")
    turns = turns if isinstance(turns, list) else []
    return label["kind"], [turn for turn in turns if type(turn) is int and 0 <= turn < _TURN_SPAN]


def no_labels() -> Labels:
    """Labels of a run of which nothing is known."""
    return Labels(
        pa.array([], pa.string()), np.empty(0, np.int64), ("clean",), np.empty(0, np.int64), np.empty(0, bool)
    )


def audit_ledger(path: Path, labels: Labels) -> Audit:
    """Sum up a ledger.

    Args:
        path: `ledger.parquet` of a run.
        labels: Known noise; `no_labels()` where nothing is known.

    Raises:
        DataError: The file is no ledger, or holds no row.
    """
    first, last, rows, epochs = _extent(path)
    windows = max(1, min(MAX_WINDOWS, last - first + 1, max(4, rows // _ROWS_PER_WINDOW)))
    sums = _Sums(len(labels.kinds) + 1, windows)
    parts = []
    for batch in read_batches(path, _COLUMNS):
        column = {name: _numpy(batch[name]) for name in _COLUMNS[1:]}
        kinds = labels.of_rows(batch["dialogue_id"], column["turn"])
        window = ((np.nan_to_num(column["step"], nan=first) - first) * windows / (last - first + 1)).astype(np.int64)
        sums.add(column, kinds, window)
        parts.append(_per_dialogue(batch["dialogue_id"], column))
    edges = first + np.arange(windows + 1) * (last - first + 1) / windows
    return Audit(
        rows=rows,
        unit="turn" if sums.with_turn else "dialogue",
        epochs=epochs,
        judged=sums.judged,
        non_finite=sums.non_finite,
        kinds=labels.kinds,
        kind_rows=sums.kind[0],
        kind_flagged=sums.kind[1],
        kind_full=sums.kind[2],
        kind_weight=sums.kind[3],
        below_one=sums.below_one,
        window_steps=(edges[:-1] + edges[1:] - 1) / 2,
        kind_window=sums.kind_window,
        groups=dict(sorted(sums.groups.items())),
        dialogues=_merge_dialogues(pa.concat_tables(parts)),
    )


class _Sums:
    """Running sums over batches of rows; see `Audit` for the shapes."""

    def __init__(self, kinds: int, windows: int) -> None:
        self.kinds, self.windows = kinds, windows
        self.judged = self.non_finite = self.with_turn = 0
        self.kind = np.zeros((4, kinds))
        self.below_one = np.zeros((kinds, BINS))
        self.kind_window = np.zeros((2, kinds, windows))
        self.groups: dict[int, Floats] = {}

    def add(self, column: dict[str, Floats], kinds: Ints, window: Ints) -> None:
        weight = np.nan_to_num(column["weight"])
        flagged = np.nan_to_num(column["flagged"])
        judged = np.isfinite(column["threshold"])
        full = weight >= 1.0
        self.judged += int(judged.sum())
        self.non_finite += int((~np.isfinite(column["loss"])).sum())
        self.with_turn += int(np.isfinite(column["turn"]).sum())
        for place, values in enumerate((np.ones_like(weight), flagged, full.astype(np.float64), weight)):
            self.kind[place] += np.bincount(kinds, values, self.kinds)
        bins = np.clip((weight * BINS).astype(np.int64), 0, BINS - 1)
        cells = np.bincount((kinds * BINS + bins)[~full], minlength=self.kinds * BINS)
        self.below_one += cells.reshape(self.kinds, BINS)
        cell = kinds * self.windows + window
        for place, values in enumerate((np.ones_like(weight), flagged)):
            counted = np.bincount(cell, values, self.kinds * self.windows)
            self.kind_window[place] += counted.reshape(self.kinds, self.windows)
        group = column["group"]
        threshold = np.where(judged, column["threshold"], 0.0)
        for number in np.unique(group[np.isfinite(group)]):
            inside = group == number
            held = self.groups.setdefault(int(number), np.zeros((4, self.windows)))
            for place, values in enumerate((np.ones_like(weight), flagged, judged.astype(np.float64), threshold)):
                held[place] += np.bincount(window[inside], values[inside], self.windows)


def _extent(path: Path) -> tuple[int, int, int, int]:
    """First step, last step, rows, and number of epochs."""
    first: int | None = None
    last = rows = 0
    epochs: set[int] = set()
    for batch in read_batches(path, ("step", "epoch")):
        rows += batch.num_rows
        ends = pc.min_max(batch["step"]).as_py()
        if ends["min"] is not None:
            first = ends["min"] if first is None else min(first, ends["min"])
            last = max(last, ends["max"])
        epochs.update(epoch for epoch in pc.unique(batch["epoch"]).to_pylist() if epoch is not None)
    if not rows:
        raise DataError("the ledger holds no row", path=path)
    return first or 0, last, rows, max(1, len(epochs))


def read_batches(path: Path, columns: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
    """Some columns of a Parquet file, a batch of rows at a time.

    Raises:
        DataError: The file is no Parquet file, or lacks one of the columns.
    """
    try:
        with pq.ParquetFile(path) as file:
            missing = [name for name in columns if name not in file.schema_arrow.names]
            if missing:
                raise DataError(f"expected the columns {', '.join(columns)}; missing: {', '.join(missing)}", path=path)
            for batch in file.iter_batches(batch_size=_BATCH, columns=list(columns)):
                # Writers may choose large or dictionary-encoded strings; the page needs one kind.
                yield pa.record_batch(
                    [_plain(batch[name]) for name in columns],
                    names=list(columns),
                )
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"expected a Parquet file ({error})", path=path) from error


def _plain(column: pa.Array) -> pa.Array:
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    return column.cast(pa.string()) if pa.types.is_string(kind) or pa.types.is_large_string(kind) else column


def _numpy(column: pa.Array) -> Floats:
    """A numeric or boolean column as floats; null is NaN."""
    values: Floats = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return values


def _per_dialogue(ids: pa.Array, column: dict[str, Floats]) -> pa.Table:
    loss, threshold = column["loss"], column["threshold"]
    with np.errstate(invalid="ignore"):
        excess = loss - threshold
    table = pa.table(
        {
            "id": ids,
            "weight": pa.array(column["weight"], from_pandas=True),
            "loss": pa.array(np.where(np.isfinite(loss), loss, np.nan), from_pandas=True),
            "excess": pa.array(np.where(np.isfinite(excess), excess, np.nan), from_pandas=True),
            "flagged": pa.array(np.nan_to_num(column["flagged"])),
            "non_finite": pa.array((~np.isfinite(loss)).astype(np.float64)),
        }
    )
    sums = [(name, "sum") for name in ("weight", "loss", "excess", "flagged", "non_finite")]
    counts = [(name, "count") for name in ("flagged", "weight", "loss", "excess")]
    return table.group_by("id").aggregate(sums + counts)


def _merge_dialogues(parts: pa.Table) -> pa.Table:
    names = [name for name in parts.column_names if name != "id"]
    merged = parts.group_by("id").aggregate([(name, "sum") for name in names])

    def mean(name: str) -> pa.Array:
        count = merged[f"{name}_count_sum"].cast(pa.float64())
        return pc.divide(
            merged[f"{name}_sum_sum"], pc.if_else(pc.greater(count, 0), count, pa.scalar(None, pa.float64()))
        )

    return pa.table(
        {
            "id": merged["id"],
            "rows": merged["flagged_count_sum"],
            "flagged": merged["flagged_sum_sum"].cast(pa.int64()),
            "non_finite": merged["non_finite_sum_sum"].cast(pa.int64()),
            "weight": mean("weight"),
            "loss": mean("loss"),
            "excess": mean("excess"),
        }
    )
