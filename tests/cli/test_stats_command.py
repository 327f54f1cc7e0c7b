"""`turnwise stats spearman` from the outside."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from turnwise.cli.main import app

ROWS = [
    {"model": "a", "complexity": 1, "score": 8.20},
    {"model": "a", "complexity": 2, "score": 8.26},
    {"model": "a", "complexity": 3, "score": 8.15},
    {"model": "a", "complexity": 4, "score": 8.26},
    {"model": "b", "complexity": 1, "score": 3.0},
    {"model": "b", "complexity": 2, "score": 2.0},
    {"model": "b", "complexity": 3, "score": 1.0},
]


def call(*arguments):
    return CliRunner().invoke(app, ["stats", "spearman", *arguments])


@pytest.fixture(params=["csv", "jsonl", "json", "parquet"])
def table(request, tmp_path):
    path = tmp_path / f"scores.{request.param}"
    if request.param == "csv":
        lines = ["model,complexity,score", *(",".join(map(str, row.values())) for row in ROWS)]
        path.write_text("\n".join(lines), encoding="utf-8")
    elif request.param == "jsonl":
        path.write_text("\n".join(map(json.dumps, ROWS)), encoding="utf-8")
    elif request.param == "json":
        path.write_text(json.dumps(ROWS, indent=1), encoding="utf-8")
    else:
        pq.write_table(pa.Table.from_pylist(ROWS), path)
    return path


def test_a_table_gives_one_correlation_per_group(table):
    done = call(str(table), "--x", "complexity", "--y", "score", "--by", "model", "--json")
    assert done.exit_code == 0, done.output
    first, second = json.loads(done.stdout.splitlines()[-1])["spearman"]
    assert first["series"] == "a"
    assert first["rho"] == pytest.approx(22.5**-0.5)
    assert (second["rho"], second["n"], second["reason"]) == (-1.0, 3, None)
    assert second["p"] == pytest.approx(1 / 3)


def test_values_stand_in_order_or_as_x_and_y():
    one = json.loads(call("--values", "8.20,8.26,8.15,8.26", "--json").stdout.splitlines()[-1])["spearman"][0]
    two = json.loads(call("--values", "4,3,2,1", "--values", "-1,2,3,4", "--json").stdout.splitlines()[-1])
    assert one["rho"] == pytest.approx(0.2108, abs=1e-4)
    assert two["spearman"][0]["rho"] == -1


def test_it_says_when_no_order_could_be_significant():
    done = call("--values", "1,2,3")
    assert "with 3 points p cannot be below 0.333" in done.stderr
    assert "no correlation, all values of y are equal" in call("--values", "1,1,1").stderr
    assert "t approximation" in call("--values", ",".join(map(str, range(11)))).stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "expected FILE with --x and --y, or --values"),
        (["table.csv", "--x", "a"], "expected FILE with --x and --y"),
        (["table.csv", "--values", "1,2"], "found both"),
        (["--values", "1,x"], "expected numbers separated by commas"),
        (["--values", "1,2", "--values", "1"], "found 2 and 1"),
        (["--values", "1", "--values", "1", "--values", "1"], "found it 3 times"),
        (["absent.csv", "--x", "a", "--y", "b"], "no such file"),
        (["table.csv", "--x", "a", "--y", "scor"], "did you mean 'score'"),
        (["table.csv", "--x", "a", "--y", "name"], "table.csv:2: expected a number in column 'name', found 'x'"),
        (["empty.csv", "--x", "a", "--y", "b"], "expected at least one row"),
    ],
)
def test_what_cannot_be_correlated_is_a_user_error(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "table.csv").write_text("a,score,name\n1,2,x\n", encoding="utf-8")
    (tmp_path / "empty.csv").write_text("a,b\n", encoding="utf-8")
    done = call(*arguments)
    assert done.exit_code != 0
    assert message in str(done.exception)
