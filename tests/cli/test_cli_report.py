"""`turnwise report` from the outside."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from study_folder import whole_study
from typer.testing import CliRunner

from turnwise.cli.main import app, main
from turnwise.run import Manifest


def test_it_prints_the_path_of_the_page_it_wrote(tmp_path: Path) -> None:
    Manifest("train").write(tmp_path / "manifest.json")
    done = CliRunner().invoke(app, ["report", str(tmp_path), "--json"])
    assert done.exit_code == 0
    page = tmp_path / "report.html"
    assert done.stdout.splitlines()[0] == str(page)
    assert json.loads(done.stdout.splitlines()[-1]) == {"report": str(page), "bytes": page.stat().st_size}


def test_a_folder_without_a_run_is_a_user_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["turnwise", "report", str(tmp_path)])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    printed = capsys.readouterr()
    assert "no manifest found" in printed.err
    assert "Traceback" not in printed.err


def test_a_folder_of_a_study_gets_the_page_of_a_study(tmp_path: Path) -> None:
    folder = whole_study(tmp_path / "s").write()
    done = CliRunner().invoke(app, ["report", str(folder)])
    assert done.exit_code == 0, done.output
    assert "<title>mixed quality – turnwise report</title>" in (folder / "report.html").read_text(encoding="utf-8")
    assert (folder / "results.md").is_file()
