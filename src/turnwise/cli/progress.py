"""A progress bar with the time left, on stderr, fed by what the training stage reports."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from turnwise.cli.output import progress as console

_SHOWN = {
    "loss": "loss",
    "resure/noise_share": "unreliable share",
    "resure/flag_rate": "flagged",
    "eval_loss": "held-out",
}
"""What is shown of a log, and under which name."""


@contextmanager
def training_progress(title: str) -> Iterator[Callable[[int, int, Mapping[str, float]], None]]:
    """Show a bar while the block runs; yields the function to call with step, steps in all, and logged values."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[shown]}"),
    )
    with Progress(*columns, console=console, transient=not console.is_terminal) as bar:
        task = bar.add_task(title, total=None, shown="")

        def update(step: int, steps: int, logs: Mapping[str, float]) -> None:
            bar.update(task, completed=step, total=steps)
            shown = [
                f"{name} {logs[key]:.3f}" for key, name in _SHOWN.items() if isinstance(logs.get(key), float | int)
            ]
            if shown:
                bar.update(task, shown="  ".join(shown))
                if not console.is_terminal:
                    console.print(f"{title} step {step}/{steps}  {'  '.join(shown)}", markup=False)

        yield update
