"""Many judgments, a server that fails in every way, and a client that is killed: all of it together.

What can be promised of a kill: a reply that the client has handed on was committed before, so its request is never sent
again. A reply that was on its way, or had come and was not committed, can be asked for again; those are at most as many
as were in flight.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import judging_client
import pytest
from faulty_server import ANSWERED, FaultyServer, Script, digest_of, verdict_of

from turnwise.llm.chat import ChatRequest
from turnwise.llm.request_body import request_body
from turnwise.llm.settings import ClientConfig

JUDGMENTS = int(os.environ.get("TURNWISE_FAULT_JUDGMENTS", "2000"))
IN_FLIGHT = 32
SHARES = {  # three tries in ten
    "429": 0.04,
    "429_ms": 0.03,
    "429_seconds": 0.0005,
    "500": 0.04,
    "503": 0.03,
    "torn": 0.05,
    "invalid_json": 0.03,
    "not_an_object": 0.01,
    "error_in_200": 0.01,
    "no_choices": 0.015,
    "two_choices": 0.03,
    "empty": 0.0125,
    "slow": 0.002,
}
ALWAYS = {"refused": 0.01, "truncated": 0.01, "garbled": 0.01, "echo": 0.1}
CLIENT = {"max_concurrency": IN_FLIGHT, "backoff_s": 0.02, "timeout_s": 4.0, "max_tries": 12}


def requests() -> dict[int, tuple[str, ChatRequest]]:
    """Per item: the digest that the server logs, and the request."""
    found = {}
    for number in range(JUDGMENTS):
        request = judging_client.RUBRIC.request(judging_client.fields_of(number))
        body = request_body("m", request, ClientConfig(), "max_tokens")
        found[number] = digest_of(body), request
    return found


class Client:
    """The process that judges; started again after each kill."""

    def __init__(self, folder: Path, server: FaultyServer) -> None:
        self.cache, self.output = folder / "replies.sqlite", folder / "result.json"
        settings = {
            "url": server.url,
            "cache": str(self.cache),
            "output": str(self.output),
            "judgments": JUDGMENTS,
            "client": CLIENT,
        }
        self._settings = folder / "settings.json"
        self._settings.write_text(json.dumps(settings))

    def start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, judging_client.__file__, str(self._settings)])

    def finish(self) -> dict[str, object]:
        assert self.start().wait(timeout=300) == 0
        return json.loads(self.output.read_text())

    def committed(self) -> set[str]:
        with sqlite3.connect(self.cache) as connection:
            return {key for (key,) in connection.execute("SELECT key FROM replies")}


def expected_of(digest: str, script: Script) -> tuple[float | None, str | None]:
    """Score and reason that are right for a request: what the server's verdict is, whatever happened on the way."""
    kind, score = verdict_of(digest, script)
    reason = {"refused": "refused", "truncated": "truncated", "garbled": "unparsable"}.get(kind)
    return (None, reason) if reason else (float(score), None)


@pytest.mark.slow
def test_judgments_survive_faults_and_kills_and_nothing_is_paid_twice(tmp_path):
    """2,000 judgments, 30 % of all tries fail, the client dies three times at random moments."""
    assert sum(SHARES.values()) == pytest.approx(0.3)
    script = Script(seed=7, shares=SHARES, always=ALWAYS, latency_s=0.002, slow_s=6.0)
    moments = random.Random(3)
    with FaultyServer(tmp_path / "server", script) as server:
        client = Client(tmp_path, server)
        known = requests()
        key_of = {digest: request.key(f"m@{server.url}") for digest, request in known.values()}
        for kill in range(1, 4):
            process = client.start()
            threshold = JUDGMENTS * (kill - 1 + moments.uniform(0.2, 1.0)) / 5
            while sum(entry["did"] in ANSWERED for entry in server.log()) < threshold:
                assert process.poll() is None, "ended before it was killed"
                time.sleep(0.02)
            process.send_signal(signal.SIGKILL)
            process.wait()
            committed, seen = client.committed(), len(server.log())
            if kill == 1:
                first_kill = committed, seen
            assert committed, "killed before anything was done"
        last_kill = committed, seen
        result = first = client.finish()
        # An empty reply is a failure that is not kept: asked again, as a user does who starts the command again.
        again = 0
        while any(reason == "empty" for _, _, reason in result["results"]):
            again += 1
            assert again < 10
            result = client.finish()
        replayed = client.finish()
        log = server.log()

    # None lost, none scored wrongly.
    assert [int(item) for item, _, _ in result["results"]] == list(range(JUDGMENTS))
    wrong = [
        (item, score, reason)
        for item, score, reason in result["results"]
        if (score, reason) != expected_of(known[int(item)][0], script)
    ]
    assert wrong == []
    assert replayed["results"] == result["results"]
    refused = sum(reason == "refused" for _, _, reason in result["results"])
    assert replayed["usage"]["cached"] == JUDGMENTS - refused
    assert replayed["usage"]["sent"] >= refused, "a refusal is asked for again"

    # What was committed when the client was killed was not sent again, not even in a try that failed.
    for committed, seen in (first_kill, last_kill):
        later = {key_of[entry["request"]] for entry in log[seen:]}
        # A try that was already on its way to the server may be logged just after the kill.
        assert len(later & committed) <= IN_FLIGHT
        assert not {key_of[entry["request"]] for entry in log[seen + 2 * IN_FLIGHT :]} & committed

    # Answered twice are only those whose answer was in flight at a kill; truncated and plain answers alike are kept.
    kept = [entry for entry in log if entry["did"] in ANSWERED]
    kept = [entry for entry in kept if verdict_of(entry["request"], script)[0] != "refused"]
    twice = len(kept) - len({entry["request"] for entry in kept})
    assert twice <= 3 * IN_FLIGHT
    faults = sum(entry["did"] != "answer" for entry in log) / len(log)
    assert 0.25 < faults < 0.4

    # The cache is whole, and memory is flat.
    with sqlite3.connect(client.cache) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("SELECT count(*) FROM replies").fetchone() == (JUDGMENTS - refused,)
    resident = {int(number): size for number, size in first["resident"].items()}
    assert resident[JUDGMENTS] <= resident[500] * 1.15 + 4096
    print({"tries": len(log), "faults": faults, "twice": twice, "again": again, "resident": resident})
