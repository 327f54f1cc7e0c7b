"""Reading a study's figures: what stands where, what is missing, what cannot be read."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from study_folder import StudyFolder, whole_study

from turnwise.errors import DataError
from turnwise.study.results import Failed, Measure, is_study, read_results

LOSS = Measure("loss", "held-out")


def test_figures_are_found_by_what_they_are_of(tmp_path):
    study = StudyFolder(tmp_path / "s")
    study.add("loss", ("H", "plain", 0), 2.5, name="held-out").add("loss", ("H", "plain", 1), 2.75, name="held-out")
    study.add("loss", ("H", "plain", 0), 3.5, name="held-out", turn=1).add("loss", ("H", "plain", 0), 9.0, name="other")
    study.add("accuracy", ("H", "plain", 0), 0.5, name="held-out", key="distance=2")
    results = read_results(study.write())
    assert is_study(tmp_path / "s")
    assert results.of(LOSS, "H", "plain") == {0: 2.5, 1: 2.75}
    assert results.of(LOSS, "H+N", "plain") == {}
    assert results.qualities == [LOSS, Measure("loss", "other")]
    assert [part.part for part in results.parts(LOSS)] == ["turn 1"]
    assert Measure("accuracy", "x", key="distance=2").part == "distance=2"
    assert (results.reference, results.oracle, results.seeds) == ("plain", "oracle", (0, 1, 2))
    assert dict(results.complexity) == {"H": 1.0, "H+N": 2.0}


def test_a_model_that_was_not_trained_is_known_by_its_folder(tmp_path):
    study = StudyFolder(tmp_path / "s", untrained=["before"], methods=["before", "plain"], oracle_method=None)
    results = read_results(study.fill("loss", lambda *_: 1.0, name="held-out").write())
    assert results.untrained == {"before"}
    assert results.trained == ("plain",)


def test_cells_without_results_have_a_reason_or_are_listed_as_absent(tmp_path):
    results = read_results(whole_study(tmp_path / "s").write())
    assert results.failed == (Failed("H+L/oracle/1", "the loss was not finite for 20 steps"),)
    assert results.absent == ("H+N+L/resure/2",)


def test_failed_cells_may_be_given_by_their_parts(tmp_path):
    study = StudyFolder(tmp_path / "s", failed=[{"mixture": "H", "method": "plain", "seed": 0, "reason": "full disk"}])
    assert read_results(study.write()).failed == (Failed("H/plain/0", "full disk"),)


def test_methods_and_seeds_that_the_study_does_not_name_are_shown_after_the_others(tmp_path):
    study = StudyFolder(tmp_path / "s", methods=["plain"], seeds=[1], oracle_method=None)
    results = read_results(study.add("loss", ("H", "late", 7), 1.0).add("loss", ("H", "plain", 1), 1.0).write())
    assert (results.methods, results.seeds) == (("plain", "late"), (1, 7))


def test_a_mixture_without_a_complexity_is_an_error(tmp_path):
    study = StudyFolder(tmp_path / "s").add("loss", ("H+X", "plain", 0), 1.0)
    with pytest.raises(DataError, match=r"study\.json: found no complexity of mixture H\+X"):
        read_results(study.write())
    with pytest.raises(DataError, match="none named"):
        read_results(StudyFolder(tmp_path / "t", mixtures=[]).write())


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_figures_that_are_not_finite_are_counted_and_left_out(tmp_path, value):
    study = StudyFolder(tmp_path / "s").add("loss", ("H", "plain", 0), value, name="held-out")
    results = read_results(study.add("loss", ("H", "plain", 1), 1.0, name="held-out").write())
    assert results.of(LOSS, "H", "plain") == {1: 1.0}
    assert dict(results.not_finite) == {LOSS: 1}


def test_a_figure_that_stands_twice_is_an_error(tmp_path):
    study = StudyFolder(tmp_path / "s").add("loss", ("H", "plain", 0), 1.0).add("loss", ("H", "plain", 0), 1.0)
    with pytest.raises(DataError, match=r"results\.parquet:2: loss of H/plain/0 stands there twice"):
        read_results(study.write())


def test_what_is_no_study_is_an_error_that_names_the_file(tmp_path):
    with pytest.raises(DataError, match=r"study\.json: no such file"):
        read_results(tmp_path)
    (tmp_path / "study.json").write_text("[1]", encoding="utf-8")
    with pytest.raises(DataError, match="expected an object, found list"):
        read_results(tmp_path)
    (tmp_path / "study.json").write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match="expected JSON"):
        read_results(tmp_path)
    (tmp_path / "study.json").write_text(json.dumps({"mixtures": ["H"]}), encoding="utf-8")
    with pytest.raises(DataError, match=r"results\.parquet: no such file"):
        read_results(tmp_path)
    (tmp_path / "results.parquet").write_bytes(b"no parquet")
    with pytest.raises(DataError, match="expected Parquet"):
        read_results(tmp_path)
    pq.write_table(pa.table({"mixture": ["H"]}), tmp_path / "results.parquet")
    with pytest.raises(DataError, match="found no method, seed"):
        read_results(tmp_path)
    study = StudyFolder(tmp_path / "s", mixtures=["H"])
    study.path.mkdir()
    study.described["mixtures"] = ["H"]
    pq.write_table(pa.Table.from_pylist([], schema()), study.path / "results.parquet")
    (study.path / "study.json").write_text(json.dumps(study.described), encoding="utf-8")
    with pytest.raises(DataError, match="expected 'mixtures' with name and complexity"):
        read_results(study.path)


def schema():
    from study_folder import SCHEMA

    return SCHEMA
