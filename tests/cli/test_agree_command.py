"""`turnwise agree` from the outside."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from turnwise.cli.main import app
from turnwise.judging.records import Judgment


def call(*arguments):
    return CliRunner().invoke(app, ["agree", *map(str, arguments), "--draws", "30"])


@pytest.fixture
def judgments(tmp_path):
    path = tmp_path / "judgments.jsonl"
    rows = [
        Judgment(f"q{number}", 0, "m", "judge", criterion, score=float(number + 1), sample=sample).to_dict()
        for number in range(4)
        for criterion in ("overall", "tone")
        for sample in range(2)
    ]
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


def test_judgments_against_a_table_of_ratings(judgments, tmp_path):
    human = tmp_path / "human.csv"
    human.write_text("item,turn,rater,score\n" + "".join(f"q{n},0,r,{n + 1}\n" for n in range(3)), encoding="utf-8")
    done = call(judgments, human, "--criterion", "overall", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout.splitlines()[-1])
    figures = {row["statistic"]: row for row in found["statistics"]}
    assert figures["Spearman"]["value"] == 1
    assert figures["Cohen's kappa, quadratic"]["value"] == 1
    assert figures["repeats: share all equal"]["value"] == 1
    assert (found["only_judged"], found["joined_by"]) == (1, ["item", "turn"])
    assert "1 judged answers have no rating" in done.stderr
    mixed = call(judgments, human)
    assert "several kinds of criterion (overall, tone)" in str(mixed.exception)


def test_one_file_alone_gives_what_its_repeats_say(judgments):
    done = call(judgments, "--criterion", "tone")
    assert done.exit_code == 0, done.output
    assert "repeats: mean standard deviation" in done.stdout
    assert "Spearman" not in done.stdout


def test_length_bias_needs_the_answers(judgments, tmp_path):
    answers = tmp_path / "answers.jsonl"
    rows = [
        {"question_id": f"q{number}", "model_id": "m", "choices": [{"turns": ["x" * (9 - number)]}]}
        for number in range(3)
    ]
    answers.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    done = call(judgments, "--criterion", "tone", "--answers", answers, "--json")
    found = json.loads(done.stdout.splitlines()[-1])
    figures = {row["statistic"]: row for row in found["statistics"]}
    assert figures["length: Spearman with score"]["value"] == -1
    assert found["without_length"] == 1


def test_what_cannot_be_compared_is_a_user_error(judgments, tmp_path):
    assert "expected the criterion 'charm', found overall, tone" in str(
        call(judgments, "--criterion", "charm").exception
    )
    single = tmp_path / "single.csv"
    single.write_text("item,score\na,1\n", encoding="utf-8")
    assert "nothing to compare" in str(call(single).exception)
    assert "no such file" in str(call(tmp_path / "absent.jsonl").exception)
