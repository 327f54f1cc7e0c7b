"""Turns put into words: questions, statements and answers for the units of a plan."""

from __future__ import annotations

import itertools
import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from turnwise.dialogue import Document
from turnwise.synthesis import asking_en, asking_zh, planning, statements, wording_en, wording_zh
from turnwise.synthesis.asking import Question
from turnwise.synthesis.chain import ChainTurn, Logic, Span
from turnwise.synthesis.pieces import Language, Piece
from turnwise.synthesis.planning import Unit


class Teller:
    """Writes the turns of one document.

    Args:
        document: The document.
        language: Its language.
        pieces: Its usable pieces, in order.
        phrases: Key phrases of each piece, by where it starts.
        pool: Per kind of entity, those of the document: what a wrong statement can say instead.
        rng: Source of all choices.
    """

    def __init__(
        self,
        document: Document,
        language: Language,
        pieces: Sequence[Piece],
        phrases: Mapping[int, tuple[str, ...]],
        pool: Mapping[str, Sequence[str]],
        rng: random.Random,
    ) -> None:
        self._document, self._language, self._phrases, self._pool, self._rng = document, language, phrases, pool, rng
        self._words: Any = wording_zh if language == "zh" else wording_en
        self._asked: dict[int, list[Question]] = {}
        self._said: set[str] = set()
        self._used: set[str] = set()
        self._openers: list[str] = []
        self._known = frozenset(re.findall(r"(?<![\w-])[a-z]{3,}(?![\w-])", document.text[:200_000]))
        near = [(one, two) for one, two in itertools.pairwise(pieces) if two.sentence - one.sentence <= 1]
        self._before = {two.start: one for one, two in near}
        self._planned: set[str] = set()
        self._facts: dict[int, str | None] = {}
        self._swaps: dict[tuple[int, int], statements.Swapped | None] = {}
        self._kinds: Counter[str] = Counter()
        title = re.sub(r"[\s_]+", " ", document.title or "").strip()
        if len(title.split()) > 1 and title[1:] == title[1:].lower():
            title = title[0].lower() + title[1:]  # "Computational complexity", but not "Black Death"
        self._title = f"《{title}》" if f"《{title}》" in document.text[:2_000] else asking_en.lowered(title)
        best = max(phrases.values(), key=len, default=())
        self._topic = self._title or (best[0] if best else self._words.GENERIC)

    def hardness(self, unit: Unit) -> float:
        """How badly the best question of a unit reads, from 0."""
        return min((question.rank for question in self._questions(unit.piece)), default=9)

    def tell(self, units: Sequence[Unit]) -> list[ChainTurn]:
        """The turns for units in their order; a unit for which nothing new can be said is left out."""
        plan = planning.logics(len(units), lambda place, logic: self._fits(units, place, logic), self._rng)
        turns: list[ChainTurn] = []
        before: Unit | None = None
        for place, (unit, logic) in enumerate(zip(units, plan, strict=True)):
            after = units[place + 1] if place + 1 < len(units) else None
            turn = self._turn(unit, logic, before, after, turns)
            if turn is not None:
                turns.append(turn)
                before = unit
        return turns

    def _fits(self, units: Sequence[Unit], place: int, logic: Logic) -> bool:
        unit = units[place]
        if logic == "opinion-rebuttal":
            return self._swap(unit) is not None
        if logic == "question-question":
            return self._aspects(unit, units[place + 1]) is not None
        if logic == "opinion-agreement":
            stated: Piece | None = unit.piece
        elif logic == "statement-explanation":
            stated = None if unit.part else self._before.get(unit.piece.start)
        else:
            stated = units[place - 1].piece if units[place - 1].piece.start != unit.piece.start else None
        fact = self._fact(stated) if stated else None
        if fact is None or fact in self._planned:
            return False
        self._planned.add(fact)  # a fact is stated once in a dialogue
        return True

    def _turn(
        self, unit: Unit, logic: Logic, before: Unit | None, after: Unit | None, turns: list[ChainTurn]
    ) -> ChainTurn | None:
        asked = bool(turns) and turns[-1].logic == "question-question"
        makers: list[tuple[Logic, Iterator[tuple[str, str]]]] = []
        if logic == "question-question" and after is not None:
            makers.append((logic, self._ask_back(unit, after)))
        elif logic == "statement-inquiry" and before is not None:
            makers.append((logic, self._ask_on(unit, before)))
        elif logic == "statement-explanation":
            makers.append((logic, self._explained(unit)))
        elif logic == "opinion-rebuttal":
            makers.append((logic, self._rebutted(unit)))
        elif logic == "opinion-agreement":
            makers.append((logic, self._agreed(unit)))
        makers += [("question-answer", self._answered(unit, before, asked, first=not turns))]
        makers += [("question-answer", self._told(unit))]
        for kind, pairs in makers:
            for user, assistant in pairs:
                key = re.sub(r"[\W_]+", "", user.casefold())
                if key and key not in self._said:
                    self._said.add(key)
                    self._note(unit, user)
                    return self._written(unit, kind, user, assistant)
        return None

    def _note(self, unit: Unit, user: str) -> None:
        """Remember the question that was asked, so that it and its kind come later the next time."""
        for question in self._asked_of(unit):
            if question.text in user or self._lower(question.text) in user:
                self._used.add(question.text.casefold())
                self._kinds[question.kind] += 1

    def _written(self, unit: Unit, logic: Logic, user: str, assistant: str) -> ChainTurn:
        text = self._document.text[unit.start : unit.end]
        return ChainTurn(
            user, assistant, logic, self._words.PURPOSES[logic], self._phrases.get(unit.piece.start, ()), text,
            Span(unit.start, unit.end, text),
        )  # fmt: skip

    # What is said.

    def _answered(self, unit: Unit, before: Unit | None, asked: bool, *, first: bool) -> Iterator[tuple[str, str]]:
        near = before is not None and 0 <= unit.piece.sentence - before.piece.sentence <= 1
        for question in self._for(unit, near=near):
            two = self._phrases[unit.piece.start][0] if asked else ""
            if asked and two not in question.text:
                continue
            if asked:
                shapes = self._words.PICKED
            elif first and self._title:
                shapes = self._words.QUESTION_FIRST
            else:
                shapes = self._words.QUESTION_NEXT if near and not first else self._words.QUESTION
            for shape in self._shuffled(shapes if not first or self._title else ("{question}",)):
                user = shape.format(
                    question=question.text, lower=self._lower(question.text), title=self._title, two=two,
                    Two=asking_en.raised(two),
                )  # fmt: skip
                yield user, self._reply(unit, question)
        if asked:
            two = self._phrases[unit.piece.start][0]
            for shape in self._shuffled(self._words.PICKED_ALONE):
                reply = self._rng.choice(self._words.ANSWER_ABOUT).format(evidence=self._evidence(unit))
                yield shape.format(two=two, Two=asking_en.raised(two)), reply

    def _told(self, unit: Unit) -> Iterator[tuple[str, str]]:
        """Where no question can be made: what is said about the first words."""
        words = self._document.text[unit.start : unit.end].split()
        front = " ".join(words[:6])[:60] if self._language == "en" else self._document.text[unit.start : unit.end][:12]
        front = re.sub(r"\s+", " ", front)
        shape = (
            "What does the text say where it speaks of “{}”?"
            if self._language == "en"
            else "文中提到“{}”的地方是怎么说的？"
        )
        yield shape.format(front), self._evidence(unit)
        shape = "Where in the text does “{}” stand?" if self._language == "en" else "“{}”出现在哪句话里？"
        yield shape.format(re.sub(r"\s+", " ", self._document.text[unit.start : unit.end])), self._evidence(unit)

    def _ask_back(self, unit: Unit, after: Unit) -> Iterator[tuple[str, str]]:
        aspects = self._aspects(unit, after)
        if aspects is None:
            return
        for shape in self._shuffled(self._words.VAGUE):
            back = self._rng.choice(self._words.ASK_BACK)
            yield (
                shape.format(topic=self._topic),
                back.format(one=aspects[0], two=aspects[1], evidence=self._evidence(unit)),
            )

    def _ask_on(self, unit: Unit, before: Unit) -> Iterator[tuple[str, str]]:
        fact = self._fact(before.piece)
        near = 0 <= unit.piece.sentence - before.piece.sentence <= 1
        for question in self._for(unit, near=near) if fact else ():
            for shape in self._shuffled(self._words.STATE_ASK):
                topics = list(self._phrases.get(unit.piece.start, ()))
                topic = self._rng.choice(topics) if topics else self._topic
                user = shape.format(fact=fact, question=question.text)
                reply = self._reply(unit, question)
                end = "" if reply[-1:] in '.。!！?？”"' else "。" if self._language == "zh" else "."
                ask = self._rng.choice(self._words.ASK_ON).format(topic=topic)
                yield user, reply + end + ("" if self._language == "zh" else " ") + ask

    def _explained(self, unit: Unit) -> Iterator[tuple[str, str]]:
        """The sentence before is stated, and this one explains it."""
        fact = self._fact(self._before[unit.piece.start])
        for shape in self._shuffled(self._words.STATE) if fact else ():
            yield shape.format(fact=fact), self._rng.choice(self._words.EXPLAIN).format(evidence=self._evidence(unit))

    def _rebutted(self, unit: Unit) -> Iterator[tuple[str, str]]:
        swap = self._swap(unit)
        if swap is None:
            return
        for shape in self._shuffled(self._words.OPINION):
            reply = self._rng.choice(self._words.REBUT)
            yield (
                shape.format(fact=swap.text),
                reply.format(right=swap.right, wrong=swap.wrong, evidence=self._evidence(unit)),
            )

    def _agreed(self, unit: Unit) -> Iterator[tuple[str, str]]:
        fact = self._fact(unit.piece)
        for shape in self._shuffled(self._words.OPINION) if fact else ():
            yield shape.format(fact=fact), self._rng.choice(self._words.AGREE).format(evidence=self._evidence(unit))

    # What it is made from.

    def _questions(self, piece: Piece) -> list[Question]:
        if piece.start not in self._asked:
            self._asked[piece.start] = self._made(piece.text, self._phrases.get(piece.start, ()))
        return self._asked[piece.start]

    def _made(self, text: str, phrases: tuple[str, ...]) -> list[Question]:
        if self._language == "zh":
            return asking_zh.questions(text, phrases)
        return asking_en.questions(text, phrases, self._known)

    def _for(self, unit: Unit, *, near: bool) -> list[Question]:
        """Questions for a unit that were not asked before, in the order to try them."""
        found = self._asked_of(unit)
        open_ones = [one for one in found if one.text.casefold() not in self._used]
        return sorted(
            open_ones,
            key=lambda one: (
                one.rank + (0 if near or not one.leaning else 5) + 0.7 * self._kinds[one.kind] + self._rng.random() * 2
            ),
        )

    def _asked_of(self, unit: Unit) -> list[Question]:
        """The questions of a unit; of a clause, those whose answer begins in it, and about phrases in it."""
        found = self._questions(unit.piece)
        if not unit.part:
            return found
        low, high = unit.start - unit.piece.start, unit.end - unit.piece.start
        text = self._document.text[unit.start : unit.end]
        inside = tuple(phrase for phrase in self._phrases.get(unit.piece.start, ()) if phrase in text)
        about = [one for one in self._made(text, inside) if one.kind == "about"]
        return [one for one in found if one.answer and low <= one.start < high] + about

    def _reply(self, unit: Unit, question: Question) -> str:
        shapes = {
            "why": self._words.ANSWER_WHY, "whether": self._words.ANSWER_YES, "about": self._words.ANSWER_ABOUT,
        }.get(question.kind, self._words.ANSWER)  # fmt: skip
        answer = re.sub(r"\s+", " ", question.answer).strip(" .。，,；;")
        inner = asking_en.lowered(answer, self._known) if self._language == "en" else answer
        evidence = self._evidence(unit)
        return str(self._rng.choice(shapes).format(answer=inner, Answer=asking_en.raised(answer), evidence=evidence))

    def _evidence(self, unit: Unit) -> str:
        """What is told of the unit: for a clause the sentence around it, where not the clause alone is wanted."""
        text = self._document.text[unit.start : unit.end]
        if not unit.part:
            return text
        return f"“{text}”" if unit.only else unit.piece.text

    def _fact(self, piece: Piece) -> str | None:
        start = piece.start
        if start not in self._facts:
            self._facts[start] = statements.statement(piece.text, self._language, self._known)
        return self._facts[start]

    def _swap(self, unit: Unit) -> statements.Swapped | None:
        if (unit.start, unit.end) in self._swaps:
            return self._swaps[unit.start, unit.end]
        within = (unit.start - unit.piece.start, unit.end - unit.piece.start) if unit.part else None
        rng = random.Random(f"{unit.start}:{self._document.id}")
        swap = statements.swapped(unit.piece.text, self._pool, self._language, rng, self._known, within)
        self._swaps[unit.start, unit.end] = swap
        return swap

    def _aspects(self, unit: Unit, after: Unit) -> tuple[str, str] | None:
        """A key phrase of each of two units that differ."""
        one, two = (self._phrases.get(each.piece.start, ()) for each in (unit, after))
        if unit.piece.start == after.piece.start or not one or not two:
            return None
        first, second = one[0], two[0]
        same = first.casefold() in second.casefold() or second.casefold() in first.casefold()
        return None if same else (first, second)

    def _lower(self, text: str) -> str:
        return text[:1].lower() + text[1:] if self._language == "en" else text

    def _shuffled(self, shapes: Sequence[str]) -> list[str]:
        """The shapes in random order, those used lately last."""
        order = self._rng.sample(list(shapes), len(shapes))
        order.sort(key=lambda shape: self._openers[-4:].count(shape) if shape != "{question}" else 0)
        self._openers.append(order[0])
        return order
