"""MT-Bench: two-turn questions, graded by a judge one answer at a time, or compared with a baseline's answers.

Zheng et al. 2023, "Judging LLM-as-a-Judge with MT-Bench and Chatbot Arena"; the rules are those of FastChat's code
(`fastchat/llm_judge`). With FastChat's prompt file the judge sees what it sees there, byte for byte; without it,
prompts of our own, whose scores are not comparable with published ones. See docs/mt-bench.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from turnwise.dialogue import Dialogue, Message
from turnwise.errors import ConfigError, DataError
from turnwise.evaluation.benchmark import Benchmark, Item, ScoreRow, ScoreTable, is_given
from turnwise.evaluation.fastchat_files import FASTCHAT, FORM
from turnwise.evaluation.mt_bench_files import Files, Question, References, find_files, read_questions
from turnwise.evaluation.tables import Key, flip_rate, score_rows, spread_rows, win_rate_rows
from turnwise.judging.judge import Judge, Rubric
from turnwise.judging.prompt_set import Kind, PromptSet, Role, packaged_prompts
from turnwise.judging.published import read_published_prompts
from turnwise.judging.records import Judgment, repeated
from turnwise.llm.chat import ChatModel, Sampling

MAX_TOKENS = 1024
"""Of an answer, as in FastChat's runs."""

_TURNS = ("turn 1", "turn 2")
_SAME_FILE = "answers and questions must come from the same question file"


class MTBench(Benchmark):
    """MT-Bench, or any question file of its form.

    Args:
        folder: A folder with `question.jsonl` (layouts: `turnwise.evaluation.mt_bench_files.find_files`), or a
            question file.
        prompts: FastChat's prompt file; None for the packaged prompts of our own. A prompt file beside the questions
            is not taken by itself, so that which prompts judged is always said.
        references: Reference answers for every judge, in place of those of the folder, which are by judge's name.
        samples: How often each judgment is repeated.

    Raises:
        DataError: A file is missing or is not what it should be.
    """

    name = "mt-bench"
    needs_judge = True

    def __init__(
        self,
        folder: str | Path,
        *,
        prompts: str | Path | None = None,
        references: str | Path | None = None,
        samples: int = 1,
    ) -> None:
        if samples < 1:
            raise ConfigError(f"expected at least one sample, found {samples}")
        path = Path(folder)
        files = Files(path, {}) if path.is_file() else find_files(path)
        self.questions = {one.id: one for one in read_questions(files.questions)}
        self.prompts: PromptSet = packaged_prompts() if prompts is None else read_published_prompts(prompts)
        self.samples = samples
        self._references = References(list(self.questions.values()), files.references, references)

    def items(self) -> list[Item]:
        """The questions; answered at their category's temperature in at most 1,024 tokens."""
        return [
            Item(
                one.id,
                [Message("user", turn) for turn in one.turns],
                Sampling(temperature=one.temperature, max_tokens=MAX_TOKENS),
                metadata={"category": one.category},
            )
            for one in self.questions.values()
        ]

    async def answer(self, item: Item, model: ChatModel, *, gold_history: bool = False) -> Dialogue:
        """As every benchmark; there is no gold history to show.

        Raises:
            ConfigError: `gold_history` is asked for.
        """
        if gold_history:
            raise ConfigError("mt-bench has no gold replies to show as history", hint="leave --gold-history out")
        return await super().answer(item, model)

    def check(self, judge: str, kind: Kind = "single") -> None:
        """Check that everything is there to judge with, before anything is answered or paid for.

        Args:
            judge: The judge's name.
            kind: `single`, or `pair` for comparisons.

        Raises:
            ConfigError: A prompt is missing, or there are no references for this judge.
            DataError: The references are not what they should be.
        """
        references = any(one.needs_reference for one in self.questions.values())
        for second in (False, True):
            for reference in (False, True) if references else (False,):
                self.prompts.rubric(Role(kind, second, reference))
        if references:
            self._references.of(judge)

    async def score(self, answer: Dialogue, judge: ChatModel | None) -> list[Judgment]:
        """Two judgments (times `samples`): the first turn by itself, the second with the first in view.

        A truncated or empty reply is judged as it stands, as FastChat does, and marked in the judgment's metadata
        (`answer_failure`). A reply that failed otherwise, and a second turn after such a first one, is `no_answer`.
        """
        if judge is None:
            raise ConfigError("mt-bench needs a judge")
        question = self._question(answer)
        judgments: list[Judgment] = []
        for turn in range(2):
            metadata = self._metadata(question, answer, turn)
            grader = Judge(judge, self._rubric("single", question, turn), self.samples)
            problem = _problem(answer, turn)
            if problem is not None:
                lost = _no_answer(grader, answer, turn, metadata={**metadata, "detail": problem}, model=_model(answer))
                judgments += repeated([lost], self.samples)
                continue
            fields = self.fields(question, turn, judge.name, answer)
            metadata["user_prompt"] = _user_prompt(grader.rubric, fields)
            judgments += await grader.grade(fields, item=answer.id, turn=turn, model=_model(answer), metadata=metadata)
        return judgments

    async def compare(self, answer: Dialogue, baseline: Dialogue, judge: ChatModel) -> list[Judgment]:
        """Four judgments (times `samples`): both turns, each with the model's answer first and second."""
        question = self._question(answer)
        if baseline.id != answer.id:
            raise ConfigError(f"expected two answers to one question, found {answer.id} and {baseline.id}")
        judgments: list[Judgment] = []
        for turn in range(2):
            metadata = self._metadata(question, answer, turn)
            judge_pair = Judge(judge, self._rubric("pair", question, turn), self.samples)
            problems = [(_problem(one, turn), _model(one)) for one in (answer, baseline)]
            missing = [f"{name}: {problem}" for problem, name in problems if problem is not None]
            if missing:
                unscored = _no_answer(
                    judge_pair, answer, turn, metadata={**metadata, "detail": "; ".join(missing)}, model=_model(answer)
                )
                orders = [
                    replace(unscored, baseline=_model(baseline), position="first"),
                    replace(unscored, baseline=_model(baseline), position="second"),
                ]
                judgments += repeated(orders, self.samples)
                continue
            # By who is shown first.
            filled = {
                "model": self.fields(question, turn, judge.name, answer, baseline),
                "baseline": self.fields(question, turn, judge.name, baseline, answer),
            }
            compared = await judge_pair.compare(
                lambda first, _, filled=filled: filled[first],  # type: ignore[misc]
                ("model", "baseline"),
                item=answer.id,
                turn=turn,
                model=_model(answer),
                baseline=_model(baseline),
                metadata=metadata,
            )
            for one in compared:
                prompt = _user_prompt(judge_pair.rubric, filled["model" if one.position == "first" else "baseline"])
                judgments.append(replace(one, metadata={**one.metadata, "user_prompt": prompt}))
        return judgments

    def fields(self, question: Question, turn: int, judge: str, *answers: Dialogue) -> dict[str, str]:
        """What is filled into the judge's prompt.

        Args:
            question: What was asked.
            turn: 0 or 1.
            judge: The judge's name, which chooses the references.
            answers: One answer to grade, or the two to compare in the order in which they are shown.
        """
        role = Role("single" if len(answers) == 1 else "pair", turn == 1, question.needs_reference)
        texts = {} if turn == 0 else {"question_1": question.turns[0], "question_2": question.turns[1]}
        if turn == 0:
            texts["question"] = question.turns[0]
        for letter, one in zip(("",) if len(answers) == 1 else ("_a", "_b"), answers, strict=True):
            replies = [reply.text for reply in one.replies]
            if turn == 0:
                texts[f"answer{letter}"] = replies[0]
            else:
                texts.update({f"answer{letter}_1": replies[0], f"answer{letter}_2": replies[1]})
        if question.needs_reference:
            first, second = self._references.of(judge)[question.id]
            texts.update(ref_answer_1=first, ref_answer_2=second)
        return self.prompts.fields(role, texts)

    def tables(self, judgments: Sequence[Judgment]) -> list[ScoreTable]:
        """Scores (all, by turn, by category; spread of repeats), or win rates with position flips.

        `all` is the mean over all scored answers, not the mean of the two turns' means: they differ where some are
        unscored. Repeated judgments give their median; in files of FastChat every row counts, as in its own tables.
        `counts` says how many of a row's answers ended at the token limit (`truncated`) or have no word (`empty`), and
        how many verdicts also name another one (`ambiguous`), where there are any.
        """
        single = [one for one in judgments if one.baseline is None and one.winner is None]
        # FastChat appends when it is run again and takes the mean over all rows: so its tables were published.
        stored = any(one.metadata.get(FORM) == FASTCHAT for one in single)
        score = partial(score_rows, repeats="each") if stored else score_rows
        pairs = [one for one in judgments if one.baseline is not None]
        tables: list[ScoreTable] = []
        if single or not pairs:
            tables += self._tables(score, single, "MT-Bench", "score")
            spread = spread_rows(single, _turn, order=_TURNS)
            if spread:
                tables.append(ScoreTable("Spread of repeated judgments", "turn", spread, "highest minus lowest score"))
        if pairs:
            tables += self._tables(win_rate_rows, pairs, "MT-Bench against the baseline", "win rate")
            tables.append(ScoreTable("Verdicts that change with the order", "turn", [flip_rate(pairs)], "share"))
        return tables

    def _tables(
        self, rows: Callable[..., list[ScoreRow]], judgments: Sequence[Judgment], title: str, measure: str
    ) -> list[ScoreTable]:
        order = list(dict.fromkeys(one.category for one in self.questions.values()))
        by_turn = rows(judgments, _turn, order=_TURNS)
        by_category = rows(judgments, self._category, order=order, total=None)
        by_turn = _with_marks(by_turn, judgments, _turn)
        by_category = _with_marks(by_category, judgments, self._category)
        return [
            ScoreTable(title, "turn", by_turn, measure),
            ScoreTable(f"{title} by category", "category", by_category, measure),
        ]

    def _category(self, judgment: Judgment) -> str | None:
        if judgment.item in self.questions:
            return self.questions[judgment.item].category
        return judgment.metadata.get("category")

    def _metadata(self, question: Question, answer: Dialogue, turn: int) -> dict[str, object]:
        reply = answer.replies[turn] if turn < answer.num_turns else None
        failure = reply.extra.get("failure") if reply is not None else None
        if reply is not None and failure is None and not reply.text.strip():
            failure = "empty"  # stored answers do not say so
        return {"category": question.category} | ({} if failure is None else {"answer_failure": failure})

    def _question(self, answer: Dialogue) -> Question:
        if answer.id not in self.questions:
            raise DataError(
                f"the answer {answer.id!r} is to no question of this set",
                hint=_SAME_FILE,
            )
        question = self.questions[answer.id]
        asked = [message.text for message in answer.messages if message.role == "user"]
        if asked != list(question.turns[: len(asked)]):
            raise DataError(f"the answer {answer.id!r} is to other words than the question of that id", hint=_SAME_FILE)
        return question

    def _rubric(self, kind: Kind, question: Question, turn: int) -> Rubric:
        return self.prompts.rubric(Role(kind, turn == 1, question.needs_reference))


def _turn(judgment: Judgment) -> str | None:
    return None if judgment.turn is None else f"turn {judgment.turn + 1}"


def _model(answer: Dialogue) -> str:
    return str(answer.metadata.get("model", ""))


def _problem(answer: Dialogue, turn: int) -> str | None:
    """Why this turn cannot be judged, or None."""
    replies = answer.replies
    for number in range(turn + 1):
        if number >= len(replies):
            return f"turn {number + 1} has no reply"
        failure = replies[number].extra.get("failure")
        if not is_given(failure):
            return f"the reply to turn {number + 1} failed: {failure}"
    return None


def _no_answer(judge: Judge, answer: Dialogue, turn: int, *, metadata: Mapping[str, object], model: str) -> Judgment:
    rubric = judge.rubric
    return Judgment(
        item=answer.id,
        turn=turn,
        model=model,
        judge=judge.model.name,
        prompt=f"{rubric.name}@{rubric.version}",
        unscored="no_answer",
        metadata=metadata,
    )


def _user_prompt(rubric: Rubric, fields: Mapping[str, str]) -> str:
    return str(rubric.request(fields).messages[-1]["content"])


def _with_marks(rows: Sequence[ScoreRow], judgments: Sequence[Judgment], key: Key) -> list[ScoreRow]:
    """Rows with how many answers were truncated or empty, and how many verdicts are ambiguous."""

    def answers(failure: str) -> list[str | None]:
        found = {(one.item, one.turn): key(one) for one in judgments if one.metadata.get("answer_failure") == failure}
        return list(found.values())

    marked = {
        "truncated": answers("truncated"),
        "empty": answers("empty"),
        "ambiguous": [key(one) for one in judgments if one.metadata.get("ambiguous")],
    }
    marks = {
        row.name: {name: len(of) if row.name == "all" else of.count(row.name) for name, of in marked.items()}
        for row in rows
    }
    return [
        replace(row, counts={**row.counts, **{name: number for name, number in marks[row.name].items() if number}})
        for row in rows
    ]
