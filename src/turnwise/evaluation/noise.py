"""How well a run's ledger finds dialogues or turns that are known to be noise."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc

from turnwise.evaluation.statistics import auroc, precision_at
from turnwise.training.ledger import Ledger


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


def noise_detection(ledger: Ledger) -> NoiseDetection | None:
    """Compare a ledger with the labels in `metadata["noise"]` of its dialogues; None where nothing is labelled.

    A unit is noise where its dialogue's label has a kind other than `clean` and, for the unit `turn`, lists the turn.
    Units with a non-finite loss are the least reliable of all, as in the ledger's order.
    """
    labels = ledger.noise_labels()
    table = ledger.by_unit()
    known = [row for row, name in enumerate(table["dialogue_id"].to_pylist()) if name in labels]
    if not known:
        return None
    table = table.take(known)
    noise = np.array(
        [
            _is_noise(labels[name], turn)
            for name, turn in zip(table["dialogue_id"].to_pylist(), table["turn"].to_pylist(), strict=True)
        ]
    )
    # by_unit sorts from the least reliable on; units that it cannot tell apart share a rank.
    # (NaN is unlike itself, so it is named.)
    columns = (map(str, table[name].to_pylist()) for name in ("mean_weight", "mean_excess", "mean_loss"))
    keys = list(zip(*columns, strict=True))
    rank = np.cumsum([0, *(a != b for a, b in itertools.pairwise(keys))])
    weight = np.asarray(table["mean_weight"], dtype=np.float64)
    loss = np.nan_to_num(np.asarray(table["mean_loss"], dtype=np.float64), nan=np.inf)
    flagged = np.asarray(pc.greater_equal(pc.multiply(table["flagged"], 2), table["epochs"]))
    share = float(flagged.mean())
    return NoiseDetection(
        auroc=auroc(-rank.astype(np.float64), noise),
        auroc_weight=auroc(-weight, noise),
        auroc_loss=auroc(loss, noise),
        precision_at_flagged=precision_at(-rank.astype(np.float64), noise, share) if share > 0 else None,
        flagged_share=share,
        noise_share=float(noise.mean()),
        units=len(noise),
    )


def _is_noise(label: Mapping[str, Any], turn: int | None) -> bool:
    if label.get("kind", "clean") == "clean":
        return False
    return turn is None or turn in label.get("turns", ())
