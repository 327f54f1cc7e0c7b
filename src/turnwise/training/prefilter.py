"""Train on the best-scored share of the dialogues only: the baseline to weighting them while training.

The scores come from anywhere: a key that a reward model or a judge left in the dialogues' metadata, or a column of a
file that names dialogues by their id.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from turnwise.config import StrictModel
from turnwise.data.records import open_source
from turnwise.dialogue import Dialogue
from turnwise.errors import DataError
from turnwise.run import atomic_path

PREFILTER_NAME = "prefilter.parquet"

_SHOWN = 3
"""How many ids or keys an error names."""


class PrefilterConfig(StrictModel):
    """Which dialogues to train on, by a score that they have before training."""

    score: str = Field(
        description="Where the score is: a key of the dialogue's metadata, or of the records in `scores`; a dot leads "
        "into a nested object."
    )
    keep: float = Field(0.75, gt=0, le=1, description="Share to keep; of n scored dialogues keep * n, rounded up.")
    scores: str | None = Field(
        None, description="JSON Lines or Parquet file of scores, one record per dialogue; null reads the metadata."
    )
    id_key: str = Field("id", description="Key of the dialogue's id in `scores`.")
    by_source: bool = Field(False, description="Keep the share of each source rather than of all dialogues.")
    higher_is_better: bool = Field(True, description="False keeps the lowest scores.")
    missing: Literal["error", "drop", "keep"] = Field(
        "error", description="What becomes of a dialogue without a score (absent, null or NaN)."
    )


@dataclass(frozen=True, slots=True)
class Prefiltered:
    """What a prefilter decided, by dialogue and in their order.

    Attributes:
        ids: The dialogues' ids.
        scores: Their scores, None where there is none.
        kept: Whether each is trained on.
    """

    ids: list[str]
    scores: list[float | None]
    kept: list[bool]

    @property
    def dropped(self) -> dict[str, int]:
        """Counts of what was left out, by reason."""
        left_out = [score for score, kept in zip(self.scores, self.kept, strict=True) if not kept]
        reasons = {"score below the share to keep": sum(score is not None for score in left_out)}
        reasons["no score"] = len(left_out) - reasons["score below the share to keep"]
        return {reason: count for reason, count in reasons.items() if count}

    def write(self, path: str | Path) -> None:
        """Write a Parquet table with the columns `id`, `score` (null where there is none) and `kept`."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = pa.schema([("id", pa.string()), ("score", pa.float64()), ("kept", pa.bool_())])
        with atomic_path(path) as partial:
            pq.write_table(pa.table([self.ids, self.scores, self.kept], schema=schema), partial)


def prefilter(dialogues: Sequence[Dialogue], config: PrefilterConfig) -> tuple[list[Dialogue], Prefiltered]:
    """Keep the best-scored share of some dialogues, in their order.

    Args:
        dialogues: The dialogues, with ids that are unique.
        config: Which to keep.

    Returns:
        The dialogues to train on, and what was decided about each.

    Raises:
        DataError: A score is no number or absent (and `missing` is `error`), the file of scores cannot be read, or
            nothing is left.
    """
    if config.scores is None:
        found = [_number(_look_up(one.metadata, config.score), f"dialogue {one.id!r}", config) for one in dialogues]
    else:
        by_id = read_scores(config)
        found = [by_id.get(one.id) for one in dialogues]
    if config.missing == "error":
        _refuse_missing(dialogues, found, config)
    sources = [one.source or "" for one in dialogues]
    kept = best_share(
        found,
        config.keep,
        groups=sources if config.by_source else None,
        higher_is_better=config.higher_is_better,
        keep_missing=config.missing == "keep",
    )
    if not any(kept):
        raise DataError(
            f"the prefilter leaves nothing: none of {len(dialogues)} training dialogues has a score {config.score!r}",
            hint=_where_to_look(dialogues, config),
        )
    chosen = [one for one, keeps in zip(dialogues, kept, strict=True) if keeps]
    return chosen, Prefiltered([one.id for one in dialogues], found, kept)


def best_share(
    scores: Sequence[float | None],
    keep: float,
    *,
    groups: Sequence[str] | None = None,
    higher_is_better: bool = True,
    keep_missing: bool = False,
) -> list[bool]:
    """Which of some scores are in the best share.

    Of n scores, `keep * n` are kept, rounded up (so at least one); what has no score is not counted in n. Of equal
    scores the earlier ones are kept first. The product is exact: 0.7 of 10 is 7, not the 8 that binary fractions
    round up to.

    Args:
        scores: N scores; None where there is none.
        keep: The share, above 0 and at most 1.
        groups: N names: the share is taken of each group. None takes it of all.
        higher_is_better: False keeps the lowest.
        keep_missing: Whether what has no score is kept.

    Returns:
        N truth values.
    """
    members: dict[str, list[int]] = defaultdict(list)
    for position, score in enumerate(scores):
        if score is not None:
            members["" if groups is None else groups[position]].append(position)
    kept = [keep_missing and score is None for score in scores]
    for positions in members.values():
        # Sorting is stable either way round, so equal scores stay in order.
        ranked = sorted(positions, key=lambda position: scores[position] or 0.0, reverse=higher_is_better)
        for position in ranked[: math.ceil(Fraction(str(keep)) * len(ranked))]:
            kept[position] = True
    return kept


def read_scores(config: PrefilterConfig) -> dict[str, float | None]:
    """The scores of `config.scores` by dialogue id.

    Raises:
        DataError: The file cannot be read, a record has no id, an id comes twice, or a score is no number.
    """
    path = Path(config.scores or "")
    if not path.is_file():
        raise DataError("no such file of scores", path=path, hint="see the setting prefilter.scores")
    found: dict[str, float | None] = {}
    for row in open_source(path).rows:
        if isinstance(row, DataError):
            raise row
        name = row.value.get(config.id_key) if isinstance(row.value, Mapping) else None
        if name is None:
            raise DataError(
                f"expected a record with the dialogue's id under {config.id_key!r}",
                path=path,
                line=row.line,
                hint="prefilter.id_key names another key",
            )
        if str(name) in found:
            raise DataError(f"the dialogue {str(name)!r} has a score already", path=path, line=row.line)
        found[str(name)] = _number(_look_up(row.value, config.score), f"{path}:{row.line}", config)
    return found


def _look_up(record: Mapping[str, Any], key: str) -> Any:
    """The value under a key that may itself hold dots, or under a path of keys; None where there is none."""
    if key in record:
        return record[key]
    first, dot, rest = key.partition(".")
    inner = record.get(first)
    return _look_up(inner, rest) if dot and isinstance(inner, Mapping) else None


def _number(value: Any, where: str, config: PrefilterConfig) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DataError(f"{where}: expected a number as the score {config.score!r}, found {value!r}")
    return None if math.isnan(value) else float(value)


def _refuse_missing(dialogues: Sequence[Dialogue], scores: Sequence[float | None], config: PrefilterConfig) -> None:
    missing = [one for one, score in zip(dialogues, scores, strict=True) if score is None]
    if not missing:
        return
    names = ", ".join(repr(one.id) for one in missing[:_SHOWN]) + (", ..." if len(missing) > _SHOWN else "")
    raise DataError(
        f"{len(missing)} of {len(dialogues)} training dialogues have no score {config.score!r}: {names}",
        hint=f"set prefilter.missing to drop or keep, or {_where_to_look(missing, config)}",
    )


def _where_to_look(dialogues: Sequence[Dialogue], config: PrefilterConfig) -> str:
    if config.scores is not None:
        return f"check that {config.scores} has these ids under {config.id_key!r} and numbers under {config.score!r}"
    keys = sorted(dialogues[0].metadata)
    return f"check prefilter.score: the metadata of {dialogues[0].id!r} has the keys {', '.join(keys) or '(none)'}"
