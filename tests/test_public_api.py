"""What `import turnwise` promises: the names, and that it costs nothing before they are used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import turnwise

HEAVY = ("torch", "transformers", "trl", "datasets", "peft", "accelerate", "aiohttp", "openai")


def test_public_names_are_sorted_resolve_and_are_listed_by_dir():
    assert turnwise.__all__ == sorted(turnwise.__all__)
    for name in turnwise.__all__:
        assert getattr(turnwise, name) is not None
    assert set(turnwise.__all__) <= set(dir(turnwise))


def test_lazy_names_are_those_for_type_checkers():
    """The names under TYPE_CHECKING, those of the loader and `__all__` are one list."""
    import ast
    from pathlib import Path

    tree = ast.parse(Path(turnwise.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    typed = {alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert typed == turnwise._HOMES
    assert {*typed, "__version__"} == {*turnwise.__all__}


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'ReSURTrainer'"):
        turnwise.ReSURTrainer  # noqa: B018


def loaded_by(code: str) -> set[str]:
    """Which of the heavy libraries a fresh interpreter has loaded after the code."""
    check = f"import sys\n{code}\nprint(*[name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True, timeout=60)
    return set(done.stderr.split())


def test_importing_loads_no_deep_learning_library():
    assert loaded_by("import turnwise") == set()
    assert loaded_by("from turnwise import Dialogue, Ledger, WeightingConfig, read_dialogues") == set()
    assert loaded_by("from turnwise import Benchmark, Judge, Judgment, Rubric, evaluate") == set()


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["train"],
        ["data", "inspect"],
        ["data", "corrupt"],
        ["data", "mix"],
        ["ledger"],
        ["report"],
        ["evaluate"],
        ["evaluate", "mt-bench"],
        ["quickstart"],
        ["study"],
        ["stats"],
    ],
)
def test_help_loads_no_deep_learning_library(arguments):
    code = f"""
import turnwise.cli.main
sys.argv = ["turnwise", *{arguments}, "--help"]
try:
    turnwise.cli.main.main()
except SystemExit as stopped:
    assert not stopped.code
"""
    assert loaded_by(code) == set()


def test_heavy_libraries_would_be_noticed():
    assert loaded_by("import datasets") >= {"datasets"}
