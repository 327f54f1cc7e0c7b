"""FastChat's files: stored answers become dialogues, stored judgments become records, and records go back.

Answers: one line per question, `question_id`, `model_id`, `choices[].turns`. Judgments: `*_single.jsonl` with `score`
(-1 where there was none), `*_pair.jsonl` with `g1_winner` and `g2_winner`. Source: FastChat, `fastchat/llm_judge`.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from turnwise.data.objects import read_objects
from turnwise.dialogue import Dialogue, Message
from turnwise.errors import ConfigError, DataError
from turnwise.evaluation.benchmark import Item
from turnwise.evaluation.mt_bench_files import first_choice
from turnwise.evaluation.tables import Pair, pairs_of
from turnwise.judging.ratings import published_choice, published_rating
from turnwise.judging.records import Judgment, Unscored, Winner
from turnwise.run import write_text

ERROR = "$ERROR$"
"""What FastChat stores in place of a reply that failed after all tries."""


def read_fastchat_answers(path: str | Path, questions: Sequence[Item], *, model: str | None = None) -> list[Dialogue]:
    """Read one model's stored answers.

    Args:
        path: The answer file.
        questions: The items that were asked (`MTBench.items()`).
        model: Name of the model; None takes the file's `model_id`. (FastChat itself goes by the file's name.)

    Returns:
        One dialogue per line, in the order of the file. Only the first choice is read, as in FastChat; `choices` in
        the metadata says how many there are where it is not one. An empty reply and `$ERROR$` are replies that failed.

    Raises:
        DataError: A question is unknown or answered twice, a line has another number of turns than its question, or
            the file mixes models.
    """
    items = {item.id: item for item in questions}
    answers: dict[str, Dialogue] = {}
    first_model: str | None = None
    for line, record in read_objects(path):
        number, name = str(record.get("question_id")), str(record.get("model_id"))
        if number not in items:
            raise DataError(f"question_id {number} is not among the questions", path=path, line=line)
        if number in answers:
            raise DataError(
                f"question_id {number} is answered twice", path=path, line=line, hint="keep the answer that was judged"
            )
        first_model = first_model or name
        if name != first_model:
            raise DataError(f"expected one model, found {first_model} and {name}", path=path, line=line)
        replies = first_choice(record)
        asked = [message for message in items[number].messages if message.role == "user"]
        if replies is None or len(replies) != len(asked):
            raise DataError(f"expected choices[0].turns with {len(asked)} texts", path=path, line=line)
        messages = [part for pair in zip(asked, map(_reply, replies), strict=True) for part in pair]
        metadata = {**items[number].metadata, "model": model or name}
        if len(record["choices"]) != 1:
            metadata["choices"] = len(record["choices"])
        answers[number] = Dialogue(messages, id=number, source="mt-bench", metadata=metadata)
    return list(answers.values())


def _reply(text: str) -> Message:
    if text == ERROR:
        return Message("assistant", "", extra={"failure": "server", "detail": f"stored as {ERROR}"})
    if not text.strip():
        return Message("assistant", text, extra={"failure": "empty", "detail": "stored without text"})
    return Message("assistant", text)


def read_fastchat_judgments(path: str | Path, *, baseline: str | None = None) -> list[Judgment]:
    """Read stored judgments, single or pairwise; what a line says is told by its keys.

    The score -1 and the winner `error` become unscored: `failed` where the reply is `$ERROR$`, else `unparsable`. A
    judgment that occurs again (FastChat appends when it is run again) becomes the next `sample`. Of a pair, `model_1`
    is the model and `model_2` the baseline, as in FastChat's comparisons with a baseline. Scores and winners are those
    stored; a reply that names several is noted as `ambiguous`.

    Args:
        path: `*_single.jsonl` or `*_pair.jsonl`.
        baseline: Pairs whose `model_1` this is are turned round, so that it is the baseline of all its pairs.

    Raises:
        DataError: A line is neither kind of judgment.
    """
    judgments: list[Judgment] = []
    seen: Counter[tuple[Any, ...]] = Counter()
    for line, record in read_objects(path):
        try:
            found = _pair(record, baseline) if "g1_winner" in record else [_single(record)]
        except (KeyError, TypeError, ValueError) as error:
            what = f"no {error}" if isinstance(error, KeyError) else str(error)
            raise DataError(f"not a judgment of FastChat: {what}", path=path, line=line) from None
        for fields in found:
            key = tuple(fields.get(name) for name in _SAME)
            judgments.append(Judgment(**fields, sample=seen[key]))
            seen[key] += 1
    return judgments


_SAME = ("item", "turn", "model", "baseline", "judge", "prompt", "position")
"""What is the same in a judgment that occurs again."""


def _single(record: Mapping[str, Any]) -> dict[str, Any]:
    score = record["score"]
    if isinstance(score, bool) or not isinstance(score, int | float) or not math.isfinite(score):
        raise ValueError(f"expected a number as 'score', found {score!r}")
    fields = {**_common(record), "model": str(record["model"]), "text": str(record["judgment"])}
    fields["metadata"] = _kept(record, user_prompt=record["user_prompt"], **published_rating(fields["text"]).notes)
    return {**fields, "unscored": _reason(record, fields["text"])} if score == -1 else {**fields, "score": float(score)}


def _pair(record: Mapping[str, Any], baseline: str | None) -> list[dict[str, Any]]:
    model_1, model_2 = str(record["model_1"]), str(record["model_2"])
    turned = model_1 == baseline
    names = (model_2, model_1) if turned else (model_1, model_2)
    winners: dict[str, Winner] = {"tie": "tie", "model_1": "model", "model_2": "baseline"}
    if turned:
        winners.update(model_1="baseline", model_2="model")
    judgments = []
    # Winners are stored by model in both games, whichever stood first (`play_a_match_pair`); model_1 does in g1.
    for game, shown_first in (("g1", not turned), ("g2", turned)):
        winner = record[f"{game}_winner"]
        if winner != "error" and winner not in winners:
            raise ValueError(f"expected {game}_winner to be model_1, model_2, tie or error, found {winner!r}")
        text = str(record[f"{game}_judgment"])
        fields = {
            **_common(record),
            "model": names[0],
            "baseline": names[1],
            "position": "first" if shown_first else "second",
            "text": text,
            "metadata": _kept(record, user_prompt=record[f"{game}_user_prompt"], **published_choice(text).notes),
        }
        verdict = {"unscored": _reason(record, text, game)} if winner == "error" else {"winner": winners[winner]}
        judgments.append({**fields, **verdict})
    return judgments


def _common(record: Mapping[str, Any]) -> dict[str, Any]:
    judge = record["judge"]
    name, prompt = judge if isinstance(judge, list) and len(judge) == 2 else (judge, "")
    turn = record.get("turn")
    if turn is not None and (isinstance(turn, bool) or not isinstance(turn, int) or turn < 1):
        raise ValueError(f"expected 'turn' to be 1 or more, found {turn!r}")
    return {
        "item": str(record["question_id"]),
        "turn": None if turn is None else turn - 1,
        "judge": str(name),
        "prompt": str(prompt) + (f"@{record['prompt_version']}" if "prompt_version" in record else ""),
    }


def _kept(record: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    kept = {key: record[key] for key in ("category", "tstamp") if key in record}
    return {**kept, **more}


def _reason(record: Mapping[str, Any], text: str, game: str | None = None) -> str:
    stored = record.get("unscored" if game is None else f"{game}_unscored")
    if stored in get_args(Unscored):
        return str(stored)
    return "failed" if text == ERROR else "unparsable"


def write_fastchat_judgments(path: str | Path, judgments: Iterable[Judgment]) -> int:
    """Write judgments in FastChat's form, so that its `show_result.py` and `qa_browser.py` read them.

    Unscored ones get the score -1 (the winner `error`), which FastChat leaves out of its means; the keys `unscored`,
    `prompt_version` and `category` are ours, for reading back.

    Args:
        path: `*_single.jsonl` or `*_pair.jsonl`; replaced where it exists.
        judgments: All scores, or all comparisons in both orders.

    Returns:
        How many lines were written.

    Raises:
        ConfigError: Scores and comparisons are mixed, or a judgment is of a criterion or a whole dialogue, which
            FastChat's form cannot say.
    """
    every = list(judgments)
    for one in every:
        if one.criterion != "overall" or one.turn is None:
            raise ConfigError("FastChat's form holds overall scores of single turns and nothing else")
    compared = [one for one in every if one.baseline is not None]
    if compared and len(compared) != len(every):
        raise ConfigError("FastChat keeps scores and comparisons in files of their own; write them one by one")
    rows = [_pair_row(pair) for pair in pairs_of(every)] if compared else [_single_row(one) for one in every]
    write_text(path, "".join(json.dumps(row) + "\n" for row in rows))
    return len(rows)


def _single_row(one: Judgment) -> dict[str, Any]:
    score: float = -1 if one.score is None else int(one.score) if one.score.is_integer() else one.score
    row = {
        **_row_head(one),
        "model": one.model,
        "user_prompt": one.metadata.get("user_prompt", ""),
        "judgment": one.text,
        "score": score,
    }
    return row if one.unscored is None else {**row, "unscored": one.unscored}


def _pair_row(pair: Pair) -> dict[str, Any]:
    head = pair.first or pair.second
    assert head is not None  # noqa: S101 - a pair has at least one order
    row = {**_row_head(head), "model_1": head.model, "model_2": head.baseline}
    names: dict[Winner | None, str] = {"model": "model_1", "baseline": "model_2", "tie": "tie", None: "error"}
    for game, one in (("g1", pair.first), ("g2", pair.second)):
        row[f"{game}_winner"] = "error" if one is None else names[one.winner]
        row[f"{game}_user_prompt"] = "" if one is None else one.metadata.get("user_prompt", "")
        row[f"{game}_judgment"] = "" if one is None else one.text
        if one is None or one.unscored is not None:
            row[f"{game}_unscored"] = "failed" if one is None else one.unscored
    return row


def _row_head(one: Judgment) -> dict[str, Any]:
    prompt, _, version = one.prompt.partition("@")
    head: dict[str, Any] = {
        "question_id": int(one.item) if one.item.isdecimal() else one.item,
        "judge": [one.judge, prompt],
        "turn": None if one.turn is None else one.turn + 1,
        "tstamp": one.metadata.get("tstamp", 0.0),
    }
    if version:
        head["prompt_version"] = version
    if "category" in one.metadata:
        head["category"] = one.metadata["category"]
    return head
