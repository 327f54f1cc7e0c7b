"""`turnwise train` from the outside: results, kills, interrupts, and what goes to which stream."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time

import pyarrow.parquet as pq
import pytest
import torch
from demo import read_lines, run_main
from safetensors.torch import load_file

pytestmark = pytest.mark.slow

SETTINGS = ["--set", "trainer.logging_steps=1", "--set", "trainer.per_device_train_batch_size=4"]


def arguments(demo, output, *more):
    return ["train", "--model", demo.base, "--data", demo.train, "--output", output, *SETTINGS, *more]


def test_a_run_leaves_its_report_and_prints_one_json_object_last(demo, tmp_path, monkeypatch, capsys):
    output = tmp_path / "Läufe" / "会"
    more = ["--eval-data", demo.held_out, "--set", "trainer.max_steps=3", "--seed", "7", "--json"]
    code, out, err = run_main(monkeypatch, capsys, *arguments(demo, output, *more))
    assert code == 0
    *table, last = out.splitlines()
    result = json.loads(last)
    assert result["run"] == str(output)
    assert (result["steps"], result["counts"]["train"], result["counts"]["eval"]) == (3, 40, 20)
    assert 0 <= result["auroc_noise"] <= 1
    assert json.loads((output / "summary.json").read_text())["eval"] == result["eval"]
    assert json.loads((output / "manifest.json").read_text(encoding="utf-8"))["seeds"] == {"seed": 7}
    page = (output / "report.html").read_text(encoding="utf-8")
    assert page.lower().startswith("<!doctype html>")
    # On stdout stands our table and nothing of the libraries; progress goes to stderr.
    assert table[0].strip() == "trained"
    assert [line.split("│")[0].strip() for line in table[3:]] == [
        "method",
        "dialogues trained on",
        "optimizer steps",
        "mean training loss",
        "held-out loss (nats/token)",
        "AUROC of the ledger for labelled noise",
        "seconds",
    ]
    assert "step 3/3" in err
    assert "loss" in err
    assert "{" not in "".join(table)


def test_a_configuration_file_with_options_on_top(demo, tmp_path, monkeypatch, capsys):
    recipe = tmp_path / "this.yaml"
    recipe.write_text(
        f"model: {demo.base}\n"
        f"data: {demo.train}\n"
        "method: resure\n"
        "resure: {preset: paper, warmup_dialogues: 4}\n"
        "peft: {r: 2, target_modules: all-linear}\n"
        "trainer: {max_steps: 9, learning_rate: 1e-3}\n"
        f"output: {tmp_path / 'never'}\n"
    )
    more = ["--output", tmp_path / "run", "--set", "trainer.max_steps=2", "--method", "vicuna"]
    code, _, _ = run_main(monkeypatch, capsys, "train", recipe, *more)
    assert code == 0
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["config"]["trainer"] == {"max_steps": 2, "learning_rate": 1e-3}
    assert manifest["config"]["method"] == "vicuna"
    assert (tmp_path / "run" / "adapter" / "adapter_model.safetensors").exists()
    assert not (tmp_path / "never").exists()
    assert (tmp_path / "run" / "report.html").exists()


def start(command, **options):
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "turnwise", *map(str, command)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell without job control starts its background jobs deaf to Ctrl-C, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        **options,
    )


def wait_for_step(process, metrics, step):
    """Until `metrics.jsonl` shows a step; the process must live that long."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if metrics.is_file() and f'"step": {step},' in metrics.read_text():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)
    raise AssertionError(f"no step {step} within two minutes")


# 60 steps with a checkpoint every 3: many enough that a kill lands between two of them.
LONG = ["--set", "trainer.max_steps=60", "--set", "trainer.save_steps=3", "--set", "trainer.learning_rate=1e-2"]
RULE = ["--set", "resure.warmup_dialogues=16", "--set", "resure.ramp_steps=5", "--set", "resure.half_life=40"]


def comparable(run):
    keep = read_lines(run / "metrics.jsonl")[:-1]  # the last one holds the run time
    return keep, pq.read_table(run / "ledger.parquet").to_pylist(), load_file(run / "model" / "model.safetensors")


def test_a_run_killed_at_any_moment_and_resumed_equals_one_that_never_was(demo, tmp_path, monkeypatch, capsys):
    """SIGKILL some milliseconds after a random step; then the same command with --resume."""
    code, out, _ = run_main(monkeypatch, capsys, *arguments(demo, tmp_path / "whole", *LONG, *RULE, "--json"))
    assert code == 0
    whole = json.loads(out.splitlines()[-1])
    draw = random.Random(os.getpid())
    step = draw.randrange(4, 40)
    process = start(arguments(demo, tmp_path / "killed", *LONG, *RULE))
    wait_for_step(process, tmp_path / "killed" / "metrics.jsonl", step)
    time.sleep(draw.random() * 0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "killed" / "model").exists()
    manifest = json.loads((tmp_path / "killed" / "manifest.json").read_text())
    assert manifest["status"] == "running"

    code, out, err = run_main(monkeypatch, capsys, *arguments(demo, tmp_path / "killed", *LONG, *RULE))
    assert code == 2
    assert "--resume continues it" in err
    command = arguments(demo, tmp_path / "killed", *LONG, *RULE, "--resume", "--json")
    code, out, _ = run_main(monkeypatch, capsys, *command)
    assert code == 0
    result = json.loads(out.splitlines()[-1])
    expected, found = comparable(tmp_path / "whole"), comparable(tmp_path / "killed")
    assert found[0] == expected[0], f"metrics differ, killed at step {step}"
    assert found[1] == expected[1], f"ledgers differ, killed at step {step}"
    for name, parameter in expected[2].items():
        assert torch.equal(parameter, found[2][name]), f"{name} differs, killed at step {step}"
    assert result["steps"] == whole["steps"] == 60
    assert result["train_loss"] == pytest.approx(whole["train_loss"], rel=1e-6)
    assert not list((tmp_path / "killed").rglob(".partial-*"))


def test_an_interrupted_run_says_so_exits_130_and_can_be_resumed(demo, tmp_path, monkeypatch, capsys):
    process = start(arguments(demo, tmp_path / "run", *LONG))
    wait_for_step(process, tmp_path / "run" / "metrics.jsonl", 4)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 130
    assert "--resume continues a run" in err
    assert "Traceback" not in err
    assert out == ""
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["status"] == "interrupted"
    code, _, _ = run_main(monkeypatch, capsys, *arguments(demo, tmp_path / "run", *LONG, "--resume"))
    assert code == 0
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["status"] == "done"


def test_a_truncated_checkpoint_is_passed_over_for_the_one_before(demo, tmp_path, monkeypatch, capsys):
    command = arguments(demo, tmp_path / "run", "--set", "trainer.max_steps=6", "--set", "trainer.save_steps=2")
    assert run_main(monkeypatch, capsys, *command)[0] == 0
    before = comparable(tmp_path / "run")
    state = tmp_path / "run" / "checkpoints" / "checkpoint-6" / "trainer_state.json"
    state.write_text(state.read_text()[:100])
    assert run_main(monkeypatch, capsys, *command, "--resume")[0] == 0
    after = comparable(tmp_path / "run")
    assert after[0] == before[0]
    assert after[1] == before[1]
    for name, parameter in before[2].items():
        assert torch.equal(parameter, after[2][name])


def test_overwrite_replaces_a_run(demo, tmp_path, monkeypatch, capsys):
    command = arguments(demo, tmp_path / "run", "--set", "trainer.max_steps=2")
    assert run_main(monkeypatch, capsys, *command)[0] == 0
    (tmp_path / "run" / "note.txt").write_text("of the first run")
    assert run_main(monkeypatch, capsys, *command, "--seed", "3", "--overwrite")[0] == 0
    assert not (tmp_path / "run" / "note.txt").exists()
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["seeds"] == {"seed": 3}
