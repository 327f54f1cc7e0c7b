"""The offline mode: key phrases, questions by surface patterns and templates make a grounded dialogue, without a model.

Plain but faithful: whatever the assistant says about the document stands in the document, word for word.
"""

from __future__ import annotations

import random

from turnwise.dialogue import Document
from turnwise.errors import ConfigError
from turnwise.synthesis import planning
from turnwise.synthesis.chain import Written, failed, language_of
from turnwise.synthesis.key_phrases import key_phrases
from turnwise.synthesis.pieces import sentences_of
from turnwise.synthesis.sentences import split_sentences
from turnwise.synthesis.statements import pool_of
from turnwise.synthesis.telling import Teller

_MOST_PIECES = 600
"""Pieces of a document that are looked at; of a longer one an even selection of stretches."""
_STRETCH = 6


class Extractive:
    """Dialogues out of the sentences of a document, in English or Chinese, without a language model.

    Args:
        turns: Fewest and most turns. A document gives fewer than the fewest only where it has no room: where its usable
            sentences and, if those are too few, their usable clauses are fewer (see `pieces.usable`).
        coverage: The share of the document's characters that the evidence is to hold, in (0, 1]; reached as nearly as
            `turns` allows. None leaves it to the number of turns.
        seed: With the document's id it decides every choice.

    Raises:
        ConfigError: `turns` is not 1 <= fewest <= most, or `coverage` is out of range.
    """

    def __init__(self, *, turns: tuple[int, int] = (8, 12), coverage: float | None = None, seed: int = 0) -> None:
        if not 1 <= turns[0] <= turns[1]:
            raise ConfigError(f"expected turns as fewest and most, 1 or more, found {turns[0]} and {turns[1]}")
        if coverage is not None and not 0 < coverage <= 1:
            raise ConfigError(f"expected a coverage above 0 and at most 1, found {coverage}")
        self.turns, self.coverage, self.seed = turns, coverage, seed

    @property
    def name(self) -> str:
        """`extractive`."""
        return "extractive"

    @property
    def teacher(self) -> str | None:
        """None: there is no teacher."""
        return None

    async def write(self, document: Document) -> Written:
        """Write a dialogue about one document; `too_short` where none of its sentences is usable."""
        return self.dialogue(document)

    def dialogue(self, document: Document) -> Written:
        """The same at once.

        Returns:
            Turns in the order of the document. `checks` holds `evidence_share` (characters of the document in any
            evidence / all), `room` (units of evidence that the document has, counted up to the most turns) and, where
            there are fewer turns than asked for, `fewer_turns` with the number that was asked for.
        """
        language = language_of(document.text)
        rng = random.Random(f"{self.seed}:{document.id}")
        pieces = _selected(sentences_of(document.text, language, split_sentences))
        if not pieces:
            return failed("too_short", "no sentence of the document has enough words to be asked about")
        fewest, most = self.turns
        texts = [piece.text for piece in pieces]
        phrases = dict(zip((piece.start for piece in pieces), key_phrases(texts, language=language), strict=True))
        teller = Teller(document, language, pieces, phrases, pool_of(texts, language), rng)
        units = planning.room(pieces, language, fewest)
        if self.coverage is None:
            number = max(fewest, min(rng.randint(fewest, most), len(pieces)))
            picked = planning.chosen(units, number, teller.hardness)
        else:
            wanted = round(self.coverage * len(document.text))
            picked = planning.covering(units, self.turns, wanted, teller.hardness, language)
        turns = teller.tell(picked)
        spans = sorted((turn.span.start, turn.span.end) for turn in turns if turn.span is not None)
        checks = {"evidence_share": round(_covered(spans) / len(document.text), 4), "room": min(len(units), most)}
        if len(turns) < fewest:
            checks["fewer_turns"] = fewest
        return Written(turns=tuple(turns), checks=checks)


def _selected(pieces: list) -> list:  # type: ignore[type-arg]
    if len(pieces) <= _MOST_PIECES:
        return pieces
    groups = _MOST_PIECES // _STRETCH
    starts = [round(number * (len(pieces) - _STRETCH) / (groups - 1)) for number in range(groups)]
    return [pieces[place] for place in sorted({start + step for start in starts for step in range(_STRETCH)})]


def _covered(spans: list[tuple[int, int]]) -> int:
    total = last = 0
    for start, end in spans:
        total += max(0, end - max(start, last))
        last = max(last, end)
    return total
