"""A run that is killed or interrupted goes on: nothing is asked twice, and the files are those of a whole run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from chat_server import chat_server
from two_questions import write_questions

from turnwise.run import read_manifest

pytestmark = pytest.mark.slow

QUESTIONS, IN_FLIGHT = 24, 4
NEEDED = 4 * QUESTIONS  # two answers and two judgments each


def answer(body):
    """A text that depends on all that was said, so that a mix-up would show."""
    said = sum(len(message["content"]) for message in body["messages"])
    if body["model"] == "judge":
        return f"It has {said} characters.\nRating: [[{1 + said % 10}]]"
    return f"Answer of {said} characters."


@pytest.fixture
def start(tmp_path):
    """Start `turnwise evaluate mt-bench` in a process of its own, against a server that takes its time."""
    write_questions(tmp_path / "questions", QUESTIONS)
    with chat_server(answer, delay=0.03) as server:

        def run(output, *more):
            command = [sys.executable, "-m", "turnwise", "evaluate", "mt-bench", "--data", "questions"]
            command += ["--model", f"model@{server.url}", "--judge", f"judge@{server.url}", "--output", output]
            command += ["--set", f"client.max_concurrency={IN_FLIGHT}", "--json", *more]
            return subprocess.Popen(
                command,
                cwd=tmp_path,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ},
                # A shell without job control starts its background jobs deaf to Ctrl-C, and children inherit that.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )

        yield server, run


def wait_for(server, count, process):
    while server.count < count:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.005)


def finish(process, code=0):
    out, err = process.communicate(timeout=120)
    assert process.returncode == code, err
    return json.loads(out.splitlines()[-1]) if out else {}, err


def test_a_run_killed_twice_ends_with_the_same_files_and_pays_for_nothing_twice(start, tmp_path):
    """Killed while it answers and while it judges; every distinct request is asked, and few of them again.

    Asked again is what was in flight (4), or had come and was not written yet while the next ones were sent.
    """
    server, run = start
    whole, _ = finish(run("whole"))
    assert (server.count, set(server.asked.values())) == (NEEDED, {1})
    server.asked.clear()
    for count, more in ((QUESTIONS, ()), (3 * QUESTIONS, ("--resume",))):
        process = run("killed", *more)
        wait_for(server, count, process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert not (tmp_path / "killed" / "results.json").exists()
        assert read_manifest(tmp_path / "killed" / "manifest.json")["status"] == "running"
    resumed, _ = finish(run("killed", "--resume"))
    for name in ("answers.jsonl", "judgments.jsonl"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert resumed["tables"] == whole["tables"]
    assert len(server.asked) == NEEDED
    assert NEEDED <= server.count <= NEEDED + 2 * 2 * IN_FLIGHT
    left = [path.name for path in (tmp_path / "killed").iterdir() if path.name.startswith(".partial")]
    assert left == [], "no torn files are left"


def test_an_interrupted_run_says_how_to_go_on_and_ends_with_130(start, tmp_path):
    server, run = start
    process = run("stopped")
    wait_for(server, 20, process)
    process.send_signal(signal.SIGINT)
    _, err = finish(process, 130)
    assert "--resume continues" in err
    assert "Traceback" not in err
    assert read_manifest(tmp_path / "stopped" / "manifest.json")["status"] == "interrupted"
    finish(run("stopped", "--resume"))
    assert len(server.asked) == NEEDED
    assert server.count <= NEEDED + 2 * IN_FLIGHT
    assert read_manifest(tmp_path / "stopped" / "manifest.json")["status"] == "done"
