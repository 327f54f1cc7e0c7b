"""The page of an evaluation in Chromium, offline: hostile text is shown as text, search and filters work."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from browser import CHROMIUM, dom, hostile_texts, measured
from sums import Sums, answers_right, judges_by_length

from turnwise.dialogue import Dialogue, Message
from turnwise.evaluation.answers import write_answers
from turnwise.evaluation.evaluate import evaluate
from turnwise.evaluation.results import summarize
from turnwise.evaluation.stored_judgments import write_judgments
from turnwise.judging.records import Judgment
from turnwise.report import build_report
from turnwise.run import Manifest, write_json

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH"),
]

RTL = "\u202egnp.exe \u2066 \u200f"
BRACES = "{{ 7 * 7 }} {% raw %} ${alert(1)} {question}"
LONG = "x" * 1_000_000 + " needle-at-the-end"


def hostile_run(folder: Path, url: str, *, pairwise: bool = False) -> list[str]:
    """A run folder whose every text is hostile: ids, categories, models, answers, judgments, reasons of failures."""
    texts = [
        *hostile_texts(url),
        f"[click](javascript:fetch('{url}/link')) <a href=\"javascript:fetch('{url}/a')\">a</a>",
        f"<svg onload=fetch('{url}/svg')><!-- ]]> --><style>@import '{url}/css';</style>",
        f"<base href='{url}/'><meta http-equiv=refresh content='0;url={url}/meta'>",
        RTL,
        BRACES,
    ]
    model, judge, other = (f"{name}{texts[place]}" for place, name in enumerate(("model", "judge", "other")))
    answers, others, judgments = [], [], []
    for place, text in enumerate(texts):
        kept = {"category": f"category {place}{text}", "model": model}
        told = [Message("user", text), Message("assistant", text, extra={"failure": "truncated", "detail": text})]
        answers.append(Dialogue([*told, Message(text, text)], id=f"item {place}{text}", metadata=kept))
        others.append(Dialogue(told, id=f"item {place}{text}", metadata={**kept, "model": other}))
        about: dict[str, Any] = {"criterion": text, "prompt": text, "text": text, "metadata": kept}
        if pairwise:
            about.update(winner="model", baseline=other, position="first")
        else:
            about.update(score=float(place))
        judgments.append(Judgment(f"item {place}{text}", 0, model, judge, **about))
    folder.mkdir()
    write_answers(answers, folder / "answers.jsonl")
    if pairwise:
        write_answers(others, folder / "baseline_answers.jsonl")
    kept_judgments = write_judgments([judgments], folder / "judgments.jsonl")
    results = {
        **summarize(_Grouped(), kept_judgments),
        "model": model,
        "judge": judge,
        "baseline": other if pairwise else None,
        "limit_reached": False,
        "items": len(texts),
        "notes": texts,
        "usage": None,
        "answers": {texts[0]: {"failed": {texts[1]: 1}}},
    }
    write_json(folder / "results.json", results)
    manifest = Manifest("evaluate sums", config={"model": model, "note": texts})
    manifest.finish()
    manifest.write(folder / "manifest.json")
    return texts


class _Grouped(Sums):
    """Tables by the hostile categories."""

    def tables(self, judgments):
        from turnwise.evaluation.benchmark import ScoreRow, ScoreTable

        rows = [ScoreRow(one.metadata["category"], 1.0, 1, 0.5, 1.0, {one.criterion: 1}) for one in judgments]
        return [ScoreTable(one.criterion, one.criterion, rows, one.criterion) for one in judgments[:2]]


@pytest.mark.parametrize("pairwise", [False, True], ids=["single", "pairwise"])
def test_hostile_text_everywhere_runs_nothing_loads_nothing_and_is_shown_as_it_is(listener, tmp_path, pairwise):
    url, asked = listener
    texts = hostile_run(tmp_path / "run", url, pairwise=pairwise)
    page = build_report(tmp_path / "run")
    driver = """
    document.getElementById("find-open").click();
    return new Promise((done) => setTimeout(() => done({
      title: document.title,
      shown: [...document.querySelectorAll("#find-list .content")].map((e) => e.textContent),
      ids: [...document.querySelectorAll("#find-list .id")].map((e) => e.textContent),
      elements: [...new Set([...document.querySelectorAll("#find-list *")].map((e) => e.localName))].sort(),
      scripts: document.scripts.length,
      foreign: document.querySelectorAll("img, iframe, link, base, object, embed, a[href^=javascript]").length,
      refresh: document.querySelectorAll("meta[http-equiv=refresh i]").length,
    }), 200));
    """
    found, log = measured(page, driver, tmp_path / "profile")
    assert found["title"] == "run – turnwise report"
    assert asked == []
    assert found["scripts"] == 3, "data, the page's own script, and the test's"
    assert (found["foreign"], found["refresh"]) == (0, 0)
    assert set(found["elements"]) <= {"details", "summary", "span", "bdi", "b", "div", "p", "strong"}
    assert "Content Security Policy" not in log
    for place, text in enumerate(texts):
        literal = re.sub("[\u202e\u2066\u200f]", lambda mark: f"[U+{ord(mark[0]):04X}]", text)
        assert f"item {place}{literal}" in found["ids"]
        # The user's message, the answer (or both), the last message, the judge's text.
        assert found["shown"].count(literal) >= 4


def test_search_and_filters_act_on_answers_verdicts_categories_turns_and_scores(tmp_path):
    """Items 0 to 5; item 5 has 10 and 11 as answers (score 8, all others 9); item 3's first verdict is unreadable."""
    run = tmp_path / "run"
    evaluate(Sums(6), model=answers_right("m"), judge=judges_by_length(sum_3="UNREADABLE, it says"), output=run)
    driver = """
    const set = (name, value) => { const e = document.getElementById(`find-${name}`); e.value = value;
      e.dispatchEvent(new Event("input", { bubbles: true })); };
    const ids = () => [...document.querySelectorAll("#find-list .id")].map((e) => e.textContent.slice(4)).join("");
    const out = {};
    const ask = (name, settings) => {
      for (const [key, value] of Object.entries(settings)) set(key, value);
      out[name] = ids();
      for (const key of Object.keys(settings)) set(key, "");
    };
    ask("all", {});
    ask("words", { text: "SUM-3 unreadable" });
    ask("answer", { text: "10" });
    ask("none", { text: "<b>" });
    ask("odd", { category: "odd" });
    ask("scored", { verdict: "scored" });
    ask("unscored", { verdict: "unscored" });
    ask("reason", { verdict: "unscored: unparsable", turn: "0" });
    ask("second turn", { verdict: "unscored: unparsable", turn: "1" });
    ask("low", { high: "8" });
    ask("between", { low: "8.5", high: "9.5", turn: "0" });
    ask("lowest", { sort: "low" });
    out.count = document.getElementById("find-count").textContent;
    document.querySelector("#find-list details").open = true;
    return new Promise((done) => setTimeout(() => {
      out.open = [...document.querySelectorAll("#find-list .exchange")].length;
      out.columns = getComputedStyle(document.querySelector(".exchange")).gridTemplateColumns.split(" ").length;
      done(out);
    }, 100));
    """
    found, log = measured(build_report(run), driver, tmp_path / "profile")
    assert "Content Security Policy" not in log
    assert found["all"] == "012345"
    assert found["words"] == "3"
    assert found["answer"] == "5"
    assert found["none"] == ""
    assert found["odd"] == "135"
    assert found["scored"] == "012345", "item 3 has a score in its second turn"
    assert found["unscored"] == found["reason"] == "3"
    assert found["second turn"] == ""
    assert found["low"] == "5"
    assert found["between"] == "0124"
    assert found["lowest"] == "501234"
    assert found["count"] == "6 of 6 dialogues, page 1 of 1"
    assert (found["open"], found["columns"]) == (2, 2)


def test_a_line_of_a_megabyte_is_cut_on_show_found_by_search_and_shown_whole_on_demand(tmp_path):
    run = tmp_path / "run"
    evaluate(Sums(2), model=answers_right("m"), judge=judges_by_length(sum_1=f"{LONG} [[5]]"), output=run)
    driver = """
    const e = document.getElementById("find-text"); e.value = "needle-at-the-end";
    e.dispatchEvent(new Event("input", { bubbles: true }));
    document.getElementById("find-open").click();
    return new Promise((done) => setTimeout(() => {
      const lengths = () => [...document.querySelectorAll(".verdict .content")].map((one) => one.textContent.length);
      const before = lengths();
      const more = document.querySelector("button.more");
      const label = more.textContent;
      more.click();
      const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
      done({ before, label, after: lengths(), wide, rows: document.querySelectorAll("#find-list details").length });
    }, 100));
    """
    found, _ = measured(build_report(run), driver, tmp_path / "profile")
    assert found["rows"] == 1
    assert found["before"][0] == 20_000
    assert found["label"] == "Show all 1,000,024 characters"
    assert found["after"][0] == len(f"{LONG} [[5]]") == 1_000_024
    assert found["wide"] <= 0, "the page does not scroll sideways"


def test_a_run_of_1170_turns_is_shown_page_by_page(tmp_path):
    """585 items of two turns: 30 pages of 20, the last with 5."""
    run = tmp_path / "run"
    evaluate(Sums(585), model=answers_right("m"), judge=judges_by_length(), output=run)
    driver = """
    const count = () => document.getElementById("find-count").textContent;
    const out = { first: count(), rows: document.querySelectorAll("#find-list > details").length };
    out.elements = document.querySelectorAll("*").length;
    for (let page = 0; page < 40; page += 1) document.getElementById("find-next").click();
    out.last = count();
    out.end = [...document.querySelectorAll("#find-list .id")].map((e) => e.textContent);
    return out;
    """
    found, _ = measured(build_report(run), driver, tmp_path / "profile")
    assert found["first"] == "585 of 585 dialogues, page 1 of 30"
    assert found["rows"] == 20
    assert found["elements"] < 1500
    assert found["last"] == "585 of 585 dialogues, page 30 of 30"
    assert found["end"] == [f"sum-{number}" for number in range(580, 585)]


def test_the_page_opens_without_a_word_of_the_policy(tmp_path):
    run = tmp_path / "run"
    evaluate(Sums(2), model=answers_right("m"), judge=judges_by_length(), output=run)
    after, log = dom(build_report(run), tmp_path / "profile")
    assert "Content Security Policy" not in log
    assert "2 of 2 dialogues" in after
    assert json.loads(re.search(r'id="evaluation-data">(.*?)</script>', after)[1])["mode"] == "single"
