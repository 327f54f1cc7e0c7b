"""The aspects of a conversation that the ReSURE paper has judged: Connection, Quality, Information Density and
Friendliness (section 4.1, appendix A, Figures 7 to 10).

Each aspect is graded on dialogues sampled for it alone, one request per dialogue. The criteria and scales are the
paper's, the words are ours (`aspects.yaml`).
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib import resources
from typing import Any

import yaml

from turnwise.dialogue import Dialogue
from turnwise.errors import ConfigError
from turnwise.judging.judge import Judge, Rubric
from turnwise.judging.prompt import fence
from turnwise.judging.ratings import json_scores
from turnwise.judging.records import Judgment
from turnwise.llm.chat import ChatModel, Sampling
from turnwise.llm.drive import run_all
from turnwise.quality.conversation import Exchange, as_json, exchanges, num_words
from turnwise.quality.summary import By, group_of
from turnwise.quality.verdicts import Density, density_verdict, turn_verdict

ASPECTS = ("connection", "quality", "information_density", "friendliness")
SAMPLE = 100

_SCORE = {"type": "integer", "minimum": 1, "maximum": 10}
_TEXT = {"type": "string"}


class AspectSample:
    """Dialogues drawn for each aspect by itself.

    The draw goes by the hash of seed, aspect and dialogue id: it does not depend on the order of the data, one pass
    suffices, and a dialogue that is added to the data leaves most of the draw as it was.

    Args:
        size: Dialogues per aspect and group; all, where there are fewer.
        seed: Of the draw.
        aspects: Which aspects.
        by: Draw from each source or tier by itself.

    Attributes:
        without_reply: Dialogues that were offered and have nothing to judge.

    Raises:
        ConfigError: The size is below 1, or there is no such aspect.
    """

    def __init__(
        self, size: int = SAMPLE, *, seed: int = 0, aspects: Sequence[str] = ASPECTS, by: By | None = None
    ) -> None:
        unknown = [aspect for aspect in aspects if aspect not in ASPECTS]
        if unknown or not aspects:
            raise ConfigError(f"expected aspects of {', '.join(ASPECTS)}, found {', '.join(unknown) or 'none'}")
        if size < 1:
            raise ConfigError(f"expected a sample of at least 1 dialogue, found {size}")
        self.without_reply = 0
        self._size, self._seed, self._aspects, self._by = size, seed, tuple(aspects), by
        self._drawn: dict[tuple[str, str], list[tuple[int, str, Dialogue]]] = {}

    def add(self, dialogue: Dialogue) -> None:
        """Offer one dialogue; one without any reply has nothing to judge and is counted in `without_reply`."""
        if not any(turn["assistant"].strip() for turn in exchanges(dialogue)):
            self.without_reply += 1
            return
        group = group_of(dialogue, self._by)
        for aspect in self._aspects:
            found = self._drawn.setdefault((group, aspect), [])
            entry = (-self._rank(aspect, dialogue.id), dialogue.id, dialogue)
            if len(found) < self._size:
                heapq.heappush(found, entry)
            elif entry[0] > found[0][0]:
                heapq.heapreplace(found, entry)

    def drawn(self) -> Iterator[tuple[str, str, Dialogue]]:
        """Group, aspect and dialogue of everything that is to be judged, in a fixed order."""
        for group, aspect in sorted(self._drawn, key=lambda key: (key[0], ASPECTS.index(key[1]))):
            for _, _, dialogue in sorted(self._drawn[group, aspect], key=lambda entry: -entry[0]):
                yield group, aspect, dialogue

    def _rank(self, aspect: str, name: str) -> int:
        digest = hashlib.sha256(f"{self._seed}\n{aspect}\n{name}".encode("utf-8", "surrogatepass")).digest()
        return int.from_bytes(digest[:8], "big")


@dataclass(frozen=True, slots=True)
class AspectJudge:
    """Judges drawn dialogues with one model.

    Attributes:
        model: The judge.
        density: Where units and words of the information density come from: `counted` takes the units that the judge
            lists and the words that a program counts; `published` takes both numbers as the judge states them, as the
            paper does. Both are kept with every judgment.
        samples: How often each judgment is repeated.
    """

    model: ChatModel
    density: Density = "counted"
    samples: int = 1

    def judge_all(self, drawn: Iterable[tuple[str, str, Dialogue]]) -> Iterator[list[Judgment]]:
        """The judgments of each drawn dialogue, in order, many requests in flight."""
        lockstep = bool(getattr(self.model, "lockstep", False))
        yield from run_all(lambda entry: self.judge(*entry), drawn, lockstep=lockstep)

    async def judge(self, group: str, aspect: str, dialogue: Dialogue) -> list[Judgment]:
        """One aspect of one dialogue: one judgment per sample; of `quality`, one per sample and turn.

        `turn` counts from 0 where a turn is judged, is the last turn for `connection`, and None for the whole dialogue.
        """
        turns = exchanges(dialogue)
        rubric = rubric_of(aspect, turns, self.density)
        fields = {"conversation": fence(as_json(turns), "conversation")}
        if aspect == "quality":
            fields["turns"] = str(len(turns))
        judged = await Judge(self.model, rubric, self.samples).grade(
            fields,
            item=dialogue.id,
            turn=len(turns) - 1 if aspect == "connection" else None,
            model=dialogue.source or "data",
            metadata={"group": group, "source": dialogue.source, "tier": dialogue.tier},
        )
        if aspect != "quality":
            return judged
        return [replace(one, criterion="quality", turn=int(one.criterion)) for one in judged]


def rubric_of(aspect: str, turns: Sequence[Exchange], density: Density = "counted") -> Rubric:
    """The rubric of an aspect for one conversation: `quality` has a criterion per turn, `"0"`, `"1"`, ..."""
    wording = _wordings()[aspect]
    make = partial(
        Rubric,
        aspect,
        wording["version"],
        wording["template"],
        sampling=Sampling(temperature=0, max_tokens=wording["max_tokens"]),
    )
    if aspect == "quality":
        numbers = tuple(map(str, range(len(turns))))
        return make(turn_verdict, criteria=numbers, low=1, high=10, schema=_TURNS_SCHEMA)
    if aspect == "information_density":
        words = num_words(list(turns))
        return make(
            lambda text: density_verdict(text, words, density),
            criteria=(aspect,),
            low=0,
            high=1,
            schema=_DENSITY_SCHEMA,
        )
    return make(json_scores((aspect,)), criteria=(aspect,), low=1, high=10, schema=_SCORE_SCHEMA)


def _object(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


_SCORE_SCHEMA = _object(explanation=_TEXT, score=_SCORE)
_TURNS_SCHEMA = _object(
    evaluations={"type": "array", "items": _object(turn={"type": "integer"}, explanation=_TEXT, score=_SCORE)}
)
_DENSITY_SCHEMA = _object(
    units={"type": "array", "items": _TEXT},
    number_of_units={"type": "integer", "minimum": 0},
    number_of_words={"type": "integer", "minimum": 0},
)


@cache
def _wordings() -> Mapping[str, Mapping[str, Any]]:
    text = resources.files("turnwise.quality").joinpath("aspects.yaml").read_text(encoding="utf-8")
    wordings: Mapping[str, Mapping[str, Any]] = yaml.safe_load(text)
    return wordings
