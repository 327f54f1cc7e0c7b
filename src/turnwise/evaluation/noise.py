"""How well a run's ledger finds dialogues or turns that are known to be noise."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from turnwise.statistics.ranking import auroc, precision_at
from turnwise.training.ledger import Ledger

Unit = Literal["ledger", "dialogue"]
"""What is told apart: the ledger's own units, or whole dialogues also where its units are turns."""

CLEAN = "clean"


@dataclass(frozen=True, slots=True)
class NoiseDetection:
    """Agreement of the ledger with labels of planted noise.

    Attributes:
        auroc: Of the ledger's own order (lowest mean weight, then highest excess over the threshold, then highest
            loss), the one that `turnwise ledger` lists in.
        auroc_weight: Of the mean weight alone; ties, such as all units of weight 1, count half.
        auroc_loss: Of the mean loss alone.
        precision_at_flagged: Among as many of the least reliable units as were flagged in at least half of their
            epochs, the share that is noise; None where none was.
        flagged_share: That share of units.
        noise_share: Share of units that is noise.
        units: How many units have a label.
    """

    auroc: float | None
    auroc_weight: float | None
    auroc_loss: float | None
    precision_at_flagged: float | None
    flagged_share: float
    noise_share: float
    units: int

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        return asdict(self)


def noise_detection(ledger: Ledger, *, unit: Unit = "ledger") -> NoiseDetection | None:
    """Compare a ledger with the labels in `metadata["noise"]` of its dialogues; None where nothing is labelled.

    A unit is noise where its dialogue's label has a kind other than `clean` and, for the unit `turn`, lists the turn.
    Units with a non-finite loss are the least reliable of all, as in the ledger's order.

    Args:
        ledger: The ledger of a run.
        unit: `ledger` takes its own units. `dialogue` takes whole dialogues; where the ledger's units are turns, a
            dialogue has the means over its turns.
    """
    units = _labelled_units(ledger, unit)
    return None if units is None else _detection(units)


def noise_detection_by_kind(ledger: Ledger, *, unit: Unit = "ledger") -> dict[str, NoiseDetection]:
    """As `noise_detection`, for each kind of noise alone: units of that kind against the clean ones.

    Args:
        ledger: The ledger of a run.
        unit: As for `noise_detection`.

    Returns:
        By kind, in alphabetical order; empty where nothing is labelled as noise.
    """
    units = _labelled_units(ledger, unit)
    if units is None:
        return {}
    kinds = sorted(set(units.kinds) - {CLEAN})
    return {kind: _detection(units.only(kind)) for kind in kinds}


@dataclass(frozen=True, slots=True)
class _Units:
    """Labelled units from the least reliable on.

    Attributes:
        kinds: Of the noise, or `clean`.
        unreliability: Minus the place in the order; units that cannot be told apart share it.
        weight: Mean weight.
        loss: Mean loss, infinite where it was not finite.
        flagged: Whether it was flagged in at least half of its epochs.
    """

    kinds: list[str]
    unreliability: npt.NDArray[np.float64]
    weight: npt.NDArray[np.float64]
    loss: npt.NDArray[np.float64]
    flagged: npt.NDArray[np.bool_]

    def only(self, kind: str) -> _Units:
        rows = [row for row, found in enumerate(self.kinds) if found in (kind, CLEAN)]
        kinds = [self.kinds[row] for row in rows]
        return _Units(kinds, self.unreliability[rows], self.weight[rows], self.loss[rows], self.flagged[rows])


def _detection(units: _Units) -> NoiseDetection:
    noise = np.array([kind != CLEAN for kind in units.kinds])
    share = float(units.flagged.mean())
    return NoiseDetection(
        auroc=auroc(units.unreliability, noise),
        auroc_weight=auroc(-units.weight, noise),
        auroc_loss=auroc(units.loss, noise),
        precision_at_flagged=precision_at(units.unreliability, noise, share) if share > 0 else None,
        flagged_share=share,
        noise_share=float(noise.mean()),
        units=len(noise),
    )


def _labelled_units(ledger: Ledger, unit: Unit) -> _Units | None:
    labels = ledger.noise_labels()
    table = ledger.by_unit()
    if unit == "dialogue" and table["turn"].null_count < len(table):
        table = _by_dialogue(table)
    known = [row for row, name in enumerate(table["dialogue_id"].to_pylist()) if name in labels]
    if not known:
        return None
    table = table.take(known)
    # The table is sorted from the least reliable on; units that it cannot tell apart share a rank.
    # (NaN is unlike itself, so it is named.)
    columns = (map(str, table[name].to_pylist()) for name in ("mean_weight", "mean_excess", "mean_loss"))
    keys = list(zip(*columns, strict=True))
    rank = np.cumsum([0, *(a != b for a, b in itertools.pairwise(keys))])
    return _Units(
        kinds=[
            _kind(labels[name], turn)
            for name, turn in zip(table["dialogue_id"].to_pylist(), table["turn"].to_pylist(), strict=True)
        ],
        unreliability=-rank.astype(np.float64),
        weight=np.asarray(table["mean_weight"], dtype=np.float64),
        loss=np.nan_to_num(np.asarray(table["mean_loss"], dtype=np.float64), nan=np.inf),
        flagged=np.asarray(pc.greater_equal(pc.multiply(table["flagged"], 2), table["epochs"])),
    )


def _by_dialogue(turns: pa.Table) -> pa.Table:
    """One row per dialogue from one per turn, sorted as `Ledger.by_unit` sorts."""
    means = ("mean_weight", "mean_excess", "mean_loss")
    table = turns.group_by("dialogue_id").aggregate(
        [*((name, "mean") for name in means), ("flagged", "sum"), ("epochs", "sum")]
    )
    columns = {"flagged_sum": "flagged", "epochs_sum": "epochs", **{f"{name}_mean": name for name in means}}
    table = table.rename_columns([columns.get(name, name) for name in table.column_names])
    table = table.append_column("turn", pa.nulls(len(table), pa.int32()))
    order = [("mean_weight", "ascending"), ("mean_excess", "descending"), ("mean_loss", "descending")]
    return table.take(pc.sort_indices(table, sort_keys=[*order, ("dialogue_id", "ascending")]))


def _kind(label: Mapping[str, Any], turn: int | None) -> str:
    kind = str(label.get("kind", CLEAN))
    return kind if turn is None or turn in label.get("turns", ()) else CLEAN
