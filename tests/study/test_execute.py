"""Studies end to end: complete, resumable after a kill, the same with more jobs, and not stopped by a broken cell."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
import yaml
from demo import read_lines
from studies import study_tree, tiny_study

from turnwise.errors import ConfigError, RunError
from turnwise.study.execute import run_study
from turnwise.study.measure import RESULTS_SCHEMA


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def results(folder):
    return pq.read_table(folder / "results.parquet").to_pylist()


def comparable(folder):
    """All figures except how long things took."""
    rows = [row for row in results(folder) if row["metric"] != "wall_seconds"]
    return sorted(rows, key=lambda row: json.dumps(row, sort_keys=True))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The study of the tests, run in one go by one job."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("finished") / "study"
    told = []
    summary = run_study(tiny_study(folder), jobs=1, tell=told.append)
    return folder, summary, told


@pytest.mark.slow
def test_every_cell_is_trained_measured_and_its_weights_removed(finished):
    folder, summary, told = finished
    assert summary["cells"] == {"planned": 9, "done": 9, "failed": 0, "missing": 0}
    assert json.loads((folder / "summary.json").read_text()) == json.loads(json.dumps(summary))
    for mixture in ("H", "H+N"):
        for method in ("plain", "paper"):
            for seed in ("0", "1"):
                cell = folder / "cells" / mixture / method / seed
                names = {path.name for path in cell.iterdir()}
                assert {"cell.json", "ledger.parquet", "metrics.jsonl", "summary.json"} <= names
                assert not {"model", "adapter", "checkpoints"} & names
                assert json.loads((cell / "manifest.json").read_text())["status"] == "done"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["command"], manifest["status"]) == ("study", "done")
    assert any("[9/9] H+N/paper/1: loss world" in line for line in told)


@pytest.mark.slow
def test_results_are_one_row_a_figure_with_the_base_under_every_mixture_and_seed(finished):
    folder, _, _ = finished
    assert pq.read_schema(folder / "results.parquet").equals(RESULTS_SCHEMA)
    rows = results(folder)
    whole = {
        (row["mixture"], row["method"], row["seed"], row["metric"], row["name"]): row
        for row in rows
        if row["turn"] is None and row["source"] is None and row["key"] is None
    }
    for mixture in ("H", "H+N"):
        for seed in (0, 1):
            for method in ("base", "plain", "paper"):
                assert whole[mixture, method, seed, "loss", "world"]["value"] > 0
                assert 0 <= whole[mixture, method, seed, "accuracy", "facts"]["value"] <= 1
            assert whole[mixture, "base", seed, "loss", "world"]["run"] == "untrained/base"
            assert whole[mixture, "plain", seed, "steps", ""]["value"] == 3
            assert ("H+N", "paper", seed, "auroc_noise", "") in whole
            assert ("H", "paper", seed, "auroc_noise", "") not in whole, "nothing there is noise"
    assert {row["key"] for row in rows if row["metric"] == "auroc_noise"} == {None, "kind=wrong"}
    of_turns = [
        row for row in rows if row["metric"] == "loss" and row["turn"] is not None and row["run"] == "cells/H/plain/0"
    ]
    overall = whole["H", "plain", 0, "loss", "world"]
    assert sum(row["n"] for row in of_turns) == overall["n"]
    assert sum(row["n"] * row["value"] for row in of_turns) == pytest.approx(overall["n"] * overall["value"])


@pytest.mark.slow
def test_replicates_draw_their_own_noise_and_keep_the_worlds_dialogues(finished):
    folder, _, _ = finished
    drawn = [
        {(record["id"], record["metadata"].get("noise", {}).get("kind")) for record in read_lines(path)}
        for path in (folder / "data" / "H+N-0.jsonl", folder / "data" / "H+N-1.jsonl")
    ]
    assert drawn[0] != drawn[1]
    assert {name for name, _ in drawn[0]} == {name for name, _ in drawn[1]}


@pytest.mark.slow
def test_killed_with_two_jobs_and_resumed_with_one_gives_the_same_figures(finished, tmp_path):
    """The first part runs as the command line does, in processes; it is killed when a cell is done, but not all."""
    whole, _, _ = finished
    folder = tmp_path / "study"
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study_tree(folder), sort_keys=False))
    command = [sys.executable, "-m", "turnwise", "study", tmp_path / "study.yaml", "--jobs", "2"]
    study = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)
    try:
        end = time.monotonic() + 200
        while not (done := list(folder.glob("cells/*/*/*/cell.json"))):
            assert study.poll() is None, study.stderr.read().decode()
            assert time.monotonic() < end
            time.sleep(0.05)
        study.send_signal(signal.SIGKILL)
        study.communicate(timeout=60)  # ends when no worker holds the pipe any more
    finally:
        study.kill()
    before = {path: path.stat().st_mtime_ns for path in done}
    with pytest.raises(RunError, match="already holds a run"):
        run_study(tiny_study(folder))
    summary = run_study(tiny_study(folder), resume=True, jobs=1)
    assert summary["cells"]["done"] == 9
    assert {path: path.stat().st_mtime_ns for path in done} == before, "cells that were done are left alone"
    assert comparable(folder) == comparable(whole)


@pytest.mark.slow
def test_a_cell_that_cannot_be_trained_is_listed_with_its_reason_and_does_not_stop_the_others(tmp_path, monkeypatch):
    """A threshold of no non-finite loss at all, and a learning rate that makes every weight infinite."""
    methods = {
        "breaks": {
            "method": "resure",
            "resure": {"max_non_finite_share": 0},
            "trainer": {"learning_rate": 1e38, "max_grad_norm": 0, "max_steps": 6},
        },
        "plain": {"method": "vicuna"},
    }
    folder = tmp_path / "study"
    config = tiny_study(folder, methods=methods, mixtures={"H": {"sources": [{"world": {"n": 16}}]}}, seeds=[0])
    summary = run_study(config, jobs=1)
    assert summary["cells"] == {"planned": 2, "done": 1, "failed": 1, "missing": 0}
    assert [failure["cell"] for failure in summary["failures"]] == ["H/breaks/0"]
    assert "not finite" in summary["failures"][0]["reason"]
    failed = [row for row in results(folder) if row["method"] == "breaks"]
    assert [(row["metric"], row["value"]) for row in failed] == [("failed", 1.0)]
    assert any(row["method"] == "plain" and row["metric"] == "loss" for row in results(folder))


@pytest.mark.slow
def test_a_setting_that_a_run_would_refuse_is_refused_before_the_folder_is_touched(tmp_path):
    methods = {"plain": {"method": "vicuna", "trainer": {"lerning_rate": 1}}}
    with pytest.raises(ConfigError, match="lerning_rate"):
        run_study(tiny_study(tmp_path / "study", methods=methods))
    assert not (tmp_path / "study").exists()


@pytest.mark.slow
def test_an_oracle_takes_the_steps_of_all_dialogues_and_only_some_cells_can_be_asked_for(tmp_path):
    """32 dialogues in batches of 8 are 4 steps an epoch; the 24 clean ones alone would be 3."""
    methods = {
        "oracle": {"method": "vicuna", "keep": "clean"},
        "oracle-steps": {"method": "vicuna", "keep": "clean", "steps": "same"},
    }
    train = {
        "trainer": {"per_device_train_batch_size": 8, "num_train_epochs": 1, "save_strategy": "no", "use_cpu": True}
    }
    folder = tmp_path / "study"
    summary = run_study(tiny_study(folder, methods=methods, train=train), only="H+N/*/1", jobs=1)
    assert summary["cells"] == {"planned": 8, "done": 2, "failed": 0, "missing": 6}
    steps = {row["method"]: row["value"] for row in results(folder) if row["metric"] == "steps"}
    assert steps == {"oracle": 3, "oracle-steps": 4}
    assert sorted(path.name for path in Path(folder, "data").iterdir()) == ["H+N-1.clean.jsonl", "H+N-1.jsonl"]
