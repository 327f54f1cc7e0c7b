"""A synthesis that is killed goes on: nothing is paid twice, and the files are those of a whole run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from chat_server import chat_server
from sentence_mode import SentenceMode, document
from synthesis_driver import IN_FLIGHT, SENTENCES

from turnwise.errors import RunError
from turnwise.llm.settings import ClientConfig
from turnwise.run import read_manifest
from turnwise.synthesis.results import read_dialogues_of, read_lines
from turnwise.synthesis.settings import SynthesisConfig
from turnwise.synthesis.synthesize import synthesize

HELPERS = Path(__file__).parents[1] / "helpers"
FILES = ("dialogues.jsonl", "failed.jsonl", "documents.jsonl")
COUNT = 24
NEEDED = COUNT * SENTENCES


def answer(body):
    """A question that depends on all that was said, so that a mix-up would show; one document is refused for good."""
    said = body["messages"][-1]["content"]
    if "thing 3 has part 301 " in said:
        return 400, {"error": {"message": "not this one", "code": "bad"}}
    return f"Question after {len(said)} characters?"


def driven(url, output, *more):
    command = [sys.executable, str(HELPERS / "synthesis_driver.py"), url, str(output), str(COUNT), *more]
    path = os.pathsep.join([str(HELPERS), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "PYTHONPATH": path}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)


def finish(process):
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said


@pytest.mark.slow
def test_a_synthesis_killed_three_times_ends_with_the_same_files_and_pays_for_nothing_twice(tmp_path):
    """Each document is asked about sentence by sentence, so the kills find dialogues that are half finished.

    Document 3 is refused at its second sentence and its other two are not asked, so 94 of 96 requests are needed.
    Asked again is what was in flight (4), or had come and was not written yet while the next ones were sent; and the
    one that is refused, which is no reply to keep: three times more.
    """
    with chat_server(answer, delay=0.03) as server:
        finish(driven(server.url, tmp_path / "whole"))
        assert (server.count, len(server.asked)) == (NEEDED - 2, NEEDED - 2)
        server.asked.clear()
        for part, more in enumerate(((), ("resume",), ("resume",)), start=1):
            process = driven(server.url, tmp_path / "killed", *more)
            while server.count < part * NEEDED // 4:
                assert process.poll() is None, process.communicate()[1]
                time.sleep(0.005)
            process.send_signal(signal.SIGKILL)
            process.communicate()
            assert not (tmp_path / "killed" / "dialogues.jsonl").exists()
            assert read_manifest(tmp_path / "killed" / "manifest.json")["status"] == "running"
        finish(driven(server.url, tmp_path / "killed", "resume"))
    for name in FILES:
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert len(server.asked) == NEEDED - 2
    assert NEEDED - 2 <= server.count <= NEEDED - 2 + 3 * 2 * IN_FLIGHT + 3
    left = [path.name for path in (tmp_path / "killed").iterdir() if path.name.startswith(".partial")]
    assert left == [], "no torn files are left"


def limited(server, output, most, **more):
    settings = SynthesisConfig(client=ClientConfig(max_requests=most, max_concurrency=2))
    documents = [document(number, 2, about="item") for number in range(10)]
    teacher = f"teacher@{server.url}"
    return synthesize(documents, SentenceMode, output, teacher=teacher, settings=settings, **more)


def test_a_limit_ends_the_run_with_1_says_how_to_go_on_and_the_rest_is_asked_later(tmp_path):
    """10 documents of 2 requests; 7 are allowed. With the limit raised, the other 13 are sent and none of the 7."""
    with chat_server(answer) as server:
        first = limited(server, tmp_path / "run", 7)
        assert (first.exit_code, first.limit_reached, server.count) == (1, True, 7)
        assert "--resume and a higher --max-cost or --max-requests" in first.warnings()[-1]
        assert {one["reason"] for one in read_lines(first.run / "failed.jsonl")} == {"limit"}
        assert first.summary["usage"]["sent"] == 7
        done = limited(server, tmp_path / "run", 100, resume=True)
        assert (done.exit_code, server.count, set(server.asked.values())) == (0, 20, {1})
    assert [one.metadata["document"] for one in read_dialogues_of(done.run)] == [f"doc-{n}" for n in range(10)]
    assert list(read_lines(done.run / "failed.jsonl")) == []
    assert read_manifest(done.run / "manifest.json")["outputs"][0]["usage"]["cached"] == 7


def test_overwrite_keeps_the_replies_that_were_paid_for(tmp_path):
    with chat_server(answer) as server:
        limited(server, tmp_path / "run", 100)
        with pytest.raises(RunError, match="--overwrite replaces it"):
            limited(server, tmp_path / "run", 100)
        again = limited(server, tmp_path / "run", 100, overwrite=True)
        assert (server.count, again.summary["usage"]["sent"], again.summary["usage"]["cached"]) == (20, 0, 20)
