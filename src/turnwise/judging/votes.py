"""What a judge or a person said, from any file: our judgments, FastChat's judgments and votes, or a plain table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from turnwise.data.columns import as_value, read_rows
from turnwise.dialogue import Dialogue
from turnwise.errors import DataError

Winner = Literal["model", "baseline", "tie"]

JUDGMENTS_NAME = "judgments.jsonl"


@dataclass(frozen=True, slots=True)
class Vote:
    """One score, one comparison, or neither.

    Attributes:
        item: Id of the judged dialogue or question.
        turn: The judged `turn_index`, from 0; None where the file has no turns.
        model: Whose answer; of a comparison, the first of the two names in their alphabetical order.
        baseline: Of a comparison: the other model.
        criterion: What is judged; None where the file does not say.
        rater: Who judged.
        score: The score.
        winner: Of a comparison.
        position: Of a comparison in one order: where `model` stood.
        sample: Number of a repeated judgment.
    """

    item: str
    turn: int | None
    model: str | None
    baseline: str | None
    criterion: str | None
    rater: str
    score: float | None = None
    winner: Winner | None = None
    position: Literal["first", "second"] | None = None
    sample: int = 0

    @property
    def is_unscored(self) -> bool:
        """Whether there is neither a score nor a winner."""
        return self.score is None and self.winner is None


def read_votes(path: str | Path) -> list[Vote]:
    """Read votes from a file, or from the `judgments.jsonl` of a run folder.

    Each row may be one of: a judgment of ours; a FastChat judgment (`question_id`, `model`, `judge`, `score`, with -1
    for none; or `model_1`, `model_2`, `g1_winner`, `g2_winner`); a FastChat human vote (`model_a`, `model_b`,
    `winner`); or a row of a table with a column `item` (or `question_id`, `id`), `score` (a number, or a list of
    repeated ones) or `winner` (`model`, `baseline`, `tie`, or a model's name), and optionally `turn`, `model`,
    `baseline`, `criterion`, `rater` (or `judge`), `sample`, `position`. FastChat counts turns from 1, all others from
    0; a row with `question_id` is taken for FastChat's. Any winner that begins with `tie` is a tie.

    Raises:
        DataError: The file cannot be read or a row is none of these.
    """
    path = Path(path)
    if path.is_dir():
        path = path / JUDGMENTS_NAME
    votes = [vote for line, row in read_rows(path, []) for vote in _votes(row, path, line)]
    if not votes:
        raise DataError("expected at least one judgment, found none", path=path)
    return votes


def _votes(row: Mapping[str, Any], path: Path, line: int) -> list[Vote]:
    item = _first(row, "item", "question_id", "id")
    if item is None:
        raise DataError(
            f"expected a column item, question_id or id, found {', '.join(map(str, row))}", path=path, line=line
        )
    fastchat = "question_id" in row and "item" not in row
    judge = _first(row, "rater", "judge", "annotator")
    about: dict[str, Any] = {
        "item": str(item),
        "turn": _turn(row, fastchat, path, line),
        "criterion": _text(row.get("criterion")),
        "rater": str(judge[0] if isinstance(judge, list) and judge else "rater" if judge is None else judge),
        "sample": int(as_value(row["sample"], "sample", path, line)) if row.get("sample") not in (None, "") else 0,
    }
    if "g1_winner" in row:
        return _both_orders(row, about, path, line)
    model, baseline = _text(_first(row, "model", "model_a")), _text(_first(row, "baseline", "model_b"))
    about.update(model=model, baseline=baseline)
    if row.get("winner") not in (None, ""):
        winner = _winner(row["winner"], model, baseline, path, line)
        return [_sorted(about, winner, _position(row, path, line))]
    if row.get("unscored") is not None:
        return [Vote(**about)]
    scores = row.get("score")
    if scores is None or scores == "":
        raise DataError(f"expected a score or a winner, found {', '.join(map(str, row))}", path=path, line=line)
    numbers = [as_value(score, "score", path, line) for score in (scores if isinstance(scores, list) else [scores])]
    if fastchat:
        numbers = [number for number in numbers if number >= 0] or numbers[:0]
    if not numbers:
        return [Vote(**about)]
    return [Vote(**{**about, "sample": about["sample"] + place}, score=number) for place, number in enumerate(numbers)]


def _both_orders(row: Mapping[str, Any], about: dict[str, Any], path: Path, line: int) -> list[Vote]:
    """FastChat's pairwise record: both winners are named by model, whatever the order was; `error` is no verdict."""
    about.update(model=_text(row.get("model_1")), baseline=_text(row.get("model_2")))
    names = {"model_1": "model", "model_2": "baseline"}
    found = []
    orders: tuple[tuple[str, Literal["first", "second"]], ...] = (("g1_winner", "first"), ("g2_winner", "second"))
    for key, position in orders:
        said = str(row.get(key))
        winner = None if said == "error" else _winner(names.get(said, said), None, None, path, line)
        found.append(_sorted(about, winner, position))
    return found


def _sorted(about: Mapping[str, Any], winner: Winner | None, position: Literal["first", "second"] | None) -> Vote:
    """A comparison with its models in alphabetical order, so that A against B meets B against A."""
    model, baseline = about["model"], about["baseline"]
    if model is None or baseline is None or model <= baseline:
        return Vote(**about, winner=winner, position=position)
    turned: dict[Winner, Winner] = {"model": "baseline", "baseline": "model", "tie": "tie"}
    return Vote(
        **{**about, "model": baseline, "baseline": model},
        winner=None if winner is None else turned[winner],
        position=None if position is None else "second" if position == "first" else "first",
    )


def _winner(said: Any, model: str | None, baseline: str | None, path: Path, line: int) -> Winner:
    text = str(said).strip()
    if text.lower().startswith("tie"):
        return "tie"
    if text in ("model", "model_a", model):
        return "model"
    if text in ("baseline", "model_b", baseline):
        return "baseline"
    raise DataError(
        f"expected the winner to be model, baseline, tie or the name of a model, found {text!r}", path=path, line=line
    )


def _position(row: Mapping[str, Any], path: Path, line: int) -> Literal["first", "second"] | None:
    said = row.get("position")
    if said in (None, ""):
        return None
    if said == "first" or said == "second":
        return "first" if said == "first" else "second"
    raise DataError(f"expected the position to be first or second, found {said!r}", path=path, line=line)


def _turn(row: Mapping[str, Any], fastchat: bool, path: Path, line: int) -> int | None:
    if row.get("turn") in (None, ""):
        return None
    number = as_value(row["turn"], "turn", path, line)
    if number != int(number):
        raise DataError(f"expected a whole turn, found {row['turn']!r}", path=path, line=line)
    return int(number) - fastchat


def _first(row: Mapping[str, Any], *names: str) -> Any:
    return next((row[name] for name in names if row.get(name) not in (None, "")), None)


def _text(value: Any) -> str | None:
    return None if value in (None, "") else str(value)


def read_lengths(path: str | Path) -> dict[tuple[str, str, int], float]:
    """Characters of every answer by item, model and turn (from 0).

    Reads answers of ours (dialogues with the model in `metadata`) and FastChat's (`question_id`, `model_id`, `choices`,
    of which the first counts).

    Raises:
        DataError: The file cannot be read, or a row is neither.
    """
    path = Path(path)
    lengths: dict[tuple[str, str, int], float] = {}
    for line, row in read_rows(path, []):
        if "choices" in row:
            item, model = row.get("question_id"), row.get("model_id")
            choices = row["choices"]
            texts = choices[0].get("turns") if isinstance(choices, list) and choices else None
        else:
            answer = Dialogue.from_dict(row)
            item, model, texts = answer.id, answer.metadata.get("model"), [reply.text for reply in answer.replies]
        if item is None or model is None or not isinstance(texts, list):
            raise DataError("expected an answer with its item, model and turns", path=path, line=line)
        for turn, text in enumerate(texts):
            lengths[str(item), str(model), turn] = float(len(str(text)))
    if not lengths:
        raise DataError("expected at least one answer, found none", path=path)
    return lengths
