"""Dialogues from a teacher that fails in every way behind a server that does too, with a client that is killed.

What the teacher replies depends on the request alone, so what each dialogue must be is known without a server: the same
modes over the same teacher in this process. A kill may cost what was in flight, and nothing that was committed.
"""

from __future__ import annotations

import json
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import synthesis_client
from faulty_server import ANSWERED, FaultyServer, Script, digest_of, verdict_of
from scripted_teacher import NEVER_WRITTEN, material, teacher_reply

from turnwise.llm.chat import ChatReply, ChatRequest
from turnwise.llm.drive import run_one
from turnwise.llm.request_body import request_body
from turnwise.llm.scripted import ScriptedModel
from turnwise.llm.settings import ClientConfig
from turnwise.llm.structured import Structured

IN_FLIGHT = 16
SHARES = {  # a quarter of the tries
    "429": 0.05,
    "429_ms": 0.03,
    "500": 0.04,
    "503": 0.03,
    "torn": 0.04,
    "invalid_json": 0.03,
    "error_in_200": 0.01,
    "two_choices": 0.02,
}
ALWAYS = {"not_json": 0.08, "missing_key": 0.08, "ungrounded": 0.15, "cut": 0.01}
CLIENT = {"max_concurrency": IN_FLIGHT, "backoff_s": 0.02, "timeout_s": 4.0, "max_tries": 12}


def digest(request: ChatRequest) -> str:
    """What the server logs for a request."""
    return digest_of(request_body("m", request, ClientConfig(), "max_tokens"))


def expected(script: Script) -> tuple[list[dict[str, Any]], dict[str, ChatRequest]]:
    """What must be written, and every request that it takes, by the server's digest."""
    asked: dict[str, ChatRequest] = {}

    def answer(request: ChatRequest) -> ChatReply:
        asked[digest(request)] = request
        kind, _ = verdict_of(digest(request), script)
        text = teacher_reply(request.messages, kind)
        if kind == "cut":
            return ChatReply(text, failure="truncated", detail="the reply reached its token limit")
        return ChatReply(text, finish_reason="stop")

    modes = synthesis_client.modes(Structured(ScriptedModel(answer)))
    written = [run_one(modes[kind].write(document)) for kind, document in synthesis_client.work()]
    return [synthesis_client.shape(one) for one in written], asked


class Client:
    """The process that writes dialogues; started again after each kill."""

    def __init__(self, folder: Path, url: str) -> None:
        self.cache, self._output = folder / "replies.sqlite", folder / "result.json"
        self._settings = folder / "settings.json"
        paths = {"cache": str(self.cache), "output": str(self._output)}
        self._settings.write_text(json.dumps({"url": url, "client": CLIENT, **paths}))

    def start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, synthesis_client.__file__, str(self._settings)])

    def finish(self) -> dict[str, Any]:
        assert self.start().wait(timeout=300) == 0
        result: dict[str, Any] = json.loads(self._output.read_text())
        return result

    def committed(self) -> set[str]:
        with sqlite3.connect(self.cache) as connection:
            return {key for (key,) in connection.execute("SELECT key FROM replies")}


def answered(server: FaultyServer) -> int:
    return sum(entry["did"] in ANSWERED for entry in server.log())


@pytest.mark.slow
def test_dialogues_survive_faults_and_kills_nothing_is_paid_twice_and_made_up_spans_are_caught(tmp_path):
    """48 dialogues at once and 24 turn by turn; a quarter of the tries fail, a third of the replies is no good, the
    client dies three times."""
    script = Script(seed=11, shares=SHARES, always=ALWAYS, latency_s=0.01, teacher=True)
    wanted, asked = expected(script)
    moments = random.Random(5)
    with FaultyServer(tmp_path / "server", script) as server:
        client = Client(tmp_path, server.url)
        key_of = {name: request.key(f"m@{server.url}") for name, request in asked.items()}
        halfway = 0
        for kill in range(3):
            process = client.start()
            threshold = len(asked) * (kill + moments.uniform(0.4, 1.0)) / 4
            while answered(server) < threshold:
                assert process.poll() is None, "ended before it was killed"
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
            process.wait()
            committed, seen = client.committed(), len(server.log())
            halfway += half_finished(asked, {name for name, key in key_of.items() if key in committed})
        assert halfway > 0, "no kill met a dialogue between two turns"
        result = client.finish()
        replayed = client.finish()
        log = server.log()

    # Complete, and each dialogue is what it has to be, texts that were no good included.
    assert len(result["results"]) == synthesis_client.WHOLE + synthesis_client.STEPWISE
    for found, right in zip(result["results"], wanted, strict=True):
        assert {**found, "detail": ""} == {**right, "detail": ""}
    assert replayed["results"] == result["results"]
    assert replayed["usage"]["sent"] == 0

    # Nothing committed was sent again after the last kill; only what was in flight at a kill was answered twice.
    assert {entry["request"] for entry in log} == set(asked)
    again = {key_of[entry["request"]] for entry in log[seen + 2 * IN_FLIGHT :]} & committed
    assert not again
    kept = [entry["request"] for entry in log if entry["did"] in ANSWERED]
    assert len(kept) - len(set(kept)) <= 3 * IN_FLIGHT
    assert 0.15 < sum(entry["did"] not in ANSWERED for entry in log) / len(log) < 0.35

    check_what_was_written(result["results"])


def half_finished(asked: dict[str, ChatRequest], done: set[str]) -> int:
    """Stepwise dialogues some of whose plans are there and some are not."""
    plans: dict[str, Counter[str]] = {kind: Counter() for kind in ("done", "all")}
    for name, request in asked.items():
        inside = material(str(request.messages[1]["content"]))
        if {"document", "dialogue"} <= inside.keys():
            plans["all"][inside["document"]] += 1
            plans["done"][inside["document"]] += name in done
    return sum(0 < plans["done"][text] < count for text, count in plans["all"].items())


def check_what_was_written(results: list[dict[str, Any]]) -> None:
    """Made-up spans are caught one and all, all others stand in the document, failures hold their texts."""
    failures: Counter[str] = Counter()
    made_up = repaired = 0
    for (kind, document), written in zip(synthesis_client.work(), results, strict=True):
        failures[written["failure"] or "none"] += 1
        assert written["raw"], "every text is kept"
        if written["failure"] is not None:
            assert written["turns"] == []
            continue
        repaired += len(written["raw"]) > (1 if kind == "cod" else 2 * synthesis_client.TURNS)
        invented = [number for number, turn in enumerate(written["turns"]) if turn["find"] == NEVER_WRITTEN]
        assert written["checks"]["ungrounded_turns"] == invented
        made_up += len(invented)
        for number, turn in enumerate(written["turns"]):
            if number in invented or not turn["find"]:
                assert turn["span"] is None
            else:
                span = turn["span"]
                assert document.text[span["start"] : span["end"]] == span["text"] == turn["find"]
        if kind == "cod-stepwise":
            assert not invented
    assert failures["none"] > 50
    assert failures["truncated"] >= 1
    assert set(failures) <= {"none", "truncated", "malformed"}
    assert made_up >= 5
    assert repaired >= 10
    print({"failures": dict(failures), "made up": made_up, "repaired": repaired})
