"""A tiny base model with its tokenizer, and dialogue files of the checkable world, for tests of whole runs."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Demo:
    """Paths of what a run needs.

    Attributes:
        base: Folder of a Llama of about 26,000 random parameters.
        train: 40 dialogues, 10 of them with swapped replies, labelled.
        held_out: 20 clean dialogues.
        warmup: 20 clean dialogues.
    """

    base: Path
    train: Path
    held_out: Path
    warmup: Path


def make_demo(folder: Path) -> Demo:
    from turnwise.data.noise import swap_replies
    from turnwise.data.world import World
    from turnwise.data.write import write_dialogues
    from turnwise.study.base_model import small_llama, train_tokenizer

    dialogues = list(World(num_entities=4).dialogues(80, seed=1))
    tokenizer = train_tokenizer([message.text for dialogue in dialogues for message in dialogue.messages], 420)
    demo = Demo(folder / "base", folder / "train.jsonl", folder / "held_out.jsonl", folder / "warmup.jsonl")
    small_llama(len(tokenizer), hidden=32, layers=1).save_pretrained(demo.base)
    tokenizer.save_pretrained(demo.base)
    write_dialogues(swap_replies(dialogues[:40], 0.25, seed=0), demo.train)
    write_dialogues(dialogues[40:60], demo.held_out)
    write_dialogues(dialogues[60:], demo.warmup)
    return demo


def run_main(monkeypatch, capsys, *arguments) -> tuple[int, str, str]:
    """`turnwise ARGUMENTS` in this process, errors and all; gives exit code, stdout, stderr."""
    from turnwise.cli.main import main

    monkeypatch.setattr(sys, "argv", ["turnwise", *map(str, arguments)])
    capsys.readouterr()
    try:
        main()
        code = 0
    except SystemExit as stopped:
        code = stopped.code
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def read_lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
