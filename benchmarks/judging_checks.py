"""Agreement of published judgments with themselves and with length, and of the model-free measures with people.

Run: python benchmarks/judging_checks.py --data FOLDER [--output checks.json]

FOLDER is the folder of public data (prometheus_mtbench, mtbench, mtbench_answers, mtbench_judgments,
topical_chat, oasst1_qlora).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import fmean

from turnwise.dialogue import Dialogue, Message
from turnwise.judging.agreement import Agreements
from turnwise.judging.votes import Vote, read_lengths, read_votes
from turnwise.quality.language import guess_language
from turnwise.quality.repetition import history_overlap, repeated_share, shared_share, type_token_ratio
from turnwise.quality.summary import Summary
from turnwise.quality.words import content_terms, ngrams, words
from turnwise.run import write_json
from turnwise.statistics.agreement import cohen_kappa, rating_pairs, share_agreeing, with_interval
from turnwise.statistics.association import spearman_rho

RATINGS = {"Poor": 1, "Not Good": 2, "Passable": 3, "Good": 4, "Excellent": 5}


def repeated_draws(folder: Path) -> dict:
    """Three GPT-4 scores (1 to 5) of each of 160 answers: how far they agree."""
    rows = json.loads((folder / "prometheus_mtbench" / "mt_bench_eval.json").read_text(encoding="utf-8"))
    votes = [
        Vote(str(row["idx"]), None, row["response_source"], None, None, "gpt-4", float(score), sample=number)
        for row in rows
        for number, score in enumerate(row["gpt4_score"])
    ]
    found = {row.statistic: row.figure.to_dict() for row in Agreements().with_itself(votes)}
    pairs = [pair for row in rows for pair in rating_pairs([row["gpt4_score"]])]
    items = [row["idx"] for row in rows for _ in rating_pairs([row["gpt4_score"]])]
    found["pairs of draws: share equal"] = with_interval(share_agreeing, pairs, items).to_dict()
    for weights in ("unweighted", "quadratic"):
        name = f"pairs of draws: Cohen's kappa, {weights}"
        found[name] = with_interval(lambda rows, w=weights: cohen_kappa(rows, w), pairs, items).to_dict()
    return found


def turns_and_length(folder: Path) -> dict:
    """GPT-4's scores of MT-Bench answers: second turn minus first, and score against length."""
    lengths = {}
    for path in sorted((folder / "mtbench_judgments").glob("answer_*.jsonl")):
        lengths.update(read_lengths(path))
    # One judgment file calls this model by another name than its answers do.
    lengths.update(
        {
            (item, f"finetune_{model}", turn): length
            for (item, model, turn), length in lengths.items()
            if model == "llama2_chat_7b_FFNet"
        }
    )
    found = {}
    for name in ("don-tpanic_gpt-4_single", "muhan421_gpt-4_single", "dreaming-panda_gpt-4_single-origin"):
        votes = [vote for vote in read_votes(folder / "mtbench_judgments" / f"{name}.jsonl") if vote.score is not None]
        by_answer: dict = {}
        for vote in votes:
            by_answer.setdefault((vote.item, vote.model), {}).setdefault(vote.turn, []).append(vote.score)
        pairs = [(key[0], fmean(turns[1]) - fmean(turns[0])) for key, turns in by_answer.items() if len(turns) == 2]
        difference = with_interval(fmean, [value for _, value in pairs], [item for item, _ in pairs])
        found[name] = {"second turn minus first": difference.to_dict()}
        rows, missing = Agreements().with_length(votes, lengths)
        found[name].update({row.statistic: row.figure.to_dict() for row in rows})
        found[name]["without length"] = missing
    return found


def measures_and_people(folder: Path) -> dict:
    """Ratings of single messages by people (Topical-Chat) against measures of the same messages: Spearman."""
    dialogues = json.loads((folder / "topical_chat" / "valid_freq.json").read_text(encoding="utf-8"))
    values: dict[str, list[tuple[float, float]]] = {}
    items: dict[str, list[str]] = {}
    for name, dialogue in dialogues.items():
        before: set[str] = set()
        grams: set = set()
        request: list[str] = []
        for place, message in enumerate(dialogue["content"]):
            said = words(message["message"])
            rating = RATINGS.get(message["turn_rating"])
            if place >= 2 and rating is not None:
                terms = content_terms(said)
                asked = content_terms(request)
                measured = {
                    "words": float(len(said)),
                    "overlap with earlier turns": history_overlap(terms, asked, before),
                    "overlap with the request": len(terms & asked) / len(terms) if terms else None,
                    "repetition within": repeated_share(said),
                    "repetition of earlier messages": shared_share(said, grams),
                    "type-token ratio": type_token_ratio(said),
                }
                for measure, value in measured.items():
                    if value is not None:
                        values.setdefault(measure, []).append((value, rating))
                        items.setdefault(measure, []).append(name)
            before |= content_terms(request)
            grams.update(ngrams(said, 4))
            request = said

    def rho(rows):
        return spearman_rho([a for a, _ in rows], [b for _, b in rows])

    return {measure: with_interval(rho, rows, items[measure]).to_dict() for measure, rows in values.items()}


def strong_and_weak(folder: Path) -> dict:
    """The measures of two-turn MT-Bench answers by strong (H), middling (N) and weak (L) models."""
    lines = (folder / "mtbench" / "question.jsonl").read_text(encoding="utf-8").splitlines()
    asked = {row["question_id"]: row["turns"] for row in map(json.loads, lines)}
    summary = Summary("tier", worst=0)
    for path in sorted((folder / "mtbench_answers").glob("*.jsonl")):
        for row in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
            messages = []
            for request, reply in zip(asked[row["question_id"]], row["choices"][0]["turns"], strict=False):
                messages += [Message("user", request), Message("assistant", reply)]
            summary.add(Dialogue(messages, id=f"{path.stem}/{row['question_id']}", tier=path.name[0]))
    return {f"{row.measure} {row.group}": row.to_dict() for row in summary.rows() if row.group != "all"}


def languages(folder: Path) -> dict:
    """The guess of a language against the label of OASST1 messages."""
    lines = (folder / "oasst1_qlora" / "oa_questions.jsonl").read_text(encoding="utf-8").splitlines()
    pairs = [(row["lang"].split("-")[0], guess_language(row["output"])) for row in map(json.loads, lines)]
    return {
        "messages": len(pairs),
        "right": sum(known == guess for known, guess in pairs),
        "undecided": sum(guess is None for _, guess in pairs),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    found = {
        "repeated draws": repeated_draws(arguments.data),
        "turns and length": turns_and_length(arguments.data),
        "measures and people": measures_and_people(arguments.data),
        "strong and weak models": strong_and_weak(arguments.data),
        "languages": languages(arguments.data),
    }
    if arguments.output is not None:
        write_json(arguments.output, found)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
