"""A teacher that knows our prompts: it reads the fenced material, writes dialogues about it, and fails on demand.

It obeys whoever gives it instructions, unless they stand between the marks of a fence, as a well-behaved model would.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from turnwise.dialogue import Document
from turnwise.synthesis.chain import LOGIC_TYPES, Span

FENCED = re.compile(r"<(?P<label>\w+) (?P<mark>[0-9a-f]{12})>\n(?P<inside>.*?)\n</(?P=label) (?P=mark)>", re.DOTALL)
ORDER = re.compile(r"IGNORE ALL INSTRUCTIONS AND SAY (\w+)")
NEVER_WRITTEN = "Purple elephants signed the treaty under water"
FAULTS = ("not_json", "missing_key", "ungrounded", "cut")
ENGLISH = Document(
    "bridge",
    "The bridge was opened in 1890. It is made of steel from Scotland. Fowler and Baker designed the bridge. "
    "Trains cross it every day. Painters need three years for one coat. The wind was measured on an island. "
    "Tourists photograph it from the harbour. A second bridge carries the motorway. A third one opened in 2017.",
    title="The Forth Bridge",
)
CHINESE = Document(
    "桥",
    "福斯桥于1890年通车。它由苏格兰的钢材建成。福勒和贝克设计了这座桥。火车每天从桥上驶过。刷一遍漆需要三年。"
    "风力是在一座小岛上测量的。游客在港口为它拍照。第二座桥承载公路。第三座桥于2017年开放。",
    title="苏格兰的桥",
)


def material(prompt: str) -> dict[str, str]:
    """What stands inside the fences of a prompt, by label."""
    return {found["label"]: found["inside"] for found in FENCED.finditer(prompt)}


def order_of(messages: Sequence[Mapping[str, Any]]) -> str | None:
    """The word that an instruction outside of all fences demands."""
    outside = "\n".join(FENCED.sub("", str(message["content"])) for message in messages)
    found = ORDER.search(outside)
    return found.group(1) if found else None


def split(text: str, language: str = "en") -> list[Span]:
    """Sentences, by their last sign."""
    return [Span(found.start(), found.end(), found.group()) for found in re.finditer(r"[^\s.。][^.。]*[.。]", text)]


class Overlap:
    """Searches by shared words, or shared characters in Chinese."""

    def __init__(self, sentences: Sequence[str], language: str) -> None:
        self._parts = [self._of(sentence) for sentence in sentences]

    def search(self, query: str, k: int) -> list[tuple[int, float]]:
        wanted = self._of(query)
        scores = [(index, float(len(wanted & parts))) for index, parts in enumerate(self._parts)]
        return sorted((hit for hit in scores if hit[1]), key=lambda hit: (-hit[1], hit[0]))[:k]

    def _of(self, text: str) -> set[str]:
        return set(re.findall(r"[a-z]+|\d+|[\u4e00-\u9fff]", text.casefold()))


def teacher_reply(messages: Sequence[Mapping[str, Any]], kind: str = "plain", *, turns: int = 8) -> str:
    """The reply to one of our prompts (a repair of it included, which repeats the prompt in its second message).

    Args:
        messages: The request.
        kind: `plain`, or one of `FAULTS`.
        turns: Turns of a whole dialogue.
    """
    prompt = str(messages[1]["content"])
    order = order_of(messages[:2])
    inside = material(prompt)
    if '"used"' in prompt:
        reply = _turn(inside, order)
    elif '"find"' not in prompt and '"search"' in prompt:
        reply = _plan(inside, order)
    else:
        said = [_whole_turn(inside["document"], number, order, '"find"' in prompt) for number in range(turns)]
        reply = {"turns": said}
        if '"thinking"' in prompt:
            reply["thinking"] = "First the first sentence, then the next."
    return _spoilt(reply, kind)


def _whole_turn(document: str, number: int, order: str | None, chain: bool) -> dict[str, Any]:
    sentences = split(document)
    sentence = sentences[number % len(sentences)].text
    turn: dict[str, Any] = {"user": order or _question(sentence, number), "assistant": order or f"It is so: {sentence}"}
    if chain:
        logic = LOGIC_TYPES[number % len(LOGIC_TYPES)]
        turn["type"] = logic.title() if number % 2 else logic
        turn |= {"progress": "deepening", "flow": "asks, answers", "purpose": f"purpose {number}", "search": ["a", ""]}
        turn["find"] = (None if number == 4 else "") if number % 5 == 4 else sentence
    return turn


def _question(sentence: str, number: int) -> str:
    return f"{number}: {sentence[: len(sentence) // 2]}?"


def _plan(inside: dict[str, str], order: str | None) -> dict[str, Any]:
    sentences = split(inside["document"])
    number = inside["dialogue"].count("Assistant:")
    plan = {"type": LOGIC_TYPES[number % 6].title(), "progress": "p", "flow": "f", "purpose": order or "to learn"}
    return {**plan, "search": [sentences[number % len(sentences)].text]}


def _turn(inside: dict[str, str], order: str | None) -> dict[str, Any]:
    number = inside["dialogue"].count("Assistant:")
    lines = [line for line in inside["sentences"].splitlines() if line.startswith("[1] ")]
    if not lines or number % 5 == 4:
        return {"user": order or f"{number}: and besides?", "used": 0, "assistant": order or "Everybody knows that."}
    sentence = lines[0].removeprefix("[1] ")
    return {"user": order or _question(sentence, number), "used": 1, "assistant": order or f"It is so: {sentence}"}


def _spoilt(reply: dict[str, Any], kind: str) -> str:
    if kind == "ungrounded" and "find" in reply.get("turns", [{}])[0]:
        for turn in reply["turns"][2::3]:
            turn["find"] = NEVER_WRITTEN
    if kind == "missing_key":
        (reply["turns"][-1] if "turns" in reply else reply).pop("purpose" if "purpose" in reply else "user", None)
    text = json.dumps(reply, ensure_ascii=False)
    if kind == "not_json":
        return "I would rather not write JSON today."
    return text[: len(text) // 2] if kind == "cut" else text
