"""`turnwise study`: what it prints, and with which code it ends."""

from __future__ import annotations

import json

import pytest
import yaml
from demo import run_main
from studies import study_tree


@pytest.fixture
def study_file(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(study_tree(tmp_path / "study"), sort_keys=False))
    return path


def test_a_dry_run_shows_cells_and_sizes_and_writes_nothing(study_file, tmp_path, monkeypatch, capsys):
    code, out, _ = run_main(monkeypatch, capsys, "study", study_file, "--dry-run", "--only", "H+N/*/0", "--json")
    assert code == 0
    plan = json.loads(out.splitlines()[-1])
    assert plan["cells"] == ["base", "H+N/plain/0", "H+N/paper/0"]
    noisy = plan["data"]["mixtures.H+N"]
    assert (noisy["dialogues"], noisy["noisy"], noisy["clean"]) == (32, {"wrong": 8}, 24)
    assert plan["data"]["warmup"]["dialogues"] == 8
    assert not (tmp_path / "study").exists()


def test_an_unknown_setting_ends_with_two_and_a_suggestion(study_file, monkeypatch, capsys):
    code, _, err = run_main(monkeypatch, capsys, "study", study_file, "--set", "sedes=[1]")
    assert code == 2
    assert "did you mean 'seeds'" in err


@pytest.mark.slow
def test_a_study_ends_with_its_findings_tables_and_report(study_file, tmp_path, monkeypatch, capsys):
    options = ("--only", "H+N/p*/0", "--jobs", "1", "--set", "train.trainer.max_steps=1", "--json")
    code, out, err = run_main(monkeypatch, capsys, "study", study_file, *options, "--set", "reference_method=plain")
    assert code == 0
    summary = json.loads(out.splitlines()[-1])
    assert summary["cells"] == {"planned": 9, "done": 2, "failed": 0, "missing": 7}
    assert summary["findings"]
    assert all(f"- {sentence}" in out for sentence in summary["findings"])
    assert "[2/2] H+N/paper/0" in err
    assert "H+N" in (tmp_path / "study" / "results.md").read_text()
    assert summary["report"] == str(tmp_path / "study" / "report.html")
    assert "paper" in (tmp_path / "study" / "report.html").read_text()


@pytest.mark.slow
def test_a_failed_cell_ends_with_one(study_file, tmp_path, monkeypatch, capsys):
    """A model that is not there fails in every cell, here in the only one asked for."""
    code, out, err = run_main(
        monkeypatch, capsys, "study", study_file, "--only", "H/plain/0", "--set", "base.model=./nowhere", "--json"
    )
    assert code == 1
    summary = json.loads(out.splitlines()[-1])
    assert summary["cells"]["failed"] == 1
    assert "./nowhere: no such model folder" in summary["failures"][0]["reason"]
    assert "failed: H/plain/0" in err
    assert (tmp_path / "study" / "results.parquet").is_file()
