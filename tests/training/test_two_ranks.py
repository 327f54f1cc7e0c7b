"""The split over processes changes nothing: 1 x 8 equals 2 x 4, over real gloo processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

SCRIPT = Path(__file__).parent / "two_ranks.py"


def launch(output, ranks, batch_size, unit, layout):
    output.mkdir()
    command = [sys.executable]
    if ranks > 1:
        command += ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={ranks}"]
    command += [str(SCRIPT), str(output), str(batch_size), unit, layout]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    ledger = pq.read_table(output / "ledger.parquet").sort_by(
        [("step", "ascending"), ("dialogue_id", "ascending"), ("turn", "ascending")]
    )
    return json.loads((output / "result.json").read_text()), ledger


@pytest.mark.slow
@pytest.mark.parametrize(("unit", "layout"), [("dialogue", "padded"), ("turn", "padding_free"), ("turn", "mixture")])
def test_one_process_of_eight_and_two_of_four_give_the_same_weights_and_statistics(unit, layout, tmp_path):
    """Micro-batches hold the same 8 dialogues, so only float32 rounding of the losses may differ (1e-5)."""
    one, one_ledger = launch(tmp_path / "one", 1, 8, unit, layout)
    two, two_ledger = launch(tmp_path / "two", 2, 4, unit, layout)
    for column in ("dialogue_id", "turn", "group", "step", "num_tokens", "flagged"):
        assert two_ledger[column].to_pylist() == one_ledger[column].to_pylist(), column
    for column in ("loss", "weight"):
        assert np.allclose(two_ledger[column], one_ledger[column], atol=1e-5), column
    assert any(one_ledger["flagged"].to_pylist()), "the test must see weights below 1"
    assert two["losses"] == pytest.approx(one["losses"], abs=1e-5)
    assert two["norms"] == pytest.approx(one["norms"], abs=1e-4)
    assert two["parameters"] == pytest.approx(one["parameters"], rel=1e-6)
    assert two["state"].keys() == one["state"].keys()
    for key in one["state"].keys() - {"groups"}:
        assert two["state"][key] == one["state"][key]
    for group, statistics in one["state"].get("groups", {}).items():
        assert two["state"]["groups"][group] == pytest.approx(statistics, abs=1e-5)


@pytest.mark.slow
def test_turnwise_train_under_torchrun_writes_one_run_folder(tmp_path):
    """Two processes of the command line: rank 0 writes, the ledger holds the dialogues of both."""
    from turnwise.data.world import World
    from turnwise.data.write import write_dialogues
    from turnwise.study.base_model import small_llama, train_tokenizer

    dialogues = list(World(0).dialogues(40, seed=1))
    tokenizer = train_tokenizer((message.text for dialogue in dialogues for message in dialogue.messages), 500)
    tokenizer.save_pretrained(tmp_path / "base")
    small_llama(len(tokenizer), hidden=32, layers=1).save_pretrained(tmp_path / "base")
    write_dialogues(dialogues, tmp_path / "data.jsonl")
    config = {
        "model": str(tmp_path / "base"),
        "data": str(tmp_path / "data.jsonl"),
        "trainer": {"use_cpu": True, "max_steps": 5, "per_device_train_batch_size": 4, "save_strategy": "no"},
        "output": str(tmp_path / "run"),
    }
    (tmp_path / "train.yaml").write_text(json.dumps(config))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command += ["-m", "turnwise", "train", str(tmp_path / "train.yaml"), "--json"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout.splitlines()[-1])["steps"] == 5
    ledger = pq.read_table(tmp_path / "run" / "ledger.parquet")
    assert len(set(ledger["dialogue_id"].to_pylist())) == 40, "5 steps x 2 ranks x 4 dialogues, each once"
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["status"] == "done"
    assert (tmp_path / "run" / "report.html").is_file()
