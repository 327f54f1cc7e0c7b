"""What every dialogue that a mode has written must pass, and what becomes of one that does not."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from turnwise.data.near_duplicates import NearDuplicates, shingles, similarity
from turnwise.dialogue import Dialogue, Document, Message
from turnwise.errors import MissingExtraError
from turnwise.synthesis.chain import ChainTurn, Mode, Written, cut_after, grounded_share, language_of, to_dialogue
from turnwise.synthesis.settings import SynthesisConfig

LEFT_OUT = ("near_duplicate", "other_language", "over_length")
"""Reasons by which a dialogue is kept out as asked; every other reason counts as a failure."""

_OF_ALL_TURNS = ("ungrounded_cut", "flags")
"""Checks that say something of a dialogue even after some of its turns are cut off."""


class Filters:
    """Checks dialogues one after another, in the order of their documents.

    Args:
        settings: What is asked of a dialogue.

    Attributes:
        exact_only: Whether only exact copies are found, as the package for near duplicates is not installed.
    """

    def __init__(self, settings: SynthesisConfig) -> None:
        self._settings = settings
        self._near: NearDuplicates | None = None
        self.exact_only = False
        if settings.near_duplicates is not None:
            try:
                self._near = NearDuplicates(settings.near_duplicates)
            except MissingExtraError:
                self.exact_only = True
        self._ids: list[str] = []
        self._exact: dict[bytes, str] = {}

    def wanted(self, document: Document) -> Written | None:
        """What is said of a document that is left out unread, or None for one that is wanted."""
        languages, language = self._settings.languages, language_of(document.text)
        if languages is None or language in languages:
            return None
        return Written(
            failure="other_language", detail=f"the document is in {language}, not in {' or '.join(languages)}"
        )

    def apply(self, document: Document, written: Written, mode: Mode) -> tuple[Written, Dialogue | None]:
        """Check what was written about a document.

        Returns:
            What is left of it, with the figures of the checks, and its record; or with a `failure`, and None. The
            turns of a dialogue that is left out stay in it.
        """
        if written.failure is not None:
            return written, None
        written = self._grounded(written)
        if written.failure is None:
            written = self._measured(written)
        failure = self._short_or_long(document, written) if written.failure is None else None
        if failure is not None:
            written = replace(written, failure=failure[0], detail=failure[1])
        if written.failure is not None:
            return written, None
        try:
            dialogue = to_dialogue(document, written, mode)
        except ValueError as error:  # a span that is not the document's: the mode's fault, and no reason to stop
            return replace(written, failure="malformed", detail=str(error)), None
        repeats = self._repeats(dialogue)
        if repeats is not None:
            detail = f"nearly the same as {repeats}"
            return replace(written, failure="near_duplicate", detail=detail, checks={"repeats": repeats}), None
        return written, dialogue

    def _grounded(self, written: Written) -> Written:
        """With `require_grounded`, only the turns before the first whose claimed span was not found."""
        if not written.turns:
            return replace(written, failure="no_turns", detail="the dialogue has no turns")
        if not self._settings.require_grounded:
            return written
        claims = (number for number, turn in enumerate(written.turns) if turn.find and turn.span is None)
        number = next(claims, None)
        if number is None:
            return written
        said = _short(written.turns[number].find)
        detail = f"the evidence of turn {number} does not stand in the document: {said}"
        if number < self._settings.min_turns:
            return replace(written, failure="ungrounded", detail=detail)
        return cut_after(written, number, ungrounded_cut=len(written.turns) - number)

    def _measured(self, written: Written) -> Written:
        """With the figures of the turns that are left; those that the mode has measured stay where nothing was cut."""
        figures = {
            "turns": len(written.turns),
            "grounded": grounded_share(written.turns),
            "near_duplicate_turns": _repeated_turns(written.turns, self._settings.near_duplicates),
        }
        if "ungrounded_cut" in written.checks:
            kept = {key: written.checks[key] for key in _OF_ALL_TURNS if key in written.checks}
            return replace(written, checks={**kept, **figures})
        return replace(written, checks={**figures, **written.checks})

    def _short_or_long(self, document: Document, written: Written) -> tuple[str, str] | None:
        settings, turns = self._settings, written.turns
        if len(turns) < settings.min_turns:
            return "too_short", f"expected at least {settings.min_turns} turns, found {len(turns)}"
        characters = sum(len(turn.user) + len(turn.assistant) for turn in turns)
        if settings.max_characters is not None and characters > settings.max_characters:
            return "over_length", f"expected at most {settings.max_characters} characters, found {characters}"
        said = language_of("".join(turn.user + turn.assistant for turn in turns))
        if settings.same_language and said != language_of(document.text):
            return "language", f"the document is in {language_of(document.text)}, the dialogue in {said}"
        return None

    def _repeats(self, dialogue: Dialogue) -> str | None:
        """The id of an earlier dialogue that this one repeats; if none, it is remembered."""
        if self._settings.near_duplicates is None:
            return None
        if self._near is not None:
            place = self._near.place(dialogue)
            if place is not None:
                return self._ids[place]
            self._ids.append(dialogue.id)
            return None
        text = "\0".join(f"{message.role}\0{message.text}" for message in dialogue.messages)
        first = self._exact.setdefault(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest(), dialogue.id)
        return None if first == dialogue.id else first


def _repeated_turns(turns: Sequence[ChainTurn], threshold: float | None) -> list[int]:
    """Turns that say (nearly) what an earlier turn of the dialogue says, by index."""
    threshold = 1.0 if threshold is None else threshold
    said = [
        shingles(Dialogue([Message("user", turn.user), Message("assistant", turn.assistant)], id="turn"))
        for turn in turns
    ]
    return [
        number
        for number, own in enumerate(said)
        if any(similarity(own, earlier) >= threshold for earlier in said[:number])
    ]


def _short(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")
