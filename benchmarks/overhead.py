"""What ReSURE costs per step: ReSURETrainer against TRL's SFTTrainer on the same tokens, in paired fresh processes.

    python benchmarks/overhead.py [--repeats 5]      prints a table and writes docs/results/overhead.json

Each repeat runs the cells in the order A B B A ..., every run in a process of its own, one thread, fp32, the same
model, data, order and optimizer. Time is taken between steps, after 3 steps of warming up, over 20 steps. Ratios are
taken within a repeat; the table shows their median. Unit weights and the losses are checked to be equal.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

CELLS = {"trl": [], "resure-dialogue": ["--unit", "dialogue"], "resure-turn": ["--unit", "turn"]}
LAYOUTS = ("padded", "packed")
WARM, STEPS = 3, 20


def rows(count: int = 400) -> list[dict]:
    """Token dialogues of 4 to 10 turns, about a third of the tokens supervised."""
    import numpy as np

    random = np.random.default_rng(0)
    made = []
    for number in range(count):
        ids: list[int] = []
        labels: list[int] = []
        for _ in range(int(random.integers(4, 11))):
            user, reply = random.integers(10, 40), random.integers(5, 20)
            tokens = random.integers(10, 8000, user + reply).tolist()
            ids += tokens
            labels += [-100] * int(user) + tokens[user:]
        made.append({"id": f"d{number}", "input_ids": ids[:480], "labels": labels[:480]})
    return made


def child(cell: str, layout: str, unit: str) -> None:
    """One measured run; prints JSON."""
    import time

    import torch
    from datasets import Dataset, disable_progress_bars
    from tokenizers import Tokenizer, models
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    from turnwise import ReSUREConfig, ReSURETrainer

    disable_progress_bars()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    vocabulary = {f"t{number}": number for number in range(8000)}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(vocabulary, unk_token="t0")), pad_token="t1", eos_token="t2"
    )
    model = LlamaForCausalLM(
        LlamaConfig(vocab_size=8000, hidden_size=192, intermediate_size=512, num_hidden_layers=4, num_attention_heads=6)
    )
    ticks: list[tuple[float, float]] = []

    class Clock(TrainerCallback):
        def on_step_end(self, *args: object, **kwargs: object) -> None:
            ticks.append((time.perf_counter(), time.process_time()))

    ours = cell != "trl"
    options = {"packing": True, "max_length": 512} if layout == "packed" else {"max_length": 480}
    extra = (
        {"unit": unit, "reduction": "token", "warmup_dialogues": 10**9, "assistant_only_loss": False} if ours else {}
    )
    with tempfile.TemporaryDirectory() as folder:
        config = (ReSUREConfig if ours else SFTConfig)(
            output_dir=folder,
            max_steps=WARM + STEPS,
            per_device_train_batch_size=4 if layout == "padded" else 2,
            logging_steps=1,
            report_to="none",
            bf16=False,
            activation_checkpointing=False,
            dataloader_pin_memory=False,
            disable_tqdm=True,
            save_strategy="no",
            seed=0,
            **options,
            **extra,
        )
        trainer = (ReSURETrainer if ours else SFTTrainer)(
            model=model,
            args=config,
            train_dataset=Dataset.from_list(rows()),
            processing_class=tokenizer,
            callbacks=[Clock()],
        )
        trainer.train()
    losses = [log["loss"] for log in trainer.state.log_history if "grad_norm" in log]
    wall, cpu = (ticks[-1][place] - ticks[WARM - 1][place] for place in (0, 1))
    print(json.dumps({"wall": wall / STEPS, "cpu": cpu / STEPS, "losses": losses}))


def main() -> None:
    """Run all cells in pairs and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--child", nargs=3)
    options = parser.parse_args()
    if options.child:
        child(*options.child)
        return
    results: dict = {}
    for layout in LAYOUTS:
        runs: dict[str, list[dict]] = {cell: [] for cell in CELLS}
        for repeat in range(options.repeats):
            order = list(CELLS) if repeat % 2 == 0 else list(CELLS)[::-1]
            for cell in order:
                unit = CELLS[cell][1] if CELLS[cell] else "dialogue"
                done = subprocess.run(
                    [sys.executable, __file__, "--child", cell, layout, unit],
                    check=True,
                    capture_output=True,
                    text=True,
                    env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
                )
                runs[cell].append(json.loads(done.stdout.splitlines()[-1]))
        for cell in list(CELLS)[1:]:
            assert all(run["losses"] == runs["trl"][0]["losses"] for run in runs[cell]), "unit weights must equal TRL"
            for clock in ("wall", "cpu"):
                ratios = [ours[clock] / trl[clock] for ours, trl in zip(runs[cell], runs["trl"], strict=True)]
                results[f"{layout}/{cell}/{clock}"] = {
                    "median_ratio": statistics.median(ratios),
                    "ratios": ratios,
                    "trl_seconds_per_step": statistics.median(run[clock] for run in runs["trl"]),
                }
                print(
                    f"{layout:8} {cell:16} {clock:5} ratio {statistics.median(ratios):.3f}  "
                    f"({min(ratios):.3f} to {max(ratios):.3f})",
                    flush=True,
                )
    target = Path(__file__).parents[1] / "docs" / "results" / "overhead.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
