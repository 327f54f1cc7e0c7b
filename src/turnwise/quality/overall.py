"""One figure for the quality of a data set from the five aspects of the ReSURE paper (section 4.1, Table 6)."""

from __future__ import annotations

from typing import Literal

Tier = Literal["high", "normal", "low"]

HIGH_FROM = 30.0
NORMAL_FROM = 27.0


def overall_quality(
    connection: float, quality: float, information_density: float, friendliness: float, reward: float
) -> float:
    """Connection + Quality + 100 * Information Density + Friendliness + Reward.

    Args:
        connection: Mean grade, 0 to 10.
        quality: Mean grade, 0 to 10.
        information_density: Information units per word.
        friendliness: Mean grade, 0 to 10.
        reward: Mean score of a reward model, unbounded.
    """
    return connection + quality + 100 * information_density + friendliness + reward


def tier(overall: float, *, high_from: float = HIGH_FROM, normal_from: float = NORMAL_FROM) -> Tier:
    """The group of an overall quality.

    The paper names the groups and no rule. Its six figures (33.17, 31.18, 31.17 high; 27.61, 27.02 normal; 26.52 low)
    fit any cut-offs in (27.61, 31.17] and (26.52, 27.02]; 30 and 27 are the round numbers among them. Cutting at the
    two widest gaps would not give the paper's groups (33.17 would stand alone).

    Args:
        overall: See `overall_quality`.
        high_from: Least overall quality of the group `high`.
        normal_from: Least overall quality of the group `normal`.

    Raises:
        ValueError: The cut-offs are not in order.
    """
    if normal_from > high_from:
        raise ValueError(f"expected normal_from of at most high_from, found {normal_from} and {high_from}")
    if overall >= high_from:
        return "high"
    return "normal" if overall >= normal_from else "low"
