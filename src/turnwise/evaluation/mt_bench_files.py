"""The files of MT-Bench: questions, references by judge, and where they lie in a folder.

Works with any question file of the same form: one JSON object per line with `question_id`, `category`, two `turns`, and
perhaps `required_temperature`. Source of the rules: FastChat, `fastchat/llm_judge/common.py` and `gen_model_answer.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from turnwise.data.objects import read_objects
from turnwise.errors import ConfigError, DataError

TEMPERATURES = {
    "writing": 0.7,
    "roleplay": 0.7,
    "extraction": 0.0,
    "math": 0.0,
    "coding": 0.0,
    "reasoning": 0.0,
    "stem": 0.1,
    "humanities": 0.1,
}
OTHER_TEMPERATURE = 0.7
NEED_REFERENCE = frozenset({"math", "reasoning", "coding", "arena-hard-200"})
"""Categories that are judged against a reference answer."""


@dataclass(frozen=True, slots=True)
class Question:
    """One question of two turns.

    Attributes:
        id: The `question_id`, as text.
        category: For example `math`.
        turns: The two user messages.
        temperature: At which a model answers: the question's own, or the category's.
    """

    id: str
    category: str
    turns: tuple[str, str]
    temperature: float

    @property
    def needs_reference(self) -> bool:
        """Whether it is judged against a reference answer."""
        return self.category in NEED_REFERENCE


@dataclass(frozen=True, slots=True)
class Files:
    """What belongs to one benchmark.

    Attributes:
        questions: The question file.
        references: Files of reference answers by judge's name.
    """

    questions: Path
    references: Mapping[str, Path]


def find_files(folder: str | Path) -> Files:
    """Look for the files in a folder: FastChat's own layout, or all of them side by side.

    FastChat's: `question.jsonl` and `reference_answer/JUDGE.jsonl`. Side by side: `question.jsonl` and
    `reference_JUDGE.jsonl`.

    Raises:
        DataError: There is no `question.jsonl`.
    """
    folder = Path(folder)
    questions = folder / "question.jsonl"
    if not questions.is_file():
        raise DataError(
            "expected a folder with question.jsonl",
            path=folder,
            hint="FastChat's fastchat/llm_judge/data/mt_bench is one",
        )
    references = {path.stem: path for path in sorted((folder / "reference_answer").glob("*.jsonl"))}
    for path in sorted(folder.glob("reference_*.jsonl")):
        references.setdefault(path.stem.removeprefix("reference_"), path)
    return Files(questions, references)


def read_questions(path: str | Path) -> list[Question]:
    """Read and check a question file.

    Raises:
        DataError: An id occurs twice, or a line is no question of two turns.
    """
    questions: dict[str, Question] = {}
    for line, record in read_objects(path):
        question = _question(path, line, record)
        if question.id in questions:
            raise DataError(f"question_id {question.id} occurs twice", path=path, line=line)
        questions[question.id] = question
    return list(questions.values())


def _question(path: str | Path, line: int, record: Mapping[str, Any]) -> Question:
    number, category, turns = record.get("question_id"), record.get("category"), record.get("turns")
    if isinstance(number, bool) or not isinstance(number, int | str) or not isinstance(category, str):
        raise DataError("expected 'question_id' (a number or text) and 'category' (text)", path=path, line=line)
    if not isinstance(turns, list) or not all(isinstance(turn, str) and turn for turn in turns):
        raise DataError(f"question {number}: expected 'turns' to be a list of texts", path=path, line=line)
    if len(turns) != 2:
        raise DataError(
            f"question {number}: expected two turns, found {len(turns)}",
            path=path,
            line=line,
            hint="the prompts judge a first and a second turn; longer dialogues are for mt-eval or in-domain",
        )
    temperature = record.get("required_temperature")
    if temperature is None:
        temperature = TEMPERATURES.get(category, OTHER_TEMPERATURE)
    if isinstance(temperature, bool) or not isinstance(temperature, int | float) or not 0 <= temperature <= 2:
        raise DataError(
            f"question {number}: expected a 'required_temperature' from 0 to 2, found {temperature!r}",
            path=path,
            line=line,
        )
    return Question(str(number), category, (turns[0], turns[1]), float(temperature))


def read_references(path: str | Path, questions: Iterable[Question]) -> dict[str, tuple[str, str]]:
    """Read reference answers (a FastChat answer file) and check that every question that needs one has one.

    Returns:
        The two reference answers by question id.

    Raises:
        DataError: A reference is missing, occurs twice, or has not two turns.
    """
    references: dict[str, tuple[str, str]] = {}
    for line, record in read_objects(path):
        number = str(record.get("question_id"))
        turns = first_choice(record)
        if turns is None or len(turns) != 2:
            raise DataError(f"question {number}: expected choices[0].turns with two texts", path=path, line=line)
        if number in references:
            raise DataError(f"question_id {number} occurs twice", path=path, line=line)
        references[number] = (turns[0], turns[1])
    missing = [one.id for one in questions if one.needs_reference and one.id not in references]
    if missing:
        raise DataError(
            f"no reference answer for {len(missing)} questions that are judged against one: {', '.join(missing[:10])}",
            path=path,
        )
    return references


def first_choice(record: Mapping[str, Any]) -> list[str] | None:
    """`choices[0].turns` of a FastChat answer (the only choice that is judged), or None where it is not there."""
    choices = record.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return None
    turns = choices[0].get("turns")
    if not isinstance(turns, list) or not all(isinstance(turn, str) for turn in turns):
        return None
    return turns


class References:
    """Reference answers by judge: FastChat keys them by the judge's name, so that another judge needs to be told.

    Args:
        questions: What is asked.
        files: Files by judge's name.
        override: A file for every judge, in place of those.

    Raises:
        DataError: The file for every judge is not what it should be.
    """

    def __init__(self, questions: Sequence[Question], files: Mapping[str, Path], override: str | Path | None) -> None:
        self._questions = questions
        self._files = files
        self._override = None if override is None else read_references(override, questions)
        self._read: dict[str, dict[str, tuple[str, str]]] = {}

    def of(self, judge: str) -> Mapping[str, tuple[str, str]]:
        """The two reference answers by question id.

        Args:
            judge: The judge's name: `gpt-4`, `gpt-4@https://host/v1` and `openai:gpt-4` are the same judge.

        Raises:
            ConfigError: There are none for this judge.
            DataError: The file is not what it should be.
        """
        if self._override is not None:
            return self._override
        name = judge.split("@", 1)[0].removeprefix("openai:")
        if name not in self._read:
            if name not in self._files:
                found = ", ".join(self._files) or "none"
                file = next(iter(self._files.values()), "FILE")
                raise ConfigError(
                    f"no reference answers for the judge {name}; found those for: {found}",
                    hint=f"name a file of reference answers for every judge: --references {file}",
                )
            self._read[name] = read_references(self._files[name], self._questions)
        return self._read[name]
