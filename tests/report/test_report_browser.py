"""The page in Chromium: it works under its own policy, runs nothing of the data, and asks the network for nothing."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browser import CHROMIUM, dom, hostile_texts, measured
from study_folder import StudyFolder, whole_study

from turnwise.report import build_report

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH"),
]


def test_text_of_a_data_set_runs_nothing_and_loads_nothing(
    folder: Callable[..., Any], listener: tuple[str, list[str]], tmp_path: Path
) -> None:
    url, asked = listener
    texts = hostile_texts(url)
    run = folder().manifest(config={"note": texts})
    names = [f"d{place}{text}" for place, text in enumerate(texts)]
    run.ledger(
        [
            {
                "dialogue_id": name,
                "turn": 0,
                "group": 0,
                "epoch": 0,
                "step": 1 + place,
                "loss": 3.0,
                "threshold": 1.0,
                "weight": 0.5,
                "flagged": True,
            }
            for place, name in enumerate(names)
        ]
    )
    run.dialogues(
        [
            {
                "id": name,
                "noise": json.dumps({"kind": text}),
                "record": json.dumps({"messages": [{"role": "assistant", "content": text}]}),
            }
            for name, text in zip(names, texts, strict=True)
        ]
    )
    after, log = dom(build_report(run.path), tmp_path / "profile")
    assert "<title>run – turnwise report</title>" in after
    assert asked == []
    assert len(re.findall(r"<script", after)) == 1
    assert not re.search(r"<(img|iframe|link)", after)
    assert "Content Security Policy" not in log
    assert f"{len(texts)} of {len(texts)}" in after


def test_a_page_that_did_not_escape_would_be_noticed(listener: tuple[str, list[str]], tmp_path: Path) -> None:
    """The same texts on a page without escaping and policy: the checks above can fail."""
    url, asked = listener
    page = tmp_path / "naive.html"
    page.write_text("<!doctype html><title>naive</title>" + "".join(hostile_texts(url)), encoding="utf-8")
    after, _ = dom(page, tmp_path / "profile")
    assert "<title>PWNED</title>" in after
    assert asked


def test_the_policy_stops_a_script_even_where_escaping_failed(
    full_run: Any, listener: tuple[str, list[str]], tmp_path: Path
) -> None:
    url, asked = listener
    page = build_report(full_run.path)
    source = page.read_text(encoding="utf-8")
    page.write_text(source.replace("a purple elephant", "".join(hostile_texts(url))), encoding="utf-8")
    after, log = dom(page, tmp_path / "profile")
    assert "<title>full – turnwise report</title>" in after
    assert asked == []
    assert "Content Security Policy" in log


def test_charts_are_drawn_and_the_list_can_be_filtered(full_run: Any, tmp_path: Path) -> None:
    """The page's own script unhides the filter; with a driver appended, filter and sort act on the list.

    The driver's hash is added to the policy, as the page lets no other script run.
    """
    page = build_report(full_run.path)
    source = page.read_text(encoding="utf-8")
    driver = """
    const set = (id, value) => { const e = document.getElementById(id); e.value = value;
      e.dispatchEvent(new Event("input", { bubbles: true })); };
    const ids = () => [...document.querySelectorAll("details.dialogue:not([hidden]) .id")].map((e) => e.textContent);
    const seen = [ids()];
    set("filter-text", "ELEPHANT purple"); seen.push(ids());
    set("filter-text", ""); set("filter-label", "clean"); seen.push(ids());
    const charts = [...document.querySelectorAll("svg.chart")].filter((e) => e.getBoundingClientRect().height > 100);
    const line = getComputedStyle(document.querySelector("#loss svg .series .line")).stroke;
    document.body.append(`RESULT${JSON.stringify({ seen, charts: charts.length, line })}END`);
    """
    digest = base64.b64encode(hashlib.sha256(driver.encode()).digest()).decode()
    source = source.replace("script-src ", f"script-src 'sha256-{digest}' ").replace(
        "</body>", f"<script>{driver}</script></body>"
    )
    page.write_text(source, encoding="utf-8")
    after, log = dom(page, tmp_path / "profile")
    assert "Content Security Policy" not in log
    result = json.loads(re.findall(r"RESULT(\{.*?\})END", after)[-1])
    assert result["seen"][0] == ["bad", "good", "plain"]
    assert result["seen"][1] == ["bad"]
    assert result["seen"][2] == ["good", "plain"]
    assert result["charts"] == source.count("<svg")
    assert result["line"].startswith("rgb(")


def test_the_charts_of_a_study_are_drawn_and_their_texts_stay_inside_them(tmp_path: Path) -> None:
    """Long names of mixtures and methods too: they are cut, not laid over each other."""
    study = whole_study(tmp_path / "s")
    long = {"H+N": "high and normal quality mixed", "resure": "resure-with-corrected-statistics"}
    for row in study.rows:
        row.update({key: long.get(row[key], row[key]) for key in ("mixture", "method")})
    for one in study.described["mixtures"]:
        one["name"] = long.get(one["name"], one["name"])
    study.described["methods"] = [long.get(one, one) for one in study.described["methods"]]
    page = build_report(study.write())
    charts = page.read_text(encoding="utf-8").count("<svg")
    driver = """
    const charts = [...document.querySelectorAll("svg.chart")];
    const out = [];
    for (const chart of charts) {
      const box = chart.getBoundingClientRect();
      const ticks = [...chart.querySelectorAll("text.tick.middle")].map((one) => one.getBoundingClientRect());
      ticks.forEach((one, place) => { if (place && one.left < ticks[place - 1].right) out.push("overlap"); });
      for (const text of chart.querySelectorAll("text")) {
        const one = text.getBoundingClientRect();
        if (one.left < box.left - 1 || one.right > box.right + 1) out.push(text.textContent);
      }
    }
    const high = charts.filter((one) => one.getBoundingClientRect().height > 100).length;
    const line = getComputedStyle(document.querySelector("#quality svg .whisker")).stroke;
    return { high, out, line };
    """
    found, log = measured(page, driver, tmp_path / "profile")
    assert "Content Security Policy" not in log
    assert found["high"] == charts >= 10
    assert found["out"] == []
    assert found["line"].startswith("rgb(")


def test_names_and_reasons_of_a_study_run_nothing(listener: tuple[str, list[str]], tmp_path: Path) -> None:
    url, asked = listener
    first, *texts = hostile_texts(url)
    described = {
        "name": first,
        "mixtures": [{"name": text, "complexity": place} for place, text in enumerate(texts)],
        "methods": [first, "plain"],
        "oracle_method": None,
        "failed": [{"cell": text, "reason": text} for text in texts],
    }
    study = StudyFolder(tmp_path / "s", untrained=(), **described)
    study.fill("loss", lambda place, method, seed: 1.0 + place + seed, name=first)
    after, log = dom(build_report(study.write()), tmp_path / "profile")
    assert asked == []
    assert len(re.findall(r"<script", after)) == 1
    assert not re.search(r"<(img|iframe|link)", after)
    assert "Content Security Policy" not in log
