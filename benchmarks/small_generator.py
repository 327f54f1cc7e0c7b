"""A generator of one's own, end to end: extractive dialogues, pairs, `turnwise train`, and its dialogues.

    python benchmarks/small_generator.py documents WORK   short documents: some to train on, some that stay new
    python benchmarks/small_generator.py pairs WORK       `turnwise synthesize --export-generator-data`
    python benchmarks/small_generator.py train WORK       a small model from random weights: `turnwise train`
    python benchmarks/small_generator.py write WORK       mode `cod` with that model as teacher, in three ways

The model is far too small to write: what is shown is that the chain of commands closes, and that with constrained
decoding whatever the model has or has not learned its reply parses. Random weights are written with as well.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import islice
from pathlib import Path

DATA = Path(os.environ.get("TURNWISE_DATA", Path(__file__).parents[2] / "shared" / "data"))
CHARACTERS = 360
"""Longest document; whole sentences."""
TRAINED, NEW = 64, 12
TURNS = 2
WRITTEN, MAX_TOKENS = 6, 400
"""Documents of each kind that are written about, and the most tokens of a reply."""
VOCABULARY, HIDDEN, LAYERS, MAX_LENGTH = 2000, 96, 2, 2048
STEPS = int(os.environ.get("GENERATOR_STEPS", "60"))
SEED = 0
TRAINER = {
    "max_steps": STEPS,
    "per_device_train_batch_size": 2,
    "learning_rate": 2e-3,
    "lr_scheduler_type": "cosine",
    "warmup_steps": 5,
    "max_length": MAX_LENGTH,
    "logging_steps": 10,
    "save_strategy": "no",
}
RESULTS = Path(__file__).parents[1] / "docs" / "results" / "generator.json"


def sentence_ends(text: str) -> list[int]:
    """Where sentences end, up to the longest document."""
    from turnwise.synthesis.sentences import split_sentences

    return [one.end for one in split_sentences(text, "en") if one.end <= CHARACTERS]


def documents(work: Path) -> None:
    """Beginnings of SQuAD paragraphs, every fourth: `WORK/trained.jsonl` and `WORK/new.jsonl`."""
    from turnwise.data.read import read_documents

    found = []
    for document in islice(read_documents(DATA / "squad2"), 0, None, 4):
        ends = sentence_ends(document.text)
        if len(ends) >= TURNS:
            found.append({"id": document.id, "title": document.title, "text": document.text[: ends[-1]]})
    for name, some in (("trained", found[:TRAINED]), ("new", found[TRAINED : TRAINED + NEW])):
        lines = [json.dumps(one, ensure_ascii=False) + "\n" for one in some]
        (work / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")


def turnwise(*arguments: object) -> None:
    """Run a command of turnwise with this Python; a share of failed documents is a result, not an error."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-m", "turnwise", *map(str, arguments)], check=True, env=environment)


def pairs(work: Path) -> None:
    """`WORK/pairs.jsonl`."""
    made = ["--turns", f"{TURNS}-{TURNS}", "--export-generator-data", work / "pairs.jsonl"]
    turnwise("synthesize", work / "trained.jsonl", "--output", work / "extractive", *made, "--overwrite")


def train(work: Path) -> None:
    """Random weights and a tokenizer of the pairs' text, then ReSURE on the pairs."""
    from turnwise.data.read import read_dialogues
    from turnwise.study.base_model import small_llama, train_tokenizer

    texts = (message.text for one in read_dialogues(work / "pairs.jsonl") for message in one.messages)
    tokenizer = train_tokenizer(texts, VOCABULARY)
    model = small_llama(len(tokenizer), hidden=HIDDEN, layers=LAYERS, max_length=MAX_LENGTH, seed=SEED)
    model.save_pretrained(work / "random")
    tokenizer.save_pretrained(work / "random")
    config = {
        "model": str(work / "random"),
        "data": [str(work / "pairs.jsonl")],
        "method": "resure",
        "trainer": TRAINER,
        "seed": SEED,
        "output": str(work / "run"),
    }
    (work / "train.yaml").write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML
    turnwise("train", work / "train.yaml", "--overwrite")


WAYS = {
    "free": {},
    "constrained": {"constrained": True},
    "constrained, closed": {"constrained": True, "close_replies": True},
}


def teacher_mode() -> tuple:
    """The mode, and the schema of its replies."""
    from turnwise.synthesis.replies import COD_SCHEMA
    from turnwise.synthesis.teacher_modes import Cod

    return Cod, COD_SCHEMA


def write(work: Path) -> None:
    """Each model on documents that it was trained on and on new ones, in each way; docs/results/generator.json.

    What `turnwise synthesize DOCS --mode cod --teacher local:WORK/run/model --set client.constrained=true` does, in one
    process. Replies are checked here by jsonschema, whatever the stage says of them.
    """
    import jsonschema
    import torch

    from turnwise.data.read import read_documents
    from turnwise.llm.chat import Sampling
    from turnwise.llm.drive import run_all, run_one
    from turnwise.llm.opening import open_model
    from turnwise.llm.settings import ClientConfig
    from turnwise.run import package_versions
    from turnwise.synthesis.chain import grounded_share

    make_mode, schema = teacher_mode()

    def follows(text: str) -> bool:
        try:
            jsonschema.validate(json.loads(text), schema)
        except (ValueError, jsonschema.ValidationError):
            return False
        return True

    torch.set_num_threads(1)
    rows = []
    for model, path in {"random weights": work / "random", "trained": work / "run" / "model"}.items():
        for way, settings in WAYS.items():
            teacher = open_model(f"local:{path}", ClientConfig(repairs=0, batch_size=WRITTEN, **settings))
            mode = make_mode(teacher, turns=TURNS, sampling=Sampling(temperature=0, max_tokens=MAX_TOKENS))
            for name in ("trained", "new"):
                some = list(islice(read_documents(work / f"{name}.jsonl"), WRITTEN))
                done = list(run_all(mode.write, some, lockstep=True))
                turns = [turn for one in done for turn in one.turns]
                row = {
                    "model": model,
                    "way": way,
                    "documents": name,
                    "n": len(done),
                    "parsed": sum(follows(text) for one in done for text in one.raw[:1]),
                    "dialogues": sum(one.failure is None for one in done),
                    "failures": sorted(str(one.failure) for one in done if one.failure),
                    "turns": len(turns),
                    "known logic types": sum(turn.logic is not None for turn in turns),
                    "grounded share": grounded_share(turns),
                }
                rows.append(row)
                print(json.dumps(row), file=sys.stderr, flush=True)
            run_one(teacher.close())
    summary = json.loads((work / "run" / "summary.json").read_text())
    training = {key: summary[key] for key in ("method", "steps", "train_loss")}
    figures = {"rows": rows, "training": training, "trainer": TRAINER, "versions": package_versions()}
    RESULTS.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    for row in rows:
        share = "-" if row["grounded share"] is None else f"{row['grounded share']:.2f}"
        cells = [row["model"], row["way"], row["documents"], f"{row['parsed']}/{row['n']}", row["dialogues"]]
        print("| " + " | ".join(map(str, [*cells, row["turns"], row["known logic types"], share])) + " |")


if __name__ == "__main__":
    commands = {"documents": documents, "pairs": pairs, "train": train, "write": write}
    commands[sys.argv[1]](Path(sys.argv[2]))
