"""A few worker processes that take tasks one at a time, die with their parent, and may die without taking it along."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Generic, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass
class _Worker(Generic[Task]):
    process: BaseProcess
    pipe: Connection
    task: Task | None = None


def run_in_workers(
    work: Callable[[Task], Result], tasks: Sequence[Task], jobs: int
) -> Iterator[tuple[Task, Result | None]]:
    """Do tasks in worker processes, each on one thread.

    Workers are spawned, so `work`, tasks and results travel by pickle between processes of this program. When the
    block is left early (an error, Ctrl-C), they are ended at once; when this process is killed, they end by
    themselves.

    Args:
        work: Does one task; it is expected to raise nothing.
        tasks: What to do, begun in this order.
        jobs: How many workers.

    Yields:
        (task, result) as they finish; the result is None where the worker died over the task (killed, out of memory).
    """
    waiting = list(reversed(tasks))
    workers: list[_Worker[Task]] = []
    try:
        workers.extend(_start(work, waiting.pop()) for _ in range(min(jobs, len(tasks))))
        while busy := [worker for worker in workers if worker.task is not None]:
            ready = wait([worker.pipe for worker in busy])
            for place, worker in enumerate(workers):
                if worker.pipe not in ready or worker.task is None:
                    continue
                task, result = worker.task, None
                worker.task = None
                try:
                    result = worker.pipe.recv()
                    if waiting:
                        _give(worker, waiting.pop())
                except (EOFError, OSError):  # it died; its end of the pipe is closed
                    worker.process.join()
                    if waiting:
                        workers[place] = _start(work, waiting.pop())
                yield task, result
    finally:
        for worker in workers:
            worker.pipe.close()  # an idle worker ends when its pipe does
            if worker.task is not None:
                worker.process.terminate()
        for worker in workers:
            worker.process.join()


def _start(work: Callable[[Any], Any], task: Any) -> _Worker[Any]:
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_serve, args=(work, theirs))  # no daemon: it may load data in processes of its own
    with _one_thread():
        process.start()
    theirs.close()  # or its end would stay open here when the worker dies
    worker: _Worker[Any] = _Worker(process, ours)
    _give(worker, task)
    return worker


@contextmanager
def _one_thread() -> Iterator[None]:
    """Start processes with one thread for OpenMP, unless the user says how many."""
    chosen = "OMP_NUM_THREADS" in os.environ
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        yield
    finally:
        if not chosen:
            del os.environ["OMP_NUM_THREADS"]


def _give(worker: _Worker[Task], task: Task) -> None:
    worker.task = task
    with suppress(OSError):  # a dead worker is noticed when its result is read
        worker.pipe.send(task)


def _serve(work: Callable[[Any], Any], pipe: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends its workers
    threading.Thread(target=_die_with_parent, daemon=True).start()
    with suppress(EOFError, OSError):
        while True:
            pipe.send(work(pipe.recv()))


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)
