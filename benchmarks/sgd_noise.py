"""Swapped replies in real dialogues: plain tuning, ReSURE with both statistics, and an oracle, on the sgd data.

    python benchmarks/sgd_noise.py prepare WORK      base model, noisy and clean data
    python benchmarks/sgd_noise.py run WORK          turnwise train for every method and seed
    python benchmarks/sgd_noise.py collect WORK      docs/results/sgd_swapped_replies.{md,json}

The data: 2,000 dialogues of the train file, half of them with every assistant reply swapped for a reply of another
dialogue; the base model is pretrained on the other 2,500. Of the 400 (clean) validation dialogues the first 200
initialise ReSURE's statistics, as the paper's 640 high-quality dialogues do, and the other 200 are held out. The test
file (600 clean dialogues, many about services that no training dialogue knows) is held out too. The oracle trains on
the clean half only, once for the same number of epochs and once for the same number of steps.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from itertools import chain, repeat
from pathlib import Path

SEEDS = (0, 1, 2)
IN_DOMAIN, UNSEEN = "validation", "test"
MAX_LENGTH = 320
EPOCHS = 2
NOISE_RATE = 0.5
NUM_NOISY = 2000
PRETRAIN_STEPS = 1400
DATA = Path(os.environ.get("TURNWISE_DATA", Path(__file__).parents[2] / "shared" / "data")) / "sgd"

TRAINER = {
    "num_train_epochs": EPOCHS,
    "per_device_train_batch_size": 16,
    "learning_rate": 5.0e-4,
    "lr_scheduler_type": "cosine",
    "warmup_steps": 10,
    "max_length": MAX_LENGTH,
    "logging_steps": 10,
    "save_strategy": "no",
    "eval_strategy": "no",
}
RESURE = {"ramp_steps": 10}
# Everything with the reduction `sample`, so that methods differ in their weights alone.
METHODS = {
    "plain": {"method": "vicuna", "reduction": "sample"},
    "resure-welford": {"method": "resure", "resure": {**RESURE, "statistics": "welford"}},
    "resure-corrected": {"method": "resure", "resure": {**RESURE, "statistics": "corrected"}},
    "resure-welford-turn": {"method": "resure", "resure": {**RESURE, "statistics": "welford", "unit": "turn"}},
    "resure-corrected-turn": {"method": "resure", "resure": {**RESURE, "statistics": "corrected", "unit": "turn"}},
    "resure-robust": {"method": "resure", "resure": {"preset": "robust"}},
    "oracle-same-epochs": {"method": "vicuna", "reduction": "sample"},
    "oracle-same-steps": {"method": "vicuna", "reduction": "sample"},
}


def prepare(work: Path) -> None:
    """Make the data files and the base model."""
    import torch

    from turnwise import read_dialogues, write_dialogues
    from turnwise.data.noise import swap_replies
    from turnwise.study.base_model import pretrain, small_llama, train_tokenizer

    torch.set_num_threads(1)
    work.mkdir(parents=True, exist_ok=True)
    dialogues = list(read_dialogues(DATA / "train.jsonl.gz"))
    noisy = swap_replies(dialogues[:NUM_NOISY], NOISE_RATE, seed=0)
    write_dialogues(noisy, work / "noisy.jsonl", overwrite=True)
    validation = list(read_dialogues(DATA / "validation.jsonl.gz"))
    write_dialogues(validation[:200], work / "warmup.jsonl", overwrite=True)
    write_dialogues(validation[200:], work / "held_out.jsonl", overwrite=True)
    clean = [dialogue for dialogue in noisy if dialogue.metadata["noise"]["kind"] == "clean"]
    write_dialogues(clean, work / "clean.jsonl", overwrite=True)

    rest = dialogues[NUM_NOISY:]
    tokenizer = train_tokenizer((message.text for dialogue in rest for message in dialogue.messages), 2048)
    for dialogue in rest:
        while len(tokenizer.apply_chat_template([m.to_dict() for m in dialogue.messages])["input_ids"]) > MAX_LENGTH:
            del dialogue.messages[-2:]
    rest = [dialogue for dialogue in rest if dialogue.messages]
    model = small_llama(len(tokenizer), hidden=128, layers=4, max_length=MAX_LENGTH)
    started = time.monotonic()

    def report(step: int, loss: float) -> None:
        if step % 50 == 0:
            print(f"step {step}/{PRETRAIN_STEPS} loss {loss:.3f} {time.monotonic() - started:.0f} s", flush=True)

    pretrain(
        model,
        tokenizer,
        chain.from_iterable(repeat(rest, 100)),
        steps=PRETRAIN_STEPS,
        batch_size=16,
        learning_rate=2e-3,
        report=report,
    )
    model.save_pretrained(work / "base")
    tokenizer.save_pretrained(work / "base")
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters")


def settings(work: Path, method: str, seed: int) -> dict:
    """The configuration of one run, as `turnwise train` takes it."""
    oracle = method.startswith("oracle")
    trainer = dict(TRAINER)
    if method == "oracle-same-steps":
        trainer["num_train_epochs"] = EPOCHS / (1 - NOISE_RATE)
    warmup = [{"path": str(work / "warmup.jsonl")}] if METHODS[method]["method"] == "resure" else []
    return {
        "model": str(work / "base"),
        "warmup_data": warmup,
        "data": [{"path": str(work / ("clean.jsonl" if oracle else "noisy.jsonl"))}],
        "eval_data": [
            {"path": str(work / "held_out.jsonl"), "source": IN_DOMAIN},
            {"path": str(DATA / "test.jsonl.gz"), "source": UNSEEN},
        ],
        "trainer": trainer,
        "seed": seed,
        "output": str(work / "runs" / f"{method}-{seed}"),
        **METHODS[method],
    }


def run(work: Path, *methods: str) -> None:
    """Train every method (or those named) with every seed; finished runs are left as they are."""
    for seed in SEEDS:
        for method in methods or METHODS:
            config = settings(work, method, seed)
            if (Path(config["output"]) / "report.html").exists():
                continue
            path = work / "configs" / f"{method}-{seed}.yaml"
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(config, indent=2))  # JSON is YAML
            command = [sys.executable, "-m", "turnwise", "train", str(path), "--overwrite"]
            subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


def collect(work: Path) -> None:
    """Write the figures of the finished runs to docs/results/sgd_swapped_replies.json and print them as a table."""
    from transformers import AutoTokenizer, LlamaForCausalLM

    from turnwise import read_dialogues
    from turnwise.evaluation.dialogue_loss import dialogue_loss

    base = LlamaForCausalLM.from_pretrained(work / "base")
    tokenizer = AutoTokenizer.from_pretrained(work / "base")
    held_out = {IN_DOMAIN: work / "held_out.jsonl", UNSEEN: DATA / "test.jsonl.gz"}
    results: dict = {
        "parameters": sum(parameter.numel() for parameter in base.parameters()),
        "base": {
            name: dialogue_loss(base, tokenizer, list(read_dialogues(path)), max_length=MAX_LENGTH).loss
            for name, path in held_out.items()
        },
        "methods": {},
    }
    for method in METHODS:
        runs = {}
        for seed in SEEDS:
            folder = work / "runs" / f"{method}-{seed}"
            if not (folder / "report.html").exists():
                continue
            summary = json.loads((folder / "summary.json").read_text())
            runs[seed] = {
                **{name: summary["eval"]["final"]["loss_by_source"][name] for name in held_out},
                "loss_by_turn": summary["eval"]["final"]["loss_by_turn"],
                "steps": summary["steps"],
                "noise": summary.get("noise"),
                "versions": json.loads((folder / "manifest.json").read_text())["versions"],
            }
        results["methods"][method] = runs
    lines = [
        "| method | seeds | steps | validation loss, mean | minus plain, each seed | test loss, mean "
        "| minus plain, each seed | AUROC of the ledger | AUROC of the loss | flagged |",
        "|---|---|---|---|---|---|---|---|---|---|",
        "| base, not fine-tuned | - | - | {:.4f} | - | {:.4f} | - | - | - | - |".format(*results["base"].values()),
    ]
    plain = results["methods"]["plain"]
    for method, runs in results["methods"].items():
        if not runs:
            continue
        cells = [method, ", ".join(map(str, runs)), str(next(iter(runs.values()))["steps"])]
        for name in held_out:
            cells.append(f"{sum(run[name] for run in runs.values()) / len(runs):.4f}")
            gains = ", ".join(f"{run[name] - plain[seed][name]:+.4f}" for seed, run in runs.items() if seed in plain)
            cells.append("-" if method == "plain" else gains)
        for key in ("auroc", "auroc_loss", "flagged_share"):
            noise = [run["noise"] for run in runs.values()]
            known = [one[key] for one in noise if one and one[key] is not None]
            cells.append(", ".join(f"{value:.3f}" for value in known) or "-")
        lines.append("| " + " | ".join(cells) + " |")
    print("\n".join(lines))
    target = Path(__file__).parents[1] / "docs" / "results"
    target.mkdir(parents=True, exist_ok=True)
    (target / "sgd_swapped_replies.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    {"prepare": prepare, "run": run, "collect": collect}[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])
