"""How the figures of a study look, the same in Markdown and on the page."""

from __future__ import annotations

from collections.abc import Sequence

from turnwise.statistics.seeds import Estimate

MISSING = "–"


def figure(value: float | None, *, percent: bool = False, signed: bool = False) -> str:
    """Four significant digits, whole numbers in full, shares as whole per cent if asked for; a dash for None."""
    if value is None:
        return MISSING
    sign = "+" if signed and value > 0 else ""
    if percent:
        return f"{sign}{round(100 * value)}\u00a0%"
    if abs(value) >= 10_000 or (abs(value) >= 10 and float(value).is_integer()):
        return f"{sign}{value:,.0f}"
    return f"{sign}{value:#.4g}".rstrip(".") if value else "0"


def interval(found: Estimate, *, percent: bool = False) -> str:
    """`[low, high]`, or nothing where there is none."""
    if found.low is None or found.high is None:
        return ""
    return f"[{figure(found.low, percent=percent)}, {figure(found.high, percent=percent)}]"


def estimate_text(found: Estimate | None, seeds: int, *, percent: bool = False, signed: bool = False) -> str:
    """Mean and interval; with `n=` where it is not the study's number of seeds."""
    if found is None or found.mean is None:
        return MISSING
    parts = [figure(found.mean, percent=percent, signed=signed), interval(found, percent=percent)]
    if found.n != seeds:
        parts.append(f"n={found.n}")
    return " ".join(filter(None, parts))


def and_list(items: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
