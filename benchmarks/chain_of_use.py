"""The chain of use: documents, extractive dialogues of them, `turnwise train` (ReSURE), questions about the documents.

    python benchmarks/chain_of_use.py base WORK        a small base model that has read none of the documents
    python benchmarks/chain_of_use.py dialogues WORK   extractive dialogues of both sets of documents; the questions
    python benchmarks/chain_of_use.py train WORK       `turnwise train` on each set
    python benchmarks/chain_of_use.py score WORK       `turnwise evaluate closed-book` and `loss`, every model and set
    python benchmarks/chain_of_use.py collect WORK     docs/results/chain_of_use.{md,json}

Two sets of SQuAD 2.0 paragraphs, of different articles. Each set has a model that is trained on dialogues of it, and is
the other's control: same base, same number of steps, same kind of dialogues, other documents. The questions are
SQuAD's own, written by people who saw the paragraph; no model is trained on one. The base model has read other
articles, and dialogues about services (sgd).
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from itertools import islice
from pathlib import Path

DATA = Path(os.environ.get("TURNWISE_DATA", Path(__file__).parents[2] / "shared" / "data"))
SETS = {"a": ("Normans", "Steam_engine", "Warsaw"), "b": ("Huguenot", "Harvard_University", "Yuan_dynasty")}
PARAGRAPHS = 3
"""Of each article, the first ones."""
DIALOGUES = 6
"""Of each paragraph, with seeds 0, 1, ..."""
TURNS = (8, 8)
PIECE = 60
"""Most words of a piece of text that the base model reads."""
VOCABULARY, HIDDEN, LAYERS = 3000, 128, 3
MAX_LENGTH = 1024
BASE_STEPS = int(os.environ.get("CHAIN_BASE_STEPS", "1200"))
STEPS = int(os.environ.get("CHAIN_STEPS", "140"))
TRAINER = {
    "max_steps": STEPS,
    "per_device_train_batch_size": 2,
    "learning_rate": 1.5e-3,
    "lr_scheduler_type": "cosine",
    "warmup_steps": 10,
    "max_length": MAX_LENGTH,
    "logging_steps": 20,
    "save_strategy": "no",
}
SEED = 0


def documents(name: str) -> list:
    """The paragraphs of a set."""
    from turnwise.data.read import read_documents

    every = list(read_documents(DATA / "squad2"))
    return [one for title in SETS[name] for one in islice((d for d in every if d.title == title), PARAGRAPHS)]


def reading() -> list:
    """What the base model reads: pieces of other articles as replies to their titles, first turns about services."""
    import random

    from turnwise.data.read import read_dialogues, read_documents
    from turnwise.dialogue import Dialogue, Message

    kept = {title for titles in SETS.values() for title in titles}
    texts = {
        one.text: one
        for one in (*read_documents(DATA / "squad2"), *read_documents(DATA / "xquad" / "xquad.en.json"))
        if one.title not in kept
    }
    read = []
    for one in texts.values():
        words = one.text.split()
        for start in range(0, len(words), PIECE):
            reply = " ".join(words[start : start + PIECE])
            asked = Message("user", str(one.title).replace("_", " "))
            read.append(Dialogue([asked, Message("assistant", reply)], id=f"{one.id}/{start}"))
    services = [
        Dialogue(one.messages[:6], id=one.id) for one in read_dialogues(DATA / "sgd" / "train.jsonl.gz", limit=1000)
    ]
    both = [*read, *read, *services]
    random.Random(SEED).shuffle(both)
    return both


def base(work: Path) -> None:
    """Tokenizer and model, trained on every token."""
    import torch

    from turnwise.study.base_model import pretrain, small_llama, train_tokenizer

    torch.set_num_threads(1)
    dialogues = reading()
    texts = (message.text for dialogue in dialogues for message in dialogue.messages)
    tokenizer = train_tokenizer(texts, VOCABULARY)
    model = small_llama(len(tokenizer), hidden=HIDDEN, layers=LAYERS, max_length=MAX_LENGTH, seed=SEED)
    losses = pretrain(
        model,
        tokenizer,
        dialogues,
        steps=BASE_STEPS,
        batch_size=16,
        seed=SEED,
        report=lambda step, loss: step % 50 == 0 and print(step, round(loss, 3), file=sys.stderr, flush=True),
    )
    model.save_pretrained(work / "base")
    tokenizer.save_pretrained(work / "base")
    facts = {"parameters": model.num_parameters(), "dialogues": len(dialogues), "final_loss": sum(losses[-50:]) / 50}
    (work / "base.json").write_text(json.dumps(facts), encoding="utf-8")


def extractive(seed: int) -> object:
    """The mode that needs no model."""
    from turnwise.synthesis.extractive import Extractive

    return Extractive(turns=TURNS, seed=seed)


def dialogues(work: Path) -> None:
    """`WORK/NAME.jsonl`, and the questions about the same documents: `NAME.squad.json`, `NAME.golds.jsonl`."""
    from turnwise.data.write import write_dialogues
    from turnwise.dialogue import Dialogue, Message
    from turnwise.synthesis.chain import to_dialogue

    for name in SETS:
        every, golds, articles = [], [], []
        for document in documents(name):
            for seed in range(DIALOGUES):
                mode = extractive(seed)
                written = asyncio.run(mode.write(document))
                if written.turns:
                    made = to_dialogue(document, written, mode)
                    every.append(Dialogue(made.messages, id=f"{made.id}/{seed}", source=name))
            asked = [one for one in document.metadata["qas"] if not one["is_impossible"]]
            paragraph = {"id": document.id, "context": document.text, "qas": asked}
            articles.append({"title": document.title, "paragraphs": [paragraph]})
            golds += [
                Dialogue(
                    [Message("user", one["question"]), Message("assistant", one["answers"][0]["text"])], id=one["id"]
                )
                for one in asked
            ]
        write_dialogues(every, work / f"{name}.jsonl")
        write_dialogues(golds, work / f"{name}.golds.jsonl")
        (work / f"{name}.squad.json").write_text(json.dumps({"version": "2.0", "data": articles}), encoding="utf-8")
        print(name, len(articles), "documents", len(every), "dialogues", len(golds), "questions", file=sys.stderr)


def turnwise(*arguments: object) -> None:
    """Run a command of turnwise with this Python."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-m", "turnwise", *map(str, arguments)], check=True, env=environment)


def train(work: Path, only: str = "") -> None:
    """`turnwise train` with ReSURE on each set, from the same base."""
    for name in SETS:
        if only in ("", name):
            config = {
                "model": str(work / "base"),
                "data": [str(work / f"{name}.jsonl")],
                "method": "resure",
                "trainer": TRAINER,
                "seed": SEED,
                "output": str(work / f"run-{name}"),
            }
            path = work / f"train-{name}.yaml"
            path.write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML
            turnwise("train", path, "--overwrite")


def score(work: Path) -> None:
    """Every model on every set's questions: what it answers, scored as it stands and by its first sentence; losses.

    What `turnwise evaluate closed-book` (and again with `--answers ... --first-sentence`) and `turnwise evaluate loss`
    do, in one process.
    """
    import torch

    from turnwise.evaluation.closed_book import ClosedBook
    from turnwise.evaluation.evaluate import evaluate
    from turnwise.evaluation.held_out import LossConfig, evaluate_loss

    torch.set_num_threads(1)
    models = {"base": work / "base", **{f"run-{name}": work / f"run-{name}" / "model" for name in SETS}}
    for name in SETS:
        for model, path in models.items():
            folder = work / "score" / f"{model}-on-{name}"
            squad = work / f"{name}.squad.json"
            evaluate(ClosedBook(squad), model=f"local:{path}", output=folder / "whole", overwrite=True)
            first = ClosedBook(squad, first_sentence=True)
            evaluate(first, answers=folder / "whole", output=folder / "first", overwrite=True)
            golds = {"model": str(path), "data": str(work / f"{name}.golds.jsonl"), "output": str(folder / "loss")}
            evaluate_loss(LossConfig(**golds), overwrite=True)
            print(name, model, file=sys.stderr, flush=True)


RESULTS = Path(__file__).parents[1] / "docs" / "results" / "chain_of_use.json"
ROLES = {
    "before": {"a": "base", "b": "base"},
    "trained on them": {"a": "run-a", "b": "run-b"},
    "trained on others": {"a": "run-b", "b": "run-a"},
}
"""Whose answers to the questions about a set."""


def read_scores(work: Path, role: str) -> dict[str, dict[str, float]]:
    """For each measure, the score of each question of both sets."""
    found: dict[str, dict[str, float]] = {}
    for name, model in ROLES[role].items():
        folder = work / "score" / f"{model}-on-{name}"
        for way in ("whole", "first"):
            for line in (folder / way / "judgments.jsonl").read_text(encoding="utf-8").splitlines():
                one = json.loads(line)
                label = one["criterion"] if way == "whole" else f"{one['criterion']}, first sentence"
                found.setdefault(label, {})[f"{name}/{one['item']}"] = one["score"]
        for line in (folder / "loss" / "dialogue_losses.jsonl").read_text(encoding="utf-8").splitlines():
            one = json.loads(line)
            found.setdefault("log-probability per token", {})[f"{name}/{one['id']}"] = -one["loss_by_turn"]["0"]
    return found


def collect(work: Path) -> None:
    """All means and paired differences, with intervals over questions, as JSON and as Markdown tables on stdout."""
    from statistics import fmean

    from turnwise.run import package_versions
    from turnwise.statistics.resampling import bootstrap_interval, paired_bootstrap_interval

    scores = {role: read_scores(work, role) for role in ROLES}
    figures: dict = {"means": {}, "differences": {}, "by set": {}}
    for label in scores["before"]:
        questions = sorted(scores["before"][label])
        of_role = {role: [scores[role][label][one] for one in questions] for role in ROLES}
        figures["means"][label] = {
            role: {"mean": fmean(values), "interval": bootstrap_interval(values, n=2000), "n": len(values)}
            for role, values in of_role.items()
        }
        mine = of_role["trained on them"]
        figures["differences"][label] = {
            f"minus {role}": {
                "mean": fmean(a - b for a, b in zip(mine, of_role[role], strict=True)),
                "interval": paired_bootstrap_interval(mine, of_role[role], n=2000),
            }
            for role in ("before", "trained on others")
        }
        figures["by set"][label] = {
            name: {
                role: fmean(scores[role][label][one] for one in questions if one.startswith(f"{name}/"))
                for role in ROLES
            }
            for name in SETS
        }
    summaries = {name: json.loads((work / f"run-{name}" / "summary.json").read_text()) for name in SETS}
    figures["training"] = {
        name: {key: one[key] for key in ("method", "steps", "train_loss", "wall_seconds")}
        for name, one in summaries.items()
    }
    figures["base"] = json.loads((work / "base.json").read_text())
    figures["settings"] = {
        "sets": SETS,
        "paragraphs": PARAGRAPHS,
        "dialogues": DIALOGUES,
        "turns": TURNS,
        "base_steps": BASE_STEPS,
        "trainer": TRAINER,
        "seed": SEED,
    }
    figures["versions"] = package_versions()
    RESULTS.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print_tables(figures)


def print_tables(figures: dict) -> None:
    """The tables of docs/results/chain_of_use.md."""

    def cell(one: dict, sign: str = "") -> str:
        return f"{one['mean']:{sign}.4f} ({one['interval'][0]:{sign}.4f} to {one['interval'][1]:{sign}.4f})"

    print("| measure | " + " | ".join(ROLES) + " |\n|---|" + "---|" * len(ROLES))
    for label, of_role in figures["means"].items():
        print(f"| {label} | " + " | ".join(cell(of_role[role]) for role in ROLES) + " |")
    print("\n| trained on them, minus | before | trained on others |\n|---|---|---|")
    for label, of_role in figures["differences"].items():
        print(f"| {label} | " + " | ".join(cell(one, "+") for one in of_role.values()) + " |")


if __name__ == "__main__":
    commands = {"base": base, "dialogues": dialogues, "train": train, "score": score, "collect": collect}
    commands[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])
