"""Progress of an evaluation on stderr: items done, requests, cost so far, time left."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import TimeRemainingColumn as TimeLeft

from turnwise.cli.output import note
from turnwise.cli.output import progress as console

if TYPE_CHECKING:
    from turnwise.llm.usage import Usage

_SECONDS = 0.1
"""Between two looks at the counters: replaying a cache changes them ten thousand times a second."""


@contextmanager
def evaluation_progress(title: str, usage: Usage) -> Iterator[Callable[[str, int, int], None]]:
    """Show a bar per stage while the block runs; yields the function to call with stage, items done, items in all."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeLeft(),
        TextColumn("{task.fields[shown]}", markup=False),
    )
    with Progress(*columns, console=console, transient=not console.is_terminal) as bars:
        tasks: dict[str, TaskID] = {}
        refreshed = 0.0

        def update(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(f"{title}: {stage}", total=total, shown="")
            shown = requests_so_far(usage)
            bars.update(tasks[stage], completed=done, total=total, shown=shown)
            # Without a terminal there is no bar: a line per tenth.
            if not console.is_terminal and (done == total or done * 10 // total > (done - 1) * 10 // total):
                note(f"{title}: {stage} {done}/{total}  {shown}".rstrip())

        def refresh(_: Usage) -> None:
            nonlocal refreshed
            if time.monotonic() - refreshed < _SECONDS:
                return
            refreshed = time.monotonic()
            for task in list(tasks.values())[-1:]:  # the stage at work; earlier ones keep what they came to
                bars.update(task, shown=requests_so_far(usage))

        usage.on_change = refresh
        try:
            yield update
        finally:
            usage.on_change = None


def requests_so_far(usage: Usage) -> str:
    """Requests and cost in a few words; empty before the first one."""
    parts = [
        f"{count:,} {what}"
        for count, what in (
            (usage.sent, "sent"),
            (usage.cached, "cached"),
            (usage.retries, "retried"),
            (sum(usage.failures.values()), "failed"),
        )
        if count
    ]
    if usage.cost:
        parts.append(f"cost {usage.cost:.4g}")
    return ", ".join(parts)
