"""Dialogues from many documents in a process of its own, to be killed at any moment and started again.

Usage: python synthesis_client.py SETTINGS.json, which holds `url`, `cache`, `output`, `client` (settings).
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from scripted_teacher import Overlap, split

from turnwise.dialogue import Document
from turnwise.llm.chat import ChatModel
from turnwise.synthesis.chain import Mode, Written
from turnwise.synthesis.stepwise import CodStepwise
from turnwise.synthesis.teacher_modes import Cod

WHOLE, STEPWISE, TURNS = 48, 24, 5
_SENTENCES = (
    "The {n} bridge was opened in {year}",
    "Steel for number {n} came from Scotland",
    "Engineer {n} had studied the wind",
    "Every day {n} trains cross the river",
    "Painters need {n} weeks for a coat",
    "The toll was {n} pence at first",
    "A storm of {year} broke a crane",
    "Visitors climb {n} steps to the top",
    "Nobody counted the rivets of bridge {n}",
)


def work() -> list[tuple[str, Document]]:
    """Every dialogue that is wanted: its mode and its document."""
    kinds = ["cod"] * WHOLE + ["cod-stepwise"] * STEPWISE
    return [(kind, _document(number)) for number, kind in enumerate(kinds)]


def _document(number: int) -> Document:
    text = ". ".join(sentence.format(n=100 + number, year=1800 + number) for sentence in _SENTENCES)
    return Document(f"bridge-{number}", f"{text}.")


def modes(teacher: ChatModel) -> dict[str, Mode]:
    """The two modes over a teacher."""
    return {
        "cod": Cod(teacher),
        "cod-stepwise": CodStepwise(teacher, turns=TURNS, retriever=Overlap, split=split),
    }


def shape(written: Written) -> dict[str, Any]:
    """What was written, as JSON gives it back."""
    shaped: dict[str, Any] = json.loads(json.dumps(asdict(written)))
    return shaped


def main(settings: dict[str, Any]) -> None:
    """Write everything; store the result in one go at the end."""
    from turnwise import open_model
    from turnwise.llm.drive import run_all, run_one
    from turnwise.llm.settings import ClientConfig
    from turnwise.llm.usage import Usage

    usage = Usage()
    model = open_model("m@" + settings["url"], ClientConfig(**settings["client"]), cache=settings["cache"], usage=usage)
    by_name = modes(model)

    async def write(item: tuple[str, Document]) -> Written:
        return await by_name[item[0]].write(item[1])

    results = [shape(written) for written in run_all(write, work())]
    run_one(model.close())
    Path(settings["output"]).write_text(json.dumps({"results": results, "usage": usage.to_dict()}))


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
