"""The page in Chromium: it works under its own policy, runs nothing of the data, and asks the network for nothing."""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from turnwise.report import build_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH"),
]
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--virtual-time-budget=2000",
]


@pytest.fixture
def listener() -> Iterator[tuple[str, list[str]]]:
    """A server on this machine, and the paths that were asked of it."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", asked
    server.shutdown()
    server.server_close()
    thread.join()


def dom(page: Path, profile: Path) -> tuple[str, str]:
    """The document after its scripts ran, and what the browser logged."""
    assert CHROMIUM is not None
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, done.stderr


def hostile_texts(url: str) -> list[str]:
    return [
        f"<script>document.title='PWNED';fetch('{url}/script')</script>",
        f"</script><script>document.title='PWNED';fetch('{url}/closed')</script>",
        f"\"><img src='{url}/image' onerror=\"document.title='PWNED'\">",
        f"<link rel=stylesheet href='{url}/style'><iframe src='{url}/frame'></iframe>",
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
