"""Without the extra `train` the message holds the pip line; no traceback of a missing module."""

from __future__ import annotations

import subprocess
import sys

import pytest

HIDE = "import sys; sys.modules['datasets'] = sys.modules['trl'] = None; "


@pytest.mark.parametrize(
    "arguments", [["train", "--model", "x", "--data", "y", "--output", "z"], ["quickstart", "--output", "z"]]
)
def test_commands_that_train_name_the_extra_to_install(arguments, tmp_path):
    code = HIDE + f"sys.argv = {['turnwise', *arguments]!r}; from turnwise.cli.main import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert "training needs the package 'datasets'" in done.stderr
    assert "pip install 'turnwise[train]'" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_public_names_that_train_raise_an_import_error_with_the_extra():
    code = HIDE + "import turnwise\ntry:\n    turnwise.ReSURETrainer\nexcept ImportError as error:\n    print(error)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "turnwise.ReSURETrainer needs the package" in done.stdout
    assert "pip install 'turnwise[train]'" in done.stdout


def test_near_duplicates_name_the_extra_to_install(tmp_path):
    (tmp_path / "mix.yaml").write_text("sources: [{world: {n: 3}}]\nduplicates: near\n")
    code = (
        "import sys; sys.modules['datasketch'] = None; sys.argv = 'turnwise data mix mix.yaml -o x.jsonl'.split(); "
        "from turnwise.cli.main import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert "finding near duplicates needs the package 'datasketch'" in done.stderr
    assert "pip install 'turnwise[dedup]'" in done.stderr
