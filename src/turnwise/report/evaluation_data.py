"""Answers and verdicts of an evaluation as the data that the page's script shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from turnwise.dialogue import Dialogue
from turnwise.evaluation.answers import read_answers
from turnwise.evaluation.steps import ANSWERS_NAME, BASELINE_NAME
from turnwise.evaluation.stored_judgments import JUDGMENTS_NAME, iterate_judgments
from turnwise.judging.records import Judgment

CHARACTER_CAP = 40_000_000
"""Most characters of answers and verdicts on one page; browsers open it in seconds."""

_GROUPS = ("category", "group", "task", "source")


@dataclass
class Answers:
    """What the list shows.

    Attributes:
        data: `mode` and `items`, as the script reads them.
        total: Dialogues in all.
        missing: Why there are none.
    """

    data: dict[str, Any]
    total: int = 0
    missing: str | None = None

    @property
    def left_out(self) -> int:
        """Dialogues that are not on the page."""
        return self.total - len(self.data["items"])


def read_evaluation_data(folder: Path, *, pairwise: bool, cap: int = CHARACTER_CAP) -> Answers:
    """Read answers and judgments of a run folder, one dialogue at a time, up to `cap` characters.

    Raises:
        DataError: A file holds something else than answers or judgments.
    """
    found = Answers({"mode": "pairwise" if pairwise else "single", "items": []})
    for name in (ANSWERS_NAME, JUDGMENTS_NAME):
        if not (folder / name).is_file():
            found.missing = f"The run folder holds no {name}."
            return found
    judged: dict[str, list[Judgment]] = {}
    for judgment in iterate_judgments(folder / JUDGMENTS_NAME):
        judged.setdefault(judgment.item, []).append(judgment)
    left = cap
    for answer, other in _answers(folder, pairwise=pairwise):
        found.total += 1
        left -= answer.num_characters + (other.num_characters if other is not None else 0)
        judgments = judged.get(answer.id, [])
        left -= sum(len(one.text) for one in judgments)
        if left >= 0 or not found.data["items"]:
            found.data["items"].append(_item(answer, other, judgments))
    return found


def _answers(folder: Path, *, pairwise: bool) -> Iterator[tuple[Dialogue, Dialogue | None]]:
    if not pairwise or not (folder / BASELINE_NAME).is_file():
        yield from ((answer, None) for answer in read_answers(folder / ANSWERS_NAME))
        return
    yield from zip(read_answers(folder / ANSWERS_NAME), read_answers(folder / BASELINE_NAME), strict=False)


def _item(answer: Dialogue, other: Dialogue | None, judgments: list[Judgment]) -> dict[str, Any]:
    named = (answer.metadata.get(name) for name in _GROUPS)
    category = next((str(one) for one in named if isinstance(one, str | int)), "")
    return {
        "id": answer.id,
        "category": category,
        "model": str(answer.metadata.get("model", "")),
        "baseline": "" if other is None else str(other.metadata.get("model", "")),
        "turns": _turns(answer, other),
        "judgments": [_judgment(one) for one in judgments],
    }


def _turns(answer: Dialogue, other: Dialogue | None) -> list[dict[str, Any]]:
    """Per reply: what was said before it, and what the baseline said in its place."""
    others = [] if other is None else other.replies
    turns: list[dict[str, Any]] = []
    before: list[list[str]] = []
    for message in answer.messages:
        if message.role != "assistant":
            before.append([message.role, message.text])
            continue
        turn = {"before": before, "reply": message.text, "failure": _failure(message.extra), "other": None}
        if len(turns) < len(others):
            reply = others[len(turns)]
            turn.update(other=reply.text, otherFailure=_failure(reply.extra))
        turns.append(turn)
        before = []
    if before:
        turns.append({"before": before, "reply": None, "failure": "", "other": None})
    return turns


def _failure(extra: Mapping[str, Any]) -> str:
    kind, detail = extra.get("failure"), extra.get("detail")
    return "" if not kind else f"{kind}: {detail}" if detail else str(kind)


def _judgment(one: Judgment) -> dict[str, Any]:
    record = one.to_dict()
    return {key: record[key] for key in record if key not in ("item", "model", "baseline", "metadata")}
