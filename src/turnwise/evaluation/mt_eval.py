"""MT-Eval: recollection, expansion, refinement and follow-up in dialogues of up to twelve turns.

Kwan, Zeng, Jiang, Wang, Li, Shang, Jiang, Liu, Wong (2024), "MT-Eval: A Multi-Turn Capabilities Evaluation Benchmark
for Large Language Models". Recollection is scored by program (0 or 10), the other three groups by a judge (1 to 10).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from turnwise.dialogue import Dialogue, Message
from turnwise.errors import ConfigError, DataError
from turnwise.evaluation.benchmark import Benchmark, Item, ScoreTable, is_given
from turnwise.evaluation.mt_eval_checks import follows, names_label
from turnwise.evaluation.mt_eval_data import GROUPS, Case, build_cases
from turnwise.evaluation.mt_eval_prompts import JUDGED, OURS, published_rubrics
from turnwise.evaluation.mt_eval_tables import mt_eval_tables
from turnwise.evaluation.text_counts import count_sentences, count_words
from turnwise.judging.judge import Judge
from turnwise.judging.prompt import fill
from turnwise.judging.records import Judgment, repeated
from turnwise.llm.chat import ChatModel

FULL = 10.0
"""Score of a recollection reply that is right; a wrong one has 0."""


class MTEval(Benchmark):
    """The benchmark over its raw files.

    Args:
        folder: The raw files (`mt_eval_data.build_cases` says which).
        prompts: Folder of the benchmark's own judge prompts; None for the packaged ones.
        groups: Which groups are run; `recollection` alone needs no judge.
        own_history_for_judge: Show the judge of a follow-up the reply that the model really gave to the previous turn.
            The authors' program shows the stored reply, also where the model never saw it.
        samples: How often each judgment is repeated.

    Raises:
        ConfigError: A group that MT-Eval does not have.
        DataError: A file is missing or is not the benchmark's.
    """

    name = "mt-eval"

    def __init__(
        self,
        folder: str | Path,
        *,
        prompts: str | Path | None = None,
        groups: Sequence[str] = GROUPS,
        own_history_for_judge: bool = False,
        samples: int = 1,
    ) -> None:
        self._cases = {case.item.id: case for case in build_cases(folder, groups)}
        self._prompts = OURS if prompts is None else published_rubrics(prompts)
        self._own_history = own_history_for_judge
        self._samples = samples
        self.needs_judge = any(group in JUDGED for group in groups)

    def items(self) -> Sequence[Item]:
        """The dialogues of the chosen groups: 168 with 1,170 turns to answer in all four."""
        return [case.item for case in self._cases.values()]

    async def score(self, answer: Dialogue, judge: ChatModel | None) -> list[Judgment]:
        """One judgment per answered turn (and repeat).

        A reply that was cut at its token limit or is empty is scored as it stands and marked (`answer_failure`), as
        the authors' program does; any other failed reply is unscored as `no_answer`.

        Raises:
            ConfigError: The answer's group needs a judge and there is none.
            DataError: The answer is to no dialogue of this benchmark, or has another number of replies.
        """
        case = self._case(answer)
        if case.group in JUDGED and judge is None:
            raise ConfigError(
                f"the group {case.group} of mt-eval needs a judge",
                hint="name one, or choose the group recollection, which a program scores",
            )
        model = str(answer.metadata.get("model", ""))
        replies = answer.replies
        scores = [
            self._score_turn(case, turn, replies, model, judge)
            for turn in range(case.item.answer_from, len(case.turns))
        ]
        return [judgment for judgments in await asyncio.gather(*scores) for judgment in judgments]

    def tables(self, judgments: Sequence[Judgment]) -> list[ScoreTable]:
        """Groups and average first; see `mt_eval_tables`."""
        return mt_eval_tables(judgments)

    def _case(self, answer: Dialogue) -> Case:
        case = self._cases.get(answer.id)
        if case is None:
            raise DataError(f"expected an answer to a dialogue of mt-eval, found the id {answer.id!r}")
        if answer.num_turns != len(case.turns):
            raise DataError(f"{answer.id}: expected {len(case.turns)} replies, found {answer.num_turns}")
        return case

    async def _score_turn(
        self, case: Case, turn: int, replies: list[Message], model: str, judge: ChatModel | None
    ) -> list[Judgment]:
        reply = replies[turn]
        failure = reply.extra.get("failure")
        metadata = {**case.item.metadata, "category": case.turns[turn].task or case.item.metadata["category"]}
        if failure is not None:
            metadata.update(answer_failure=failure, detail=reply.extra.get("detail", ""))
        if not is_given(failure):
            by = judge.name if judge is not None and case.group in JUDGED else "program"
            lost = Judgment(case.item.id, turn, model, by, unscored="no_answer", metadata=metadata)
            return repeated([lost], 1 if by == "program" else self._samples)
        if case.group not in JUDGED:
            right = _is_right(case, turn, reply.text)
            prompt = f"mt-eval-{case.task}@1"
            return [
                Judgment(case.item.id, turn, model, "program", prompt=prompt, score=FULL * right, metadata=metadata)
            ]
        assert judge is not None  # noqa: S101 - checked by the caller; for the type checker
        fields = self._fields(case, turn, replies)
        rubric = self._prompts.rubrics[case.group]
        metadata["user_prompt"] = fill(rubric.template, fields)
        grader = Judge(judge, rubric, self._samples)
        return await grader.grade(fields, item=case.item.id, turn=turn, model=model, metadata=metadata)

    def _fields(self, case: Case, turn: int, replies: list[Message]) -> dict[str, str]:
        text = replies[turn].text
        history: list[tuple[str, str]] = []
        if case.group == "follow-up":
            before = case.turns[turn - 1]
            said = replies[turn - 1].text if self._own_history else before.gold
            history = [("User", before.user), ("Assistant", said)]
            asked = case.turns[turn].user.strip()
        elif case.group == "expansion":
            asked = case.turns[turn].instruction
        else:
            asked = "\n".join(f"{number}. {one}" for number, one in enumerate(constraints(case, turn), start=1))
        counts = count_words(text), count_sentences(text)
        # The authors' program strips replies before judging, but for refinement.
        reply = text if case.group == "refinement" else text.strip()
        return self._prompts.fields(
            case.group, document=case.document, asked=asked, history=history, reply=reply, counts=counts
        )


def constraints(case: Case, turn: int) -> list[str]:
    """The instructions that a reply of a refinement dialogue has to follow: those of its task so far."""
    task = case.turns[turn].task
    return [one.instruction for one in case.turns[: turn + 1] if one.task == task]


def _is_right(case: Case, turn: int, reply: str) -> bool:
    if case.check is not None:
        return follows(case.check, reply)
    return names_label(reply, case.turns[turn].gold)
