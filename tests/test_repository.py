"""What holds for every file that is tracked: no trace of a machine, files of a readable size, docstrings."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LONGEST = 400
# Put together so that this file does not hold what it looks for.
FOREIGN = {
    "a path of a machine": r"(?<![\w.{/])/(?:home|Users|root|work|mnt)/\w",
    "a folder for temporary files": r"(?<![\w.{])/(?:tmp|scratch)/\w",
    "a package registry other than the public ones": r"https?://[\w.-]*(?:artifactory|nexus|devpi|mirror|proxy)[\w.-]*",
    "an address of a private network": r"(?<![\d.])(?:10|192\.168|172\.(?:1[6-9]|2\d|3[01]))(?:\.\d+){2,3}(?![\d.])",
    "pip options that name an index": r"--(?:extra-)?index" + r"-url|--trusted" + "-host",
    "a secret": r"(?:hf_|sk-|gh[pousr]_)[A-Za-z0-9]{20,}|BEGIN [A-Z ]*PRIVATE" + " KEY",
}


def tracked() -> list[Path]:
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            check=True,
        ).stdout.decode()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def source_files() -> list[Path]:
    return sorted((ROOT / "src").rglob("*.py"))


def test_no_tracked_file_tells_of_the_machine_it_was_written_on():
    found = []
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), start=1):
            found += [
                f"{path.relative_to(ROOT)}:{number}: {what}" for what, mark in FOREIGN.items() if re.search(mark, line)
            ]
    assert found == []


def test_no_tracked_file_is_large_or_made_by_a_run():
    paths = {path.relative_to(ROOT).as_posix(): path.stat().st_size for path in tracked()}
    assert [name for name, size in paths.items() if size > 2_000_000] == []
    assert [name for name in paths if re.search(r"(^|/)(runs|\.venv|__pycache__)/|\.(pkl|bin|pt|pyc)$", name)] == []


def test_source_files_are_of_a_readable_size():
    sizes = {path.relative_to(ROOT).as_posix(): len(path.read_text().splitlines()) for path in source_files()}
    assert {name: size for name, size in sizes.items() if size > LONGEST} == {}


def public(node: ast.AST) -> list[ast.AST]:
    """Public functions and classes of a module, and the public methods of its public classes."""
    found = []
    for child in node.body:
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or child.name.startswith("_"):
            continue
        found.append(child)
        if isinstance(child, ast.ClassDef):
            found += public(child)
    return found


@pytest.mark.parametrize(
    "path", source_files(), ids=lambda path: path.relative_to(ROOT / "src" / "turnwise").as_posix()
)
def test_every_module_and_public_name_has_a_docstring(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    without = [f"{path.name}:{node.lineno} {node.name}" for node in public(tree) if not ast.get_docstring(node)]
    assert without == []
    assert ast.get_docstring(tree) or path.name == "_version.py"


def test_the_version_is_one_and_the_changelog_knows_it():
    from turnwise import __version__

    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert __version__ in text


def test_everything_the_tests_run_with_is_pinned():
    """What `make` installs is decided by constraints.txt: every direct dependency is in it."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    names = {re.match(r"[\w.-]+", requirement)[0].lower().replace("_", "-") for requirement in wanted}
    pinned = {
        line.split("==")[0].lower().replace("_", "-") for line in (ROOT / "constraints.txt").read_text().splitlines()
    }
    assert names - pinned == set()
