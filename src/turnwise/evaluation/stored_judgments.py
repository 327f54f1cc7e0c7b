"""Judgments that are stored: written as they come, read back from our files, run folders, and FastChat's files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from turnwise.data.records import Raw, open_source
from turnwise.data.write import encode_json
from turnwise.errors import DataError
from turnwise.judging.records import Judgment
from turnwise.run import atomic_path

JUDGMENTS_NAME = "judgments.jsonl"
PROGRAM = "program"
"""`Judgment.judge` where a program scored."""

_HEAVY = ("user_prompt",)


def write_judgments(batches: Iterable[Iterable[Judgment]], path: str | Path) -> list[Judgment]:
    """Write judgments, one JSON object per line, atomically and as they come.

    Args:
        batches: The judgments of one item after the other; consumed as they are written.
        path: Where to write.

    Returns:
        All of them without their texts, which tables do not need: what is kept in memory does not grow with the length
        of answers.
    """
    kept: list[Judgment] = []
    with atomic_path(path) as partial, partial.open("wb") as stream:
        for batch in batches:
            for judgment in batch:
                stream.write(encode_json(judgment.to_dict()) + b"\n")
                kept.append(without_text(judgment))
    return kept


def without_text(judgment: Judgment) -> Judgment:
    """A judgment without the judge's reply and the prompt it was given."""
    metadata = {key: value for key, value in judgment.metadata.items() if key not in _HEAVY}
    return replace(judgment, text="", metadata=metadata)


def read_judgments(path: str | Path) -> list[Judgment]:
    """Read judgments from a file, or from the files of a folder; without their texts.

    Files of ours (`judgments.jsonl`) and of FastChat (`question_id` and `judge`) are told apart by their first record.

    Args:
        path: A file; the folder of an evaluation run, or of several; or a folder of `.jsonl` files.

    Raises:
        DataError: Nothing is there, or a record is no judgment.
    """
    files, _ = judgment_files(path)
    return [without_text(judgment) for file in files for judgment in iterate_judgments(file)]


def judgment_files(path: str | Path) -> tuple[list[Path], list[Path]]:
    """The files that hold judgments: the path itself, or of a folder those of its runs, else its `.jsonl` files.

    Returns:
        These, and the `.jsonl` files of the folder that were passed over, as their first record is no judgment.

    Raises:
        DataError: There is no such file or folder, or the folder holds none.
    """
    path = Path(path)
    if path.is_file():
        return [path], []
    if not path.is_dir():
        raise DataError("no such file or folder of judgments", path=path)
    files, passed_over = sorted(path.rglob(JUDGMENTS_NAME)), []
    if not files:
        found = sorted(path.glob("*.jsonl"))
        files = [file for file in found if _holds_judgments(file)]
        passed_over = [file for file in found if file not in files]
    if not files:
        raise DataError(f"expected {JUDGMENTS_NAME} or other files of judgments in the folder, found none", path=path)
    return files, passed_over


def _holds_judgments(path: Path) -> bool:
    try:
        first = next(iter(open_source(path).rows), None)
    except DataError:
        return False
    return isinstance(first, Raw) and isinstance(first.value, Mapping) and "judge" in first.value


def iterate_judgments(path: Path) -> Iterator[Judgment]:
    """The judgments of one file, with their texts, one at a time.

    Raises:
        DataError: A record is no judgment.
    """
    for raw in open_source(path).rows:
        if isinstance(raw, DataError):
            raise raw
        if not isinstance(raw.value, Mapping):
            found = type(raw.value).__name__
            raise DataError(f"expected a judgment as an object, found {found}", path=path, line=raw.line)
        if "question_id" in raw.value:
            break
        try:
            yield Judgment.from_dict(raw.value)
        except DataError as error:
            raise DataError(error.reason, path=path, line=raw.line) from None
    else:
        return
    from turnwise.evaluation.fastchat_files import read_fastchat_judgments

    yield from read_fastchat_judgments(path)


@dataclass(frozen=True, slots=True)
class Group:
    """What belongs into one table.

    Attributes:
        model: Whose answers were judged.
        judge: Who judged; `program` where nobody else did.
        baseline: Of comparisons: the other model.
        judgments: In order of occurrence.
    """

    model: str
    judge: str
    baseline: str | None
    judgments: list[Judgment]


def by_model(judgments: Iterable[Judgment]) -> list[Group]:
    """Judgments of one model by one judge with one baseline; what a program scored goes with every judge's."""
    groups: dict[tuple[str, str | None], list[Judgment]] = {}
    for one in judgments:
        groups.setdefault((one.model, one.baseline), []).append(one)
    return [
        Group(model, judge, baseline, [one for one in group if one.judge in (judge, PROGRAM)])
        for (model, baseline), group in groups.items()
        for judge in list(dict.fromkeys(one.judge for one in group if one.judge != PROGRAM)) or [PROGRAM]
    ]
