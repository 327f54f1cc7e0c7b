"""Closed-book questions: a SQuAD-style file's questions are asked without their paragraphs, and scored by program.

What a model answers, it has learned. Three measures, each the best over the gold answers of a question, 0 to 1:

- `f1` and `exact`: Rajpurkar, Zhang, Lopyrev, Liang (2016), "SQuAD: 100,000+ Questions for Machine Comprehension of
  Text", section 6.1, normalised as their evaluation script does it. Chinese by characters, with the punctuation of all
  scripts, as Lewis, Oguz, Rinott, Riedel, Schwenk (2020), "MLQA", section 5, do it.
- `contains`: whether a gold answer stands in the reply, word for word after the same normalisation: Mallen et al.
  (2023), "When Not to Trust Language Models" (arXiv 2212.10511), section 3. Unlike the other two it does not fall
  because a chat model answers in a sentence; a reply that lists everything would have it all.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from turnwise.data.read import read_documents
from turnwise.dialogue import Dialogue, Document, Message
from turnwise.errors import ConfigError, DataError
from turnwise.evaluation.benchmark import Benchmark, Item, ScoreTable, is_given
from turnwise.evaluation.tables import score_rows
from turnwise.judging.records import Judgment
from turnwise.llm.chat import ChatModel, Sampling
from turnwise.synthesis.chain import language_of

MEASURES = ("f1", "exact", "contains")
PROMPT, FIRST = "closed-book@1", "closed-book-first-sentence@1"
MAX_TOKENS = 64

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_FULL_STOP = re.compile(r"[.!?](?=\s|$)|[。！？]|\n")
_HAN = re.compile("([\u3400-\u4dbf\u4e00-\u9fff])")


class ClosedBook(Benchmark):
    """Questions about documents that the model is not shown.

    Args:
        data: SQuAD-style files or folders: paragraphs with `qas`, each with a `question` and `answers` that have a
            `text`. Questions without an answer (`is_impossible`) are not asked, and counted in `left_out`.
        instruction: A line after every question, for example "Answer in a few words."; "" for none.
        max_tokens: Most tokens of a reply; replies are greedy.
        first_sentence: Score what a reply says up to its first full stop: for models that answer, then explain.

    Attributes:
        left_out: Questions that are not asked, by reason.

    Raises:
        ConfigError: `max_tokens` is below 1.
    """

    name = "closed-book"

    def __init__(
        self,
        data: str | Path | Sequence[str | Path],
        *,
        instruction: str = "",
        max_tokens: int = MAX_TOKENS,
        first_sentence: bool = False,
    ) -> None:
        if max_tokens < 1:
            raise ConfigError(f"expected max_tokens of at least 1, found {max_tokens}")
        self._data = data
        self._instruction = instruction
        self._sampling = Sampling(temperature=0, max_tokens=max_tokens)
        self._first_sentence = first_sentence
        self._items: list[Item] | None = None
        self.left_out: dict[str, int] = {}

    def items(self) -> Sequence[Item]:
        """The questions, in the order of the files; named by their own id where they have one.

        Raises:
            DataError: A file cannot be read, a question is malformed, or there is none with an answer.
        """
        if self._items is None:
            self._items = list(self._read())
        return self._items

    async def score(self, answer: Dialogue, judge: ChatModel | None) -> list[Judgment]:
        """One judgment per measure. A truncated or empty reply is scored as it stands; a failed one is `no_answer`.

        Raises:
            DataError: The answer holds no gold answers, or no reply.
        """
        golds = answer.metadata.get("answers")
        replies = [message for message in answer.messages if message.role == "assistant"]
        if not isinstance(golds, list) or not golds or not replies:
            raise DataError(f"{answer.id}: expected a reply and its gold 'answers', found {answer.metadata!r}")
        text, failure = replies[-1].text, replies[-1].extra.get("failure")
        language: Literal["en", "zh"] = answer.metadata.get("language", "en")
        metadata: dict[str, Any] = {"category": answer.metadata.get("category", "all")}
        if failure is not None:
            metadata["answer_failure"] = failure
        model = str(answer.metadata.get("model", ""))
        if self._first_sentence:
            text = first_sentence(text)
        scores = measure(text, golds, language=language)
        return [
            Judgment(
                answer.id,
                0,
                model,
                "program",
                criterion,
                FIRST if self._first_sentence else PROMPT,
                metadata=metadata,
                **({"score": scores[criterion]} if is_given(failure) else {"unscored": "no_answer"}),
            )
            for criterion in MEASURES
        ]

    def tables(self, judgments: Sequence[Judgment]) -> list[ScoreTable]:
        """All measures over all questions; F1 by title."""
        rows = score_rows(judgments, lambda one: one.criterion, order=MEASURES, total=None)
        tables = [ScoreTable("Closed book", "measure", rows)]
        f1 = [one for one in judgments if one.criterion == "f1"]
        if len({one.metadata.get("category") for one in f1}) > 1:
            by_title = score_rows(f1, lambda one: str(one.metadata.get("category")))
            tables.append(ScoreTable("F1 by title", "title", by_title))
        return tables

    def _read(self) -> Iterator[Item]:
        left_out: Counter[str] = Counter()
        seen: Counter[str] = Counter()
        for document in read_documents(self._data):
            for number, record in enumerate(_questions(document)):
                question, golds = _question(record, f"{document.id}: qas[{number}]")
                if not golds:
                    left_out["unanswerable"] += 1
                    continue
                name = str(record.get("id") or f"{document.id}/{number}")
                seen[name] += 1
                asked = f"{question}\n{self._instruction}" if self._instruction else question
                yield Item(
                    name if seen[name] == 1 else f"{name}#{seen[name]}",
                    [Message("user", asked)],
                    self._sampling,
                    metadata={
                        "category": document.title or document.id,
                        "document": document.id,
                        "answers": golds,
                        "language": language_of(question),
                    },
                )
        self.left_out = dict(left_out)
        if not seen:
            raise DataError(f"no question with an answer in {self._data} ({dict(left_out) or 'no questions at all'})")


def measure(reply: str, golds: Sequence[str], *, language: Literal["en", "zh"] = "en") -> dict[str, float]:
    """All measures of one reply: for each the best over the gold answers.

    Args:
        reply: The reply.
        golds: At least one gold answer.
        language: How text is normalised and cut into tokens.

    Returns:
        A number between 0 and 1 for each of `MEASURES`.
    """
    said = tokens(reply, language=language)
    wanted = [tokens(gold, language=language) for gold in golds]
    return {
        "f1": max(token_f1(said, gold) for gold in wanted),
        "exact": float(any(said == gold for gold in wanted)),
        "contains": float(any(_holds(said, gold) for gold in wanted)),
    }


def first_sentence(text: str) -> str:
    """Up to the first full stop, question or exclamation mark before white space, or the first line's end."""
    begun = text.lstrip()
    found = _FULL_STOP.search(begun)
    return begun if found is None else begun[: found.start()]


def tokens(text: str, *, language: Literal["en", "zh"] = "en") -> list[str]:
    """The normalised tokens of a text.

    English: lower case, ASCII punctuation deleted, the words a, an and the taken out, cut at white space (SQuAD's
    script, whose normalised text these are). Chinese: also the punctuation of all scripts is deleted, and every Chinese
    character is a token.
    """
    lower = "".join(char for char in text.lower() if not _is_punctuation(char, language))
    if language == "zh":
        lower = _HAN.sub(r" \1 ", lower)
    return _ARTICLES.sub(" ", lower).split()


def token_f1(said: Sequence[str], gold: Sequence[str]) -> float:
    """2PR/(P+R) of two bags of tokens; where one is empty, 1 if both are, else 0 (SQuAD's script)."""
    if not said or not gold:
        return float(list(said) == list(gold))
    common = sum((Counter(said) & Counter(gold)).values())
    return 2 * common / (len(said) + len(gold))


def _holds(said: Sequence[str], gold: Sequence[str]) -> bool:
    """Whether the gold tokens stand in the reply, one after the other."""
    size = len(gold)
    if not size:
        return not said
    return any(list(said[start : start + size]) == list(gold) for start in range(len(said) - size + 1))


def _is_punctuation(char: str, language: str) -> bool:
    return char in string.punctuation or (language == "zh" and unicodedata.category(char).startswith("P"))


def _questions(document: Document) -> list[Any]:
    found = document.metadata.get("qas", [])
    if not isinstance(found, list):
        raise DataError(f"{document.id}: expected 'qas' to be a list, found {type(found).__name__}")
    return found


def _question(record: Any, where: str) -> tuple[str, list[str]]:
    """The question and its different gold answers, in order; none where it is marked as impossible."""
    question = record.get("question") if isinstance(record, dict) else None
    if not isinstance(question, str) or not question.strip():
        raise DataError(f"{where}: expected an object with a 'question', found {record!r}")
    if record.get("is_impossible"):
        return question, []
    answers = record.get("answers", [])
    texts = [one.get("text") if isinstance(one, dict) else None for one in answers] if isinstance(answers, list) else []
    if not isinstance(answers, list) or not all(isinstance(text, str) for text in texts):
        raise DataError(f"{where}: expected 'answers' as objects with a 'text', found {answers!r}")
    return question, [text for text in dict.fromkeys(texts) if isinstance(text, str) and text.strip()]
