"""The page of a synthesis in Chromium, offline: hostile text is shown as text, evidence lights up, search works."""

from __future__ import annotations

import re

import pytest
from browser import CHROMIUM, hostile_texts, measured
from sentence_mode import COMMON, ELSEWHERE, SentenceMode, document

from turnwise.dialogue import Document
from turnwise.llm.chat import ChatReply
from turnwise.llm.scripted import ScriptedModel
from turnwise.report import build_report
from turnwise.synthesis.chain import ChainTurn, Span, Written, failed
from turnwise.synthesis.settings import SynthesisConfig
from turnwise.synthesis.synthesize import synthesize

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH"),
]

RTL = "\u202egnp.exe \u2066 \u200f"
BRACES = "{{ 7 * 7 }} {% raw %} ${alert(1)} {question}"


class Hostile:
    """Everything that a dialogue or a failure can say is the document's own text."""

    name = "cod"

    def __init__(self, teacher):
        self.teacher = teacher

    async def write(self, one):
        text = one.text
        if one.metadata.get("fails"):
            return failed("malformed", text, raw=(text,), prompt=text)
        found = ChainTurn(text, text, "question-answer", text, (text,), text, Span(0, len(text), text))
        lost = ChainTurn(text, text, "question-answer", text, (text,), f"x{text}")
        return Written((found, lost), raw=(text,), prompt=text, checks={text: text})


def test_hostile_text_everywhere_runs_nothing_loads_nothing_and_is_shown_as_it_is(listener, tmp_path):
    url, asked = listener
    texts = [
        *hostile_texts(url),
        f"[click](javascript:fetch('{url}/link')) <a href=\"javascript:fetch('{url}/a')\">a</a>",
        f"<svg onload=fetch('{url}/svg')><!-- ]]> --><style>@import '{url}/css';</style>",
        f"<base href='{url}/'><meta http-equiv=refresh content='0;url={url}/meta'>",
        RTL,
        BRACES,
    ]
    given = [
        Document(f"id {place}{text}", text, f"title{text}", {"set": f"set {place % 2}{text}", "fails": fails})
        for fails in (False, True)
        for place, text in enumerate(texts)
    ]
    settings = SynthesisConfig(near_duplicates=None, require_grounded=True)
    run = synthesize(given, Hostile(f"teacher{texts[0]}"), tmp_path / "run", settings=settings).run
    driver = """
    document.getElementById("find-open").click();
    return new Promise((done) => setTimeout(() => {
      const every = (query) => [...document.querySelectorAll(query)].map((e) => e.textContent);
      document.querySelectorAll(".turn").forEach((one) => one.click());
      document.querySelectorAll("mark").forEach((one) => one.click());
      done({
        title: document.title,
        said: every("#find-list .message .content"),
        marks: every("#find-list mark"),
        ids: every("#find-list .id"),
        elements: [...new Set([...document.querySelectorAll("#find-list *")].map((e) => e.localName))].sort(),
        scripts: document.scripts.length,
        foreign: document.querySelectorAll("img, iframe, link, base, object, embed, svg, a[href^=javascript]").length,
        refresh: document.querySelectorAll("meta[http-equiv=refresh i]").length,
      });
    }, 200));
    """
    found, log = measured(build_report(run), driver, tmp_path / "profile")
    assert found["title"] == "run – turnwise report"
    assert asked == []
    assert found["scripts"] == 3, "data, the page's own script, and the test's"
    assert (found["foreign"], found["refresh"]) == (0, 0)
    assert set(found["elements"]) <= {"details", "summary", "span", "bdi", "b", "div", "p", "mark"}
    assert "Content Security Policy" not in log
    for place, text in enumerate(texts):
        literal = re.sub("[\u202e\u2066\u200f]", lambda mark: f"[U+{ord(mark[0]):04X}]", text)
        assert f"id {place}{literal}/cod" in found["ids"]
        assert literal in found["marks"]
        # Both messages of the turn and of the one that was cut off, and the teacher's text of the failed document.
        assert found["said"].count(literal) >= 5


def teacher():
    """Document 2 claims what is elsewhere, and nothing; document 3 is refused."""

    def script(request):
        sentence = request.messages[-1]["content"].splitlines()[-1].removeprefix("Ask about: ")
        if "part 300" in sentence:
            return ChatReply("I would rather not", failure="refused", detail="no")
        special = {"part 201": f"{ELSEWHERE}nowhere", "part 202": f"{COMMON}sense"}
        return next((said for key, said in special.items() if key in sentence), f"Why {sentence}?")

    return ScriptedModel(script)


def test_search_and_filters_act_on_documents_dialogues_outcomes_types_and_evidence(tmp_path):
    """Documents 1, 2 and 4 have three turns of the first three types, document 5 has four, document 3 none."""
    given = [document(number, 4 if number == 5 else 3, set="odd" if number % 2 else "even") for number in range(1, 6)]
    run = synthesize(given, SentenceMode(teacher()), tmp_path / "run").run
    driver = """
    const set = (name, value) => { const e = document.getElementById(`find-${name}`); e.value = value;
      e.dispatchEvent(new Event("input", { bubbles: true })); };
    const ids = () => [...document.querySelectorAll("#find-list .id")].map((e) => e.textContent[4]).join("");
    const out = {};
    const ask = (name, settings) => {
      for (const [key, value] of Object.entries(settings)) set(key, value);
      out[name] = ids();
      for (const key of Object.keys(settings)) set(key, "");
    };
    ask("all", {});
    ask("document", { text: "PART 401" });
    ask("raw", { text: "rather" });
    ask("none", { text: "<b>" });
    ask("odd", { set: "odd" });
    ask("refused", { outcome: "refused" });
    ask("dialogue", { outcome: "dialogue", set: "odd" });
    ask("fourth type", { logic: "statement-explanation" });
    ask("not found", { evidence: "not found" });
    ask("common", { evidence: "common knowledge" });
    ask("both", { evidence: "common knowledge", logic: "question-answer" });
    out.count = document.getElementById("find-count").textContent;
    return out;
    """
    found, log = measured(build_report(run), driver, tmp_path / "profile")
    assert "Content Security Policy" not in log
    assert found["all"] == "12345"
    assert found["document"] == "4"
    assert found["raw"] == "3"
    assert found["none"] == ""
    assert found["odd"] == "135"
    assert found["refused"] == "3"
    assert found["dialogue"] == "15"
    assert found["fourth type"] == "5"
    assert found["not found"] == found["common"] == "2"
    assert found["both"] == "", "the turn that answers from common knowledge is of another type"
    assert found["count"] == "5 of 5 documents, page 1 of 1"


def test_pointing_at_a_turn_lights_its_evidence_and_clicking_evidence_its_turn(tmp_path):
    """Document 2: turn 0 has the first sentence, turns 1 and 2 none; characters outside Unicode's first plane count."""
    special = Document("doc-2", f"\U0001f600 {document(2).text}", metadata={"set": "x"})
    run = synthesize([special], SentenceMode(teacher()), tmp_path / "run").run
    driver = """
    document.querySelector("#find-list details").open = true;
    return new Promise((done) => setTimeout(() => {
      const lit = (query) => [...document.querySelectorAll(query)].map((e) => e.textContent);
      const turns = [...document.querySelectorAll(".turn")];
      const on = () => turns.map((e) => Number(e.classList.contains("on"))).join("");
      const out = { before: lit("mark.on"), marks: lit("mark") };
      turns[0].dispatchEvent(new MouseEvent("mouseenter"));
      out.over = lit("mark.on");
      turns[0].dispatchEvent(new MouseEvent("mouseleave"));
      out.left = lit("mark.on");
      turns[1].click();
      out.without = [lit("mark.on"), on()];
      document.querySelector("mark").click();
      out.clicked = [lit("mark.on"), on()];
      turns[1].dispatchEvent(new MouseEvent("mouseenter"));
      turns[1].dispatchEvent(new MouseEvent("mouseleave"));
      out.pinned = on();
      out.tags = lit(".thought .tag");
      out.columns = getComputedStyle(document.querySelector(".beside")).gridTemplateColumns.split(" ").length;
      out.wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
      done(out);
    }, 100));
    """
    found, _ = measured(build_report(run), driver, tmp_path / "profile")
    sentence = special.text.split(". ")[0]
    assert (found["before"], found["marks"]) == ([], [sentence])
    assert (found["over"], found["left"]) == ([sentence], [])
    assert found["without"] == [[], "010"]
    assert found["clicked"] == [[sentence], "100"]
    assert found["pinned"] == "100", "after pointing elsewhere the chosen turn is lit again"
    assert f"word for word 0–{len(sentence)}" in found["tags"]
    assert "not found" in found["tags"]
    assert "common knowledge" in found["tags"]
    assert (found["columns"], found["wide"]) == (2, 0)
