"""Table 6 of the ReSURE paper, recomputed from its columns."""

from __future__ import annotations

import itertools

import pytest

from turnwise.quality.overall import overall_quality, tier

TABLE_6 = {
    "ChatAlpaca": ((8.34, 9.49, 0.0286, 9.48, 3.00), 33.17, "high"),
    "M2Lingual": ((8.54, 9.37, 0.0263, 9.14, 1.49), 31.17, "high"),
    "UltraChat": ((8.46, 9.06, 0.0233, 9.41, 1.92), 31.18, "high"),
    "WildChat": ((7.80, 8.78, 0.0196, 8.90, 0.17), 27.61, "normal"),
    "ShareGPT": ((8.10, 8.69, 0.0174, 8.82, -0.33), 27.02, "normal"),
    "OpenAssistant": ((7.54, 7.57, 0.0292, 8.21, 0.28), 26.52, "low"),
}


@pytest.mark.parametrize(("aspects", "overall", "group"), TABLE_6.values(), ids=TABLE_6)
def test_table_6_of_the_paper(aspects, overall, group):
    """Con + Qu + 100 ID + Fr + Re, for example 8.34 + 9.49 + 2.86 + 9.48 + 3.00 = 33.17."""
    assert overall_quality(*aspects) == pytest.approx(overall)
    assert tier(overall_quality(*aspects)) == group


def test_the_two_widest_gaps_would_not_give_the_papers_groups():
    """Why cut-offs are fixed: the widest gaps are 31.17 - 27.61 and 33.17 - 31.18, which would leave 33.17 alone."""
    figures = sorted(overall for _, overall, _ in TABLE_6.values())
    gaps = sorted((b - a, a) for a, b in itertools.pairwise(figures))
    assert {below for _, below in gaps[-2:]} == {27.61, 31.18}


def test_cut_offs_can_be_moved_and_must_be_in_order():
    assert tier(28.0, high_from=27.5) == "high"
    assert tier(27.0) == "normal"
    assert tier(26.99) == "low"
    with pytest.raises(ValueError, match="high_from"):
        tier(28.0, high_from=20.0)
