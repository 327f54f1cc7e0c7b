"""The page of a study: its sections, its names, and what it says for folders that lack something."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

import pytest
from html_page import Page
from study_folder import StudyFolder, whole_study

from turnwise.errors import DataError
from turnwise.report import build_report, build_study_report
from turnwise.run import Manifest

SECTIONS = [
    "findings",
    "quality",
    "differences",
    "recovered",
    "along",
    "detection",
    "parts",
    "cost",
    "cells",
    "made",
]


def test_a_whole_study_shows_every_section_with_its_tables_and_charts(tmp_path: Path) -> None:
    folder = whole_study(tmp_path / "s").write()
    path = build_report(folder)
    assert path == folder / "report.html"
    assert (folder / "results.md").read_text(encoding="utf-8").startswith("# Study mixed quality\n")
    page = Page(path)
    assert not page.open
    assert [one["id"] for one in page.tags("section")] == SECTIONS
    assert "2.612 [2.583, 2.641]" in page.text("quality")
    assert "−12.93 %" in page.text("quality")
    assert "better" in page.text("differences")
    assert "no order can have a p below 0.083" in page.text("along")
    assert "kind=swap" in page.text("detection")
    assert "distance=2" in page.text("parts")
    assert "1.250" in page.text("cost")
    assert "the loss was not finite for 20 steps" in page.text("cells")
    assert "H+N+L/resure/2" in page.text("cells")
    assert "36 runs, 2 of them without results" in page.text("top")


def test_every_chart_has_a_unique_name_and_description(tmp_path: Path) -> None:
    page = Page(build_study_report(whole_study(tmp_path / "s").write()))
    charts = page.tags("svg")
    assert len(charts) == 2 + 2 + 2 + 2 + 4
    ids = {one["id"] for _, one in page.elements if "id" in one}
    for chart in charts:
        assert chart["role"] == "img"
        assert set(str(chart["aria-labelledby"]).split()) <= ids
    assert len({chart["aria-labelledby"] for chart in charts}) == len(charts)
    assert all(one["aria-label"] for one in page.tags("div") if one.get("role") == "region")


def test_the_page_refers_to_nothing_outside_and_its_policy_names_its_own_style_and_script(tmp_path: Path) -> None:
    page = Page(build_study_report(whole_study(tmp_path / "s").write()))
    policy = next(one["content"] for one in page.tags("meta") if one.get("http-equiv"))
    for kind in ("style", "script"):
        digest = base64.b64encode(hashlib.sha256(page.inside[kind][0].encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in str(policy)
    assert {str(one.get("href"))[0] for one in page.tags("a")} == {"#"}
    assert not any(name in one for _, one in page.elements for name in ("src", "style"))


def test_with_a_manifest_it_says_how_the_study_was_made_without_secrets(tmp_path: Path) -> None:
    folder = whole_study(tmp_path / "s").write()
    config = {"name": "mixed quality", "train": {"trainer": {"hub_token": "hf_s3cret"}}}
    manifest = Manifest("study", config=config, inputs=[{"path": "chats.json", "sha256": "ab12"}])
    manifest.finish("done")
    manifest.write(folder / "manifest.json")
    page = Page(build_study_report(folder, tmp_path / "elsewhere.html"))
    assert "chats.json" in page.text("made")
    assert "hub_token" in page.text("made")
    assert "hf_s3cret" not in page.source
    assert "turnwise study" in page.text("top")


def test_what_a_study_says_of_itself_may_stand_in_its_summary(tmp_path: Path) -> None:
    """As `turnwise study` writes it: mixtures and methods as objects, failures by the name of their cell."""
    study = whole_study(tmp_path / "s")
    folder = study.write()
    (folder / "study.json").unlink()
    described = study.described
    summary = {
        **{key: described[key] for key in ("name", "seeds", "reference_method", "oracle_method")},
        "mixtures": {one["name"]: one["complexity"] for one in described["mixtures"]},
        "methods": {method: {"method": "resure"} for method in described["methods"]},
        "failures": described["failed"],
    }
    (folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    page = Page(build_report(folder))
    assert [one["id"] for one in page.tags("section")] == SECTIONS
    assert "method resure" in page.text("made")
    assert "20 steps" in page.text("cells")


def test_a_study_of_one_measure_one_mixture_and_one_seed_leaves_out_what_it_cannot_say(tmp_path: Path) -> None:
    described = {
        "mixtures": [{"name": "H", "complexity": 1}],
        "methods": ["plain"],
        "seeds": [0],
        "reference_method": None,
        "oracle_method": None,
    }
    study = StudyFolder(tmp_path / "s", **described).fill("loss", lambda *_: 2.5, name="held-out")
    page = Page(build_study_report(study.write()))
    assert "The study names no reference method." in page.text("differences")
    assert "at least two mixtures" in page.text("along")
    assert "There is one seed" in page.text("findings")
    assert "2.500" in page.text("quality")
    assert len(page.tags("svg")) == 1


def test_a_study_without_figures_still_has_a_page(tmp_path: Path) -> None:
    page = Page(build_study_report(StudyFolder(tmp_path / "s").write()))
    assert "measured no loss and no accuracy" in page.text("quality")
    assert not page.tags("svg")


def test_many_methods_have_a_colour_or_a_stroke_of_their_own(tmp_path: Path) -> None:
    methods = ["base", "plain", *(f"m{place}" for place in range(9))]
    study = StudyFolder(tmp_path / "s", methods=methods, oracle_method=None)
    study.fill("loss", lambda place, method, seed: 1.0 + 0.1 * place + 0.01 * seed, name="held-out")
    page = Page(build_study_report(study.write()))
    drawn = [str(one["class"]) for one in page.tags("g") if str(one.get("class", "")).startswith("legend")]
    lines, bars = ([style for style in drawn if ("k-bar" in style) is of_bars] for of_bars in (False, True))
    assert len(lines) == 11
    assert len(set(lines)) == 11
    assert len(bars) == 9
    assert len(set(bars)) == 9


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "a\u202eb", "H|N*_`"])
def test_names_and_reasons_are_shown_as_text(tmp_path: Path, text: str) -> None:
    described = {"name": text, "mixtures": [{"name": text, "complexity": 1}], "methods": ["plain", text]}
    failed = [{"cell": "x", "reason": text}]
    study = StudyFolder(tmp_path / "s", failed=failed, oracle_method=None, **described)
    study.fill("loss", lambda place, method, seed: 1.0 + seed, name=text, source=None)
    page = Page(build_study_report(study.write()))
    assert len(page.tags("script")) == 1
    assert "\u202e" not in page.source
    assert "<script>alert" not in page.source


def test_a_study_that_cannot_be_read_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "study.json").write_text("{}", encoding="utf-8")
    with pytest.raises(DataError, match=r"results\.parquet: no such file"):
        build_report(tmp_path)
