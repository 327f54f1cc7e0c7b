"""The page: what it says for the files that a run folder holds, and that text from data is never markup."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from html_page import Page

from turnwise.errors import RunError
from turnwise.report import build_report


def test_a_full_run_shows_every_section_with_its_figures(full_run: Any) -> None:
    path = build_report(full_run.path)
    assert path == full_run.path / "report.html"
    page = Page(path)
    assert not page.open
    sections = [one["id"] for one in page.tags("section")]
    assert sections == ["loss", "weights", "groups", "held-out", "noise", "dialogues", "data", "config"]
    assert "finished after 3 min 4 s" in page.text("top")
    assert "Of 12 turns seen, 16.7 % were flagged as unreliable; the mean weight was 0.8750." in page.text("top")
    assert "2.750 at the first log event, 1.500 at the last (nats per token)" in page.text("loss")
    assert "Evaluation loss, never weighted: 1.750 at first, 1.750 at last." in page.text("loss")
    assert "83.3 % kept the full weight of 1" in page.text("weights")
    assert "nominal 15.9 %" in page.text("groups")
    assert "1.500 [1.250, 1.800] 180 50.0 % 16" in page.text("held-out")
    assert "is 0.8750 (chance: 0.5). Precision at the flagged share: 50.0 % (chance: 16.7 %)" in page.text("noise")
    assert "swapped_reply 2 0.0 % 100.0 % 0.2500" in page.text("noise")
    assert "a purple elephant" in page.text("dialogues")
    assert "no assistant turn 2" in page.text("data")
    assert "ab12" * 16 in page.text("data")
    assert "method: resure" in page.text("config")


def test_every_chart_has_a_unique_name_and_description(full_run: Any) -> None:
    page = Page(build_report(full_run.path))
    charts = page.tags("svg")
    assert len(charts) == 9
    ids = [attributes["id"] for _, attributes in page.elements if attributes.get("id")]
    assert len(ids) == len(set(ids))
    assert {name for chart in charts for name in (chart["aria-labelledby"] or "").split()} <= set(ids)
    links = [link["href"] for link in page.tags("a")]
    assert links == [f"#{section['id']}" for section in page.tags("section")]


def test_the_page_refers_to_nothing_outside_and_its_policy_names_its_own_style_and_script(full_run: Any) -> None:
    page = Page(build_report(full_run.path))
    policy = next(one["content"] for one in page.tags("meta") if one.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for kind in ("style", "script"):
        digest = hashlib.sha256("".join(page.inside[kind]).encode()).digest()
        assert f"{kind}-src 'sha256-{base64.b64encode(digest).decode()}'" in policy
    assert not page.tags("link")
    assert not page.tags("img")
    for tag, attributes in page.elements:
        assert not {"src", "style", "srcset", "action"} & attributes.keys(), tag
        assert not [name for name in attributes if name.startswith("on")], tag
    assert not re.search(r"@import|url\(", "".join(page.inside["style"]))


def test_a_folder_with_a_manifest_alone_says_what_is_absent(folder: Callable[..., Any]) -> None:
    page = Page(build_report(folder().manifest(status="interrupted").path))
    assert "was interrupted; what it left behind is shown" in page.text("top")
    assert page.text("loss").endswith("The run folder holds no metrics.jsonl.")
    for section in ("weights", "groups", "noise", "dialogues"):
        assert page.text(section).endswith("The run folder holds no ledger.parquet.")
    assert page.text("held-out").endswith("The run folder holds no summary.json.")
    assert not page.tags("svg")


def test_files_that_cannot_be_read_leave_their_section_out_with_the_reason(full_run: Any) -> None:
    for name in ("ledger.parquet", "dialogues.parquet", "summary.json"):
        (full_run.path / name).write_text("{torn", encoding="utf-8")
    page = Page(build_report(full_run.path))
    assert "ledger.parquet cannot be used: expected a Parquet file" in page.text("weights")
    assert "summary.json cannot be used" in page.text("held-out")
    assert "2.750 at the first log event" in page.text("loss")


def test_without_texts_the_least_reliable_are_still_listed(full_run: Any) -> None:
    (full_run.path / "dialogues.parquet").unlink()
    page = Page(build_report(full_run.path))
    assert "Texts are not shown. The run folder holds no dialogues.parquet." in page.text("dialogues")
    assert page.tags("details")[0]["data-rank"] == "1"
    assert "No planted noise is known" in page.text("noise")


def test_a_run_that_weighted_nothing_claims_nothing_about_noise(full_run: Any) -> None:
    rows = [{"dialogue_id": "good", "group": 1, "epoch": 0, "step": 1, "loss": 1.0}]
    page = Page(build_report(full_run.ledger(rows).path))
    assert "No dialogue was turned down" in page.text("weights")
    assert "No weight is under 1" in page.text("noise")
    assert "ranked by mean loss" in page.text("dialogues")
    assert "No threshold was set" in page.text("groups")


def test_no_manifest_is_an_error_that_names_the_folder(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no manifest found"):
        build_report(tmp_path)
    with pytest.raises(RunError, match="no such run folder"):
        build_report(tmp_path / "absent")


HOSTILE = [
    "<script>document.title='PWNED'</script>",
    "</script><script>document.title='PWNED'</script>",
    "</style></title></svg></textarea><script>document.title='PWNED'</script>",
    '"><img src=x onerror="document.title=\'PWNED\'">',
    "' onmouseover='document.title=1' x='",
    "{{7*7}} {% raw %} {# gone #}",
    "javascript:alert(1) &lt;b&gt; &#x202e; <!-- <![CDATA[",
    "\u202eevil\u2066 \x00\x1b[31m \u2028",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_text_of_a_data_set_is_shown_as_text_wherever_it_comes_from(folder: Callable[..., Any], text: str) -> None:
    """The same text as every name and value of the run; the page keeps one script, and shows what it was given."""
    run = (
        folder()
        .manifest(
            command=text,
            config={text: [text], "model": text},
            seeds={text: 1},
            inputs=[{"path": text, "sha256": text, "records": 1}],
            outputs=[{"path": text, "records_in": 1, "records_out": 0, "dropped": {text: 1}}],
        )
        .metrics({"step": 1, "loss": 1.0, text: 2.0}, {"step": 2, "loss": 0.5})
        .summary(
            method=text,
            model=text,
            counts={text: text},
            runs={text: "../elsewhere"},
            eval={
                text: {"loss": 1.0, "loss_by_turn": [1.0]},
                "b": {"loss": 1.0, "loss_by_turn": [1.0], "accuracy_by_turn": [1.0]},
            },
        )
        .ledger(
            [
                {
                    "dialogue_id": text,
                    "turn": 0,
                    "group": 0,
                    "epoch": 0,
                    "step": 1,
                    "loss": 3.0,
                    "threshold": 1.0,
                    "weight": 0.5,
                    "flagged": True,
                }
            ]
        )
        .dialogues(
            [
                {
                    "id": text,
                    "source": text,
                    "tier": text,
                    "noise": json.dumps({"kind": text, "turns": [0]}),
                    "record": json.dumps(
                        {"messages": [{"role": text, "content": text}, {"role": "assistant", "content": text}]}
                    ),
                }
            ]
        )
    )
    page = Page(build_report(run.path))
    assert not page.open
    assert len(page.tags("script")) == 1
    assert "PWNED" not in page.inside["script"][0]
    assert not page.tags("img")
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    shown = text if text.isprintable() else "[U+202E]evil[U+2066] [U+0000][U+001B][31m [U+2028]"
    content = page.text("dialogues")
    assert content.count(" ".join(shown.split())) >= 6  # id, source, tier, label, role, two messages
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00\x1b]", page.source)


def test_lone_surrogates_do_not_stop_the_page(full_run: Any) -> None:
    (full_run.path / "summary.json").write_text(
        '{"model": "\\ud800x", "eval": {"\\udfff": {"loss": 1}}}', encoding="utf-8"
    )
    assert "[U+D800]x" in Page(build_report(full_run.path)).text("top")


def test_credentials_of_the_configuration_are_left_out(full_run: Any) -> None:
    source = build_report(full_run.path).read_text(encoding="utf-8")
    assert "hf_s3cret" not in source
    assert "hub_token: (left out)" in source


def test_a_page_is_replaced_whole_and_leaves_nothing_beside_it(full_run: Any, tmp_path: Path) -> None:
    before = {path.name for path in full_run.path.iterdir()}
    first = build_report(full_run.path).read_bytes()
    assert build_report(full_run.path).read_bytes() == first
    assert {path.name for path in full_run.path.iterdir()} == before | {"report.html"}
    elsewhere = build_report(full_run.path, tmp_path / "pages" / "mine.html")
    assert elsewhere.read_bytes() == first


def test_several_runs_are_compared_first_and_the_resure_run_is_shown_after(
    folder: Callable[..., Any], full_run: Any
) -> None:
    top = folder("quick").manifest(command="quickstart")
    full_run.path.rename(top.path / "resure")
    plain = folder("quick/plain").manifest().metrics({"step": 1, "loss": 5.0}, {"step": 2, "loss": 4.5})
    plain.summary(method="vicuna", wall_seconds=3)
    figures = {"loss_by_turn": [1.0, 2.0], "tokens_by_turn": [10, 5]}
    top.summary(
        runs={"plain": "plain", "resure": "resure", "gone": "gone", "out": "../full"},
        eval={
            "base": {"loss": 3.0, "accuracy": 0.1, "accuracy_interval": [0.05, 0.2], **figures},
            "plain": {"loss": 2.0, "accuracy": 0.4, **figures},
            "resure": {"loss": 1.5, "accuracy": 0.5, **figures},
        },
    )
    page = Page(build_report(top.path))
    sections = [one["id"] for one in page.tags("section")]
    assert sections == ["comparison", "loss", "weights", "groups", "noise", "dialogues", "data", "config"]
    text = page.text("comparison")
    assert "Held-out loss in nats per token: base 3.000, plain 2.000, resure 1.500." in text
    assert "base 3.000 15 10.0 % [5.0 %, 20.0 %]" in text
    assert "plain vicuna done 3.0 s 4.500 plain" in text
    assert "Run gone is not shown" in text
    assert "Run out is not shown: '../full' is no folder inside this run." in text
    assert "Weights run resure" in page.text("weights")
    assert "a purple elephant" in page.text("dialogues")
    assert "resure; base 3.000, plain 2.000" in page.text("top")


def test_a_run_of_many_steps_stays_small(folder: Callable[..., Any]) -> None:
    """20,000 log events with 12 curves: thinned to 400 points each, the page stays far under 2 MB."""
    run = folder().manifest()
    names = ["loss", "grad_norm", "entropy", "resure/flag_rate", "resure/mean_weight"]
    run.metrics(*({"step": step} | dict.fromkeys(names, (step * 7919 % 1000) / 1000) for step in range(1, 20_001)))
    assert build_report(run.path).stat().st_size < 200_000
