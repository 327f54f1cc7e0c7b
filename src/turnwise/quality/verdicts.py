"""Verdicts that are more than one number: a grade per turn, and counts of units and words."""

from __future__ import annotations

import math
from typing import Any, Literal

from turnwise.judging.judge import Verdict
from turnwise.judging.objects import json_objects

Density = Literal["counted", "published"]


def last_object(text: str, key: str) -> dict[str, Any] | None:
    """The last JSON object of a reply that has a key; objects inside others do not count.

    The reply may be the object alone, in a Markdown fence, or with words around it.
    """
    found: list[dict[str, Any]] = [one for one in json_objects(text) if key in one]
    return found[-1] if found else None


def turn_verdict(text: str) -> Verdict:
    """`{"evaluations": [{"turn": 1, "score": 8}, ...]}`: the score of turn k under `str(k - 1)`.

    A turn that is graded twice with different scores has none, and so has one that the reply leaves out. Turns that the
    conversation does not have are dropped by the rubric, which does not ask for them; `notes` counts all entries.
    """
    found = last_object(text, "evaluations")
    entries = found["evaluations"] if found is not None else None
    if not isinstance(entries, list):
        return Verdict(unscored="unparsable")
    scores: dict[str, set[float]] = {}
    for entry in entries:
        turn = as_number(entry.get("turn")) if isinstance(entry, dict) else None
        score = as_number(entry.get("score")) if isinstance(entry, dict) else None
        if turn is not None and turn == int(turn) and score is not None:
            scores.setdefault(str(int(turn) - 1), set()).add(score)
    return Verdict(
        scores={turn: next(iter(given)) for turn, given in scores.items() if len(given) == 1},
        notes={"entries": len(entries)},
    )


def density_verdict(text: str, words: int, density: Density) -> Verdict:
    """`{"units": [...], "number_of_units": I, "number_of_words": N}`: information units per word.

    Args:
        text: The reply.
        words: The conversation's words, counted by program.
        density: `counted`: the different units that are listed, by `words`. `published`: the two numbers as stated.
    """
    found = last_object(text, "number_of_units")
    if found is None:
        return Verdict(unscored="unparsable")
    listed = found.get("units")
    kept = (
        {unit.strip().casefold() for unit in listed if isinstance(unit, str)} - {""}
        if isinstance(listed, list)
        else None
    )
    stated, said = as_number(found.get("number_of_units")), as_number(found.get("number_of_words"))
    notes = {
        "units_listed": None if kept is None else len(kept),
        "units_stated": stated,
        "words_counted": words,
        "words_stated": said,
    }
    units = stated if density == "published" else None if kept is None else float(len(kept))
    by = said if density == "published" else float(words)
    if units is None or by is None or by <= 0:
        return Verdict(unscored="unparsable" if words else "not_applicable", notes=notes)
    return Verdict(scores={"information_density": units / by}, notes=notes)


def as_number(value: Any) -> float | None:
    """A finite number, or a text that is one; None for anything else, true and false included."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
