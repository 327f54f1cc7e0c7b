"""From ordinary code into the event loop: many items at work at once, results in the order of the items.

All of turnwise shares one loop, in a thread of its own, so it works in a notebook too, and a connection opened for one
stage serves the next.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from concurrent.futures import Future
from functools import partial
from itertools import islice
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_state: dict[str, Any] = {}
_guard = threading.Lock()


def run_all(
    work: Callable[[Item], Awaitable[Result]], items: Iterable[Item], *, window: int = 256, lockstep: bool = False
) -> Iterator[Result]:
    """Do `work` on every item, many at a time; yield the results in the order of the items.

    Args:
        work: A coroutine function. How many requests are in flight is the models' own matter (throttle, batches).
        items: Drawn from as work is finished, so they need not fit in memory.
        window: Most items that are begun and not yet yielded: what bounds memory.
        lockstep: Begin the next items only when all begun ones are done. A local model then puts the same requests
            into the same batches in every run.

    Yields:
        One result per item.

    Raises:
        Exception: What `work` raised for the first item (in order) that failed; all other work is cancelled.
    """
    if window < 1:
        raise ValueError(f"expected a window of at least 1, found {window}")
    loop = _loop()
    source = iter(items)
    begun: deque[Future[Result]] = deque()
    try:
        while True:
            if len(begun) <= (0 if lockstep else window // 2):
                begun.extend(_submit(loop, [work(item) for item in islice(source, window - len(begun))]))
            if not begun:
                return
            yield begun.popleft().result()
    finally:
        for future in begun:
            future.cancel()


def run_one(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Do one piece of work and wait for it."""
    return asyncio.run_coroutine_threadsafe(coroutine, _loop()).result()


def _submit(loop: asyncio.AbstractEventLoop, work: list[Any]) -> list[Future[Any]]:
    """Hand work to the loop in one go: all of it has begun before any of it waits for something."""
    futures: list[Future[Any]] = [Future() for _ in work]

    def begin() -> None:
        for coroutine, future in zip(work, futures, strict=True):
            task = loop.create_task(coroutine)
            future.add_done_callback(partial(_stop, loop, task))
            task.add_done_callback(partial(_settle, future))

    loop.call_soon_threadsafe(begin)
    return futures


def _stop(loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any], future: Future[Any]) -> None:
    if future.cancelled():
        loop.call_soon_threadsafe(task.cancel)


def _settle(future: Future[Any], task: asyncio.Task[Any]) -> None:
    if future.cancelled() or task.cancelled():
        future.cancel()
        if not task.cancelled():
            task.exception()  # fetched, so that the loop does not complain of it
        return
    if not future.set_running_or_notify_cancel():
        return
    error = task.exception()
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(task.result())


def _loop() -> asyncio.AbstractEventLoop:
    """The loop of this process; begun on first use, and anew in a forked child."""
    with _guard:
        if _state.get("pid") != os.getpid():
            loop = asyncio.new_event_loop()
            threading.Thread(target=loop.run_forever, name="turnwise-llm", daemon=True).start()
            _state.update(pid=os.getpid(), loop=loop)
        loop = _state["loop"]
        assert isinstance(loop, asyncio.AbstractEventLoop)  # noqa: S101 - for the type checker
        return loop
