"""`turnwise data mix` as a user meets it."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from turnwise.cli.main import app
from turnwise.data.read import read_dialogues
from turnwise.errors import TurnwiseError


def run(*arguments):
    return CliRunner().invoke(app, ["data", "mix", *map(str, arguments)])


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, number in (("good", 30), ("bad", 90)):
        records = [{"question": f"{name} {place % 60}", "answer": "a"} for place in range(number)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    text = "sources:\n- {path: good.jsonl, tier: high}\n- {path: bad.jsonl, tier: low}\nduplicates: exact\n"
    (tmp_path / "mix.yaml").write_text(text)
    return tmp_path / "mix.yaml"


def test_mix_prints_what_became_of_each_source_and_one_json_object(recipe):
    """bad holds 60 different texts in 90; 90 dialogues in all, a third of them good."""
    result = run(recipe, "-o", "mixed.jsonl", "--json")
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout.strip().splitlines()[-1])
    assert (summary["written"], summary["manifest"]) == (90, "mixed.jsonl.manifest.json")
    assert [(one["name"], one["dropped"]) for one in summary["sources"]] == [("good", {}), ("bad", {"duplicate": 30})]
    for word in ("wrote mixed.jsonl: 90 dialogues", "duplicate", "33.3%", "66.7%"):
        assert word in result.stdout
    assert len(list(read_dialogues("mixed.jsonl"))) == 90


def test_seed_and_settings_win_over_the_file(recipe):
    for output, options in (
        ("a", []),
        ("b", ["--seed", 1]),
        ("c", ["--set", "seed=1"]),
        ("d", ["--set", "sources.1.limit=5"]),
    ):
        assert run(recipe, "-o", f"{output}.jsonl", *options).exit_code == 0
    a, b, c, d = (recipe.with_name(f"{name}.jsonl").read_bytes() for name in "abcd")
    assert a != b == c
    assert len(d.splitlines()) == 35


def test_a_manifest_builds_the_file_again_and_takes_no_settings(recipe):
    assert run(recipe, "-o", "a.jsonl").exit_code == 0
    assert run("a.jsonl.manifest.json", "-o", "b.jsonl").exit_code == 0
    assert recipe.with_name("b.jsonl").read_bytes() == recipe.with_name("a.jsonl").read_bytes()
    refused = run("a.jsonl.manifest.json", "-o", "c.jsonl", "--seed", 2)
    assert isinstance(refused.exception, TurnwiseError)
    assert "takes no --set and no --seed" in str(refused.exception)


def test_planted_noise_is_counted(recipe):
    recipe.write_text("sources: [{world: {n: 20}, corrupt: [{kind: wrong, rate: 0.25}]}]\n")
    result = run(recipe, "-o", "a.jsonl", "--json")
    assert json.loads(result.stdout.strip().splitlines()[-1])["sources"][0]["noise"] == {"clean": 15, "wrong": 5}
    assert "noise" in result.stdout.splitlines()[1]


def test_an_existing_output_is_kept_without_overwrite(recipe):
    assert run(recipe, "-o", "a.jsonl").exit_code == 0
    assert "exists already" in str(run(recipe, "-o", "a.jsonl", "--seed", 1).exception)
    assert run(recipe, "-o", "a.jsonl", "--seed", 1, "--overwrite").exit_code == 0


def test_a_mistake_in_the_file_is_told_with_its_line(recipe):
    recipe.write_text(recipe.read_text().replace("tier: low", "sampel: 3"))
    assert "mix.yaml:3: unknown setting 'sources.1.sampel'\n  hint: did you mean 'sample'?" in str(
        run(recipe, "-o", "a.jsonl").exception
    )
