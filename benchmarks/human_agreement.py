"""What stored scores say of judges and people: Pearson and Spearman with intervals. No model is asked.

Usage: python benchmarks/human_agreement.py --data FOLDER

No set among the public data has a judge's and a person's score of the same thing. This takes what there is: three draws
of one judge (prometheus_mtbench), and people's ratings of messages beside those of whole conversations (topical_chat).
Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from statistics import fmean

from turnwise.statistics.agreement import with_interval
from turnwise.statistics.association import pearson, spearman_rho

RATINGS = {"Poor": 1, "Not Good": 2, "Passable": 3, "Good": 4, "Excellent": 5}

Pair = tuple[float, float]


def correlations(pairs: Sequence[Pair], items: Sequence[str]) -> dict[str, object]:
    """Both coefficients, with intervals that draw whole items."""
    found = {}
    for name, of in (("pearson", pearson), ("spearman", spearman_rho)):
        found[name] = with_interval(lambda rows, of=of: of(*zip(*rows, strict=True)), pairs, items).to_dict()
    return found


def judge_with_itself(folder: Path) -> dict[str, object]:
    """GPT-4's three scores (1 to 5) of an answer: one draw against another, and against the mean of the other two."""
    rows = json.loads((folder / "prometheus_mtbench" / "mt_bench_eval.json").read_text(encoding="utf-8"))
    one, one_items, rest, rest_items = [], [], [], []
    for row in rows:
        for first, second in combinations(row["gpt4_score"], 2):
            one.append((first, second))
            one_items.append(row["instruction"])
        for place, score in enumerate(row["gpt4_score"]):
            others = [other for number, other in enumerate(row["gpt4_score"]) if number != place]
            rest.append((score, fmean(others)))
            rest_items.append(row["instruction"])
    return {"draw and draw": correlations(one, one_items), "draw and mean of two": correlations(rest, rest_items)}


def people_with_themselves(folder: Path) -> dict[str, object]:
    """Topical-Chat: what people say of a speaker's messages, against what they say of the whole conversation.

    A message is rated by its reader. `conversation_rating` has a rating under each speaker's name; whether that is who
    rates or who is rated, the figures tell: both readings are computed.
    """
    dialogues = json.loads((folder / "topical_chat" / "valid_freq.json").read_text(encoding="utf-8"))
    pairs: dict[str, list[Pair]] = {}
    items: dict[str, list[str]] = {}

    def add(name: str, pair: Pair, item: str) -> None:
        pairs.setdefault(name, []).append(pair)
        items.setdefault(name, []).append(item)

    for name, dialogue in dialogues.items():
        whole = {speaker: RATINGS.get(rating) for speaker, rating in dialogue["conversation_rating"].items()}
        of_turns = {
            speaker: [
                RATINGS[message["turn_rating"]]
                for message in dialogue["content"]
                if message["agent"] == speaker and message["turn_rating"] in RATINGS
            ]
            for speaker in whole
        }
        for speaker, other in (("agent_1", "agent_2"), ("agent_2", "agent_1")):
            for which, turns in (("own messages", of_turns[speaker]), ("the other's messages", of_turns[other])):
                if turns and whole[speaker] is not None:
                    add(f"conversation rating and mean over {which}", (whole[speaker], fmean(turns)), name)
        if None not in whole.values():
            add("the two conversation ratings", (whole["agent_1"], whole["agent_2"]), name)
    return {name: correlations(of, items[name]) for name, of in pairs.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    folder = parser.parse_args().data
    found = {
        "judge_with_itself": judge_with_itself(folder),
        "people_with_themselves": people_with_themselves(folder),
    }
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
