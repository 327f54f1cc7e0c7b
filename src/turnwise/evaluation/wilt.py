"""WILT: find a hidden rule about three numbers by asking, then say it. Played by program, nothing is judged.

After Banatt, Cheng, Vaidyanath, Hwu (2024), "WILT: A Multi-Turn, Memorization-Robust Inductive Logic Benchmark for
LLMs" (arXiv 2410.10998). The game is theirs (up to 30 tests, one guess); rules, words and program are ours, so the
figures are not comparable with theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from turnwise.dialogue import Dialogue, Message
from turnwise.errors import ConfigError, DataError
from turnwise.evaluation.benchmark import Benchmark, Item, ScoreTable, is_given, reply_extra
from turnwise.evaluation.tables import score_rows
from turnwise.evaluation.wilt_game import Game
from turnwise.evaluation.wilt_rules import DIFFICULTIES, RULES, Rule
from turnwise.judging.records import Judgment
from turnwise.llm.chat import ChatModel, ChatRequest, Sampling

SAMPLING = Sampling(temperature=0, max_tokens=1024)
PROMPT = "wilt@1"


class WILT(Benchmark):
    """The games over a set of rules.

    Args:
        rules: Which rules; the packaged ones by default.
        max_tests: Tests per game.
        max_invalid: With so many replies that cannot be read, a game is over.
        sampling: How the replies are drawn.

    Raises:
        ConfigError: No rules, two with one id, or a limit below 1.
    """

    name = "wilt"

    def __init__(
        self,
        rules: Sequence[Rule] = RULES,
        *,
        max_tests: int = 30,
        max_invalid: int = 3,
        sampling: Sampling = SAMPLING,
    ) -> None:
        self._rules = {rule.id: rule for rule in rules}
        if not rules or len(self._rules) < len(rules):
            raise ConfigError("expected at least one rule, and every id once")
        if max_tests < 1 or max_invalid < 1:
            raise ConfigError(
                f"expected limits of at least 1, found {max_tests} tests and {max_invalid} invalid replies"
            )
        self._max_tests, self._max_invalid, self._sampling = max_tests, max_invalid, sampling

    def items(self) -> Sequence[Item]:
        """One item per rule; its metadata names the rule's id and difficulty, never what the rule says."""
        return [
            Item(
                f"wilt/{rule.id}",
                [Message("user", self._game(rule).opening)],
                self._sampling,
                metadata={"rule": rule.id, "difficulty": rule.difficulty, "category": rule.difficulty},
            )
            for rule in self._rules.values()
        ]

    async def answer(self, item: Item, model: ChatModel, *, gold_history: bool = False) -> Dialogue:
        """Play one game. There is no gold history: `gold_history` changes nothing.

        A reply that failed ends the game, but for a truncated one, which is read as far as it goes.
        """
        game = self._game(self._rule(item.metadata.get("rule"), item.id))
        messages = list(item.messages)
        while True:
            request = ChatRequest([{"role": one.role, "content": one.content} for one in messages], item.sampling)
            reply = await model.reply(request)
            messages.append(Message("assistant", reply.text, extra=reply_extra(reply)))
            if not is_given(reply.failure):
                break
            said = game.hear(reply.text)
            if said is None:
                break
            messages.append(Message("user", said))
        return Dialogue(messages, id=item.id, source=self.name, metadata={**item.metadata, "model": model.name})

    async def score(self, answer: Dialogue, judge: ChatModel | None) -> list[Judgment]:
        """Play the stored replies again: 1 where the guess is the rule, else 0; `no_answer` where a reply failed.

        `metadata` has `outcome` (`solved`, `wrong`, `invalid`), `tests`, `repeated` (tests made before) and
        `repeated_share`, `invalid`, `guess`, `consistent` (the guess agrees with every test that was made),
        `agreement` and `difference` (see `wilt_rules.Agreement`).

        Raises:
            DataError: The answer is to no rule of this benchmark.
        """
        rule = self._rule(answer.metadata.get("rule"), answer.id)
        game = self._game(rule)
        metadata: dict[str, Any] = {"rule": rule.id, "difficulty": rule.difficulty, "category": rule.difficulty}
        model = str(answer.metadata.get("model", ""))
        failure, detail = None, ""
        for reply in answer.replies:
            if not is_given(reply.extra.get("failure")):
                failure, detail = reply.extra["failure"], str(reply.extra.get("detail", ""))
                break
            if game.end is not None:
                raise DataError(f"{answer.id}: the game was over before its last reply")
            game.hear(reply.text)
        metadata.update(_measures(game))
        if game.end is None:
            metadata.update(answer_failure=failure or "unfinished", detail=detail)
        verdict: dict[str, Any] = {"unscored": "no_answer"}
        if game.end is not None:
            verdict = {"score": float(metadata["outcome"] == "solved")}
        return [Judgment(answer.id, None, model, "program", "solved", PROMPT, metadata=metadata, **verdict)]

    def tables(self, judgments: Sequence[Judgment]) -> list[ScoreTable]:
        """Share of rules that were found, by difficulty; outcomes; tests used; how many of them were repeats."""
        main = score_rows(judgments, _difficulty, order=DIFFICULTIES)
        tables = [ScoreTable("Rules found", "difficulty", main, measure="share")]
        rows = score_rows(judgments, lambda one: str(one.metadata.get("outcome") or "no answer"), total=None)
        tables.append(ScoreTable("Outcomes", "outcome", rows, measure="share"))
        for key, title, measure in (
            ("tests", "Tests used", "tests"),
            ("repeated_share", "Share of tests that had been made before", "share"),
            ("agreement", "Agreement of the guess with the rule (0.5 is no better than always true)", "share"),
            ("invalid", "Replies that could not be read", "replies"),
        ):
            measured = [
                replace(one, score=float(one.metadata[key]))
                for one in judgments
                if one.score is not None and one.metadata.get(key) is not None
            ]
            if measured:
                rows = score_rows(measured, _difficulty, order=DIFFICULTIES)
                tables.append(ScoreTable(title, "difficulty", rows, measure=measure))
        return tables

    def _game(self, rule: Rule) -> Game:
        return Game(rule, self._max_tests, self._max_invalid)

    def _rule(self, name: object, item: str) -> Rule:
        rule = self._rules.get(str(name))
        if rule is None:
            raise DataError(f"{item}: expected a rule of wilt in metadata.rule, found {name!r}")
        return rule


def _measures(game: Game) -> dict[str, Any]:
    tests = len(game.tests)
    agreement = game.agreement()
    measures: dict[str, Any] = {
        "outcome": game.end,
        "tests": tests,
        "repeated": game.repeated,
        "repeated_share": game.repeated / tests if tests else None,
        "invalid": len(game.invalid),
    }
    if game.guess is not None and agreement is not None:
        measures["outcome"] = "solved" if agreement.same else "wrong"
        measures.update(guess=game.guess.text, consistent=game.consistent, agreement=agreement.share)
        if agreement.difference is not None:
            measures["difference"] = [float(number) for number in agreement.difference]
    return measures


def _difficulty(judgment: Judgment) -> str | None:
    difficulty = judgment.metadata.get("difficulty")
    return None if difficulty is None else str(difficulty)
