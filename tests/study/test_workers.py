"""Workers do every task, survive each other, and end with their parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from turnwise.study.workers import run_in_workers

TESTS = str(Path(__file__).parent)


def square_or_die(number):
    """Must be importable by a spawned process, which is why tests start it from a script."""
    if number < 0:
        os._exit(3)
    return number * number


SCRIPT = f"""
import sys
sys.path.insert(0, {TESTS!r})
from test_workers import square_or_die
from turnwise.study.workers import run_in_workers
if __name__ == "__main__":
    print(sorted(run_in_workers(square_or_die, [3, -1, 2, 1], 2)))
"""

LONG = """
import os, sys, time
from turnwise.study.workers import run_in_workers
if __name__ == "__main__":
    for _ in run_in_workers(time.sleep, [120, 120], 2):
        pass
"""


def test_a_task_that_kills_its_worker_gives_none_and_the_others_their_results(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "[(-1, None), (1, 1), (2, 4), (3, 9)]"
    assert done.stderr == ""


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads the children of a process from /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_no_worker_outlives_its_parent(tmp_path, number):
    script = tmp_path / "script.py"
    script.write_text(LONG)
    parent = subprocess.Popen([sys.executable, script], stderr=subprocess.DEVNULL, preexec_fn=listen_to_ctrl_c)
    try:
        wait_until(lambda: len(sleepers(parent.pid)) == 2)
        workers = sleepers(parent.pid)
        parent.send_signal(number)
        assert parent.wait(30) != 0
        wait_until(lambda: not any(alive(pid) for pid in workers))
    finally:
        parent.kill()


def listen_to_ctrl_c():
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have made its children deaf to it


def sleepers(parent):
    """Spawned workers of a process that have begun to work (they sleep in a system call of a minute)."""
    tasks = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    lines = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in tasks}
    return [pid for pid, line in lines.items() if b"spawn_main" in line]


def alive(pid):
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


def wait_until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_without_tasks_nothing_is_started():
    assert list(run_in_workers(square_or_die, [], 4)) == []
