"""MT-Eval's dialogues, rebuilt from its raw files.

The main sets are not in the authors' repository; their program builds them from `raw_data/` with seed 111. This module
draws the same numbers in the same order, so selection, order and texts are the same: 168 dialogues with 1,170 turns
that a model answers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from turnwise.dialogue import Message
from turnwise.errors import ConfigError, DataError
from turnwise.evaluation.benchmark import Item
from turnwise.evaluation.mt_eval_texts import SYSTEM, GlobalInstruction, Wording, read_wording
from turnwise.llm.chat import Sampling

GROUPS = ("recollection", "expansion", "refinement", "follow-up")
"""The four groups, in the order of the tables."""

SAMPLING = Sampling(temperature=0, max_tokens=1024)
"""Greedy, as the authors' default."""

SEED = 111
PER_DIALOGUE = 10
"""Documents or questions in a recollection dialogue."""
REFINED = ("sum", "qa", "ner", "rewrite")
"""Tasks whose instructions are refined turn by turn."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a dialogue, as its scoring needs it.

    Attributes:
        id: As in the authors' files, for example `1_sum_2`.
        user: The user message.
        gold: The stored reply; "" where there is none.
        asked: Whether the model answers it (else it is history).
        instruction: The user message without the content that it is about.
    """

    id: str
    user: str
    gold: str = ""
    asked: bool = True
    instruction: str = ""

    @property
    def task(self) -> str:
        """`sum`, `qa`, `ner`, ...: the middle of ids such as `1_sum_2`; "" of others."""
        parts = self.id.split("_")
        return parts[1] if len(parts) == 3 else ""


@dataclass(frozen=True, slots=True)
class Case:
    """One dialogue with all that its scoring needs; only the item is shown to a model.

    Attributes:
        item: What the model is led through.
        group: Of `GROUPS`.
        task: `cls`, `global-inst`, `expansion`, `refinement` or `follow-up`.
        turns: In order; a turn's position is its `turn_index`.
        document: What the dialogue is about, for the judge.
        check: Of `global-inst`.
    """

    item: Item
    group: str
    task: str
    turns: tuple[Turn, ...]
    document: str = ""
    check: GlobalInstruction | None = None


def build_cases(folder: str | Path, groups: Sequence[str] = GROUPS) -> list[Case]:
    """All dialogues of these groups, in the order of `GROUPS`.

    Args:
        folder: Holds `documents.jsonl`, `global_inst.jsonl`, `refinement_multi_inst.jsonl` and
            `mt-bench_extended.jsonl` of the repository KwanWaiChung/MT-Eval (its folder `raw_data`).
        groups: Which groups; only their files are read.

    Returns:
        Cases with the ids `TASK/...`; the items' `metadata` has `group`, `task` and `category` (the kind of
        instruction, the two tasks, the topic of the document, the category of the question).

    Raises:
        ConfigError: A group that MT-Eval does not have.
        DataError: A file is missing or is not the benchmark's.
    """
    unknown = [group for group in groups if group not in GROUPS]
    if unknown or not groups:
        raise ConfigError(f"expected groups among {', '.join(GROUPS)}, found {', '.join(unknown) or 'none'}")
    wording = read_wording(Path(folder))
    builders: dict[str, list[tuple[Callable[..., list[Case]], tuple[str, ...]]]] = {
        "recollection": [
            (partial(_classification, wording=wording), ("documents.jsonl",)),
            (partial(_global_instructions, wording=wording), ("global_inst.jsonl",)),
        ],
        "expansion": [(partial(_expansion, wording=wording), ("refinement_multi_inst.jsonl", "documents.jsonl"))],
        "refinement": [(_refinement, ("refinement_multi_inst.jsonl", "documents.jsonl"))],
        "follow-up": [(_follow_up, ("mt-bench_extended.jsonl",))],
    }
    cases: list[Case] = []
    for group in GROUPS:
        for build, names in builders[group] if group in groups else []:
            paths = [Path(folder) / name for name in names]
            files = [read_lines(path) for path in paths]
            try:
                cases += build(*files)
            except (KeyError, IndexError, TypeError, ValueError) as error:
                raise DataError(
                    f"the file is not as MT-Eval's ({type(error).__name__}: {error})",
                    path=paths[0],
                    hint="take the files of raw_data/ in the repository KwanWaiChung/MT-Eval unchanged",
                ) from None
    return cases


def read_lines(path: Path) -> list[Any]:
    """The values of a JSON Lines file.

    Raises:
        DataError: The file cannot be read, or a line is not JSON.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        hint = "MT-Eval's folder holds raw_data/*.jsonl of the repository KwanWaiChung/MT-Eval"
        raise DataError("no such file", path=path, hint=hint) from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"the file cannot be read ({error})", path=path) from None
    values = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                values.append(json.loads(line))
            except json.JSONDecodeError as error:
                raise DataError(f"not JSON: {error}", path=path, line=number) from None
    return values


def _document(row: Row) -> str:
    """A document without its first paragraph, which tells the topic."""
    return str(row["gen_resp"].split("\n\n", 1)[1])


def _case(group: str, task: str, name: str, turns: Iterable[Turn], category: str, **more: Any) -> Case:
    turns = tuple(turns)
    messages = [Message("system", SYSTEM)]
    for turn in turns:
        messages.append(Message("user", turn.user))
        if turn.gold:
            messages.append(Message("assistant", turn.gold))
    answer_from = next(number for number, turn in enumerate(turns) if turn.asked)
    metadata = {"group": group, "task": task, "category": category}
    item = Item(f"{task}/{name}", messages, SAMPLING, answer_from, metadata)
    return Case(item, group, task, turns, **more)


def _classification(rows: list[Row], wording: Wording) -> list[Case]:
    """Ten dialogues of ten documents each, every document once, without the last three paragraphs."""
    articles = []
    for number, row in enumerate(rows, start=1):
        text = "\n\n".join(_document(row).split("\n\n")[:-3])
        while "\n\n" in text:
            text = text.replace("\n\n", "\n")
        articles.append(Turn(str(number), text, row["topic"]))
    Random(SEED).shuffle(articles)
    opening = Turn("instruction", wording.classify_all, "OK", asked=False)
    starts = range(0, len(articles), PER_DIALOGUE)
    return [
        _case("recollection", "cls", str(session), [opening, *articles[start : start + PER_DIALOGUE]], "cls")
        for session, start in enumerate(starts, start=1)
    ]


def _global_instructions(rows: list[Row], wording: Wording) -> list[Case]:
    """Two dialogues of ten questions for each kind of instruction; no question twice for one kind."""
    fitting: dict[str, list[Row]] = {}
    for row in rows:
        for kind in row["instructions"]:
            if kind in wording.instructions:
                fitting.setdefault(kind, []).append(row)
    draw = Random(SEED)
    cases: list[Case] = []
    for number, (kind, questions) in enumerate(fitting.items(), start=1):
        for check in wording.instructions[kind]:
            turns = [Turn("instruction", check.text + wording.short, "ok.", asked=False)]
            for _ in range(PER_DIALOGUE):
                question = draw.choice(questions)
                questions.remove(question)
                turns.append(Turn(f"{number}-{question['id']}", question["query"]))
            cases.append(_case("recollection", "global-inst", str(len(cases) + 1), turns, kind, check=check))
    return cases


def _by_document(sessions: list[list[Row]]) -> dict[str, dict[str, list[Turn]]]:
    """Of each document, its tasks' turns, in the order of the file."""
    documents: dict[str, dict[str, list[Turn]]] = {}
    for session in sessions:
        number, task, _ = session[0]["id"].split("_")
        documents.setdefault(number, {})[task] = [Turn(row["id"], row["user"], row["sys"]) for row in session]
    return documents


def _within(turn: Turn, *, first: bool) -> Turn:
    """The turn inside a dialogue: the content stands in the dialogue's first turn only."""
    _, mark, instruction = turn.user.partition("Instruction: ")
    if not mark:
        return Turn(turn.id, turn.user, turn.gold, instruction=turn.user)
    return Turn(turn.id, turn.user if first else instruction, turn.gold, instruction=instruction)


def _expansion(sessions: list[list[Row]], rows: list[Row], wording: Wording) -> list[Case]:
    """One dialogue per document: seven tasks about it, in an order of its own."""
    draw = Random(SEED)
    cases: list[Case] = []
    for number, tasks in _by_document(sessions).items():
        row = rows[int(number) - 1]
        first = {task: turns[0] for task, turns in tasks.items() if task not in ("qa", "short-qa", "rewrite")}
        first["qa"] = tasks["short-qa"][0]
        content = first["qa"].user.split("Instruction")[0]
        first["cls"] = Turn(f"{number}_cls_1", content + wording.classify_first, row["topic"])
        order = list(first)
        draw.shuffle(order)
        turns = [_within(first[task], first=place == 0) for place, task in enumerate(order)]
        name = str(len(cases) + 1)
        cases.append(_case("expansion", "expansion", name, turns, row["topic"], document=_document(row)))
    return cases


def _refinement(sessions: list[list[Row]], rows: list[Row]) -> list[Case]:
    """Four dialogues per document: two of its tasks one after the other, each refined over six turns."""
    draw = Random(SEED)
    cases: list[Case] = []
    for number, tasks in _by_document(sessions).items():
        order = [task for task in tasks if task in REFINED]
        draw.shuffle(order)
        for place, task in enumerate(order):
            pair = (task, order[(place + 1) % len(order)])
            turns = [
                _within(turn, first=task == pair[0] and step == 0)
                for task in pair
                for step, turn in enumerate(tasks[task])
            ]
            name = "_".join((str(len(cases) + 1), *pair))
            document = _document(rows[int(number) - 1])
            cases.append(_case("refinement", "refinement", name, turns, "+".join(pair), document=document))
    return cases


def _follow_up(rows: list[Row]) -> list[Case]:
    """MT-Bench's two turns as history, three more to answer."""
    cases: list[Case] = []
    for row in rows:
        turns = [
            Turn(str(number), turn["user"], turn["sys"], asked=number > 2)
            for number, turn in enumerate(row["conversation"], start=1)
        ]
        cases.append(_case("follow-up", "follow-up", str(row["question_id"]), turns, row["category"]))
    return cases
