"""A question file of MT-Bench's form, with questions of our own."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def write_lines(path: Path, records: Iterable[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")


def write_questions(folder: Path, count: int) -> None:
    folder.mkdir()
    questions = [
        {
            "question_id": 200 + number,
            "category": "writing" if number % 2 else "stem",
            "turns": [f"The first question, number {number}?", f"The second question, number {number}?"],
        }
        for number in range(count)
    ]
    write_lines(folder / "question.jsonl", questions)
