"""`turnwise study`: run every cell that is not done yet, then gather what all of them measured.

The folder is the state: a cell is done when its `cell.json` is there. A study that was killed and goes on gives the
figures of one that was not.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from turnwise.llm.pretrained import quiet_libraries
from turnwise.run import RunFolder, atomic_path, write_json
from turnwise.study.cell import CellOutcome, read_cell, run_cell, write_failure
from turnwise.study.measure import RESULTS_SCHEMA, Figure
from turnwise.study.plan import Cell, StudyConfig, check_outside, local_inputs, method_of, plan_cells, train_config
from turnwise.study.prepare import prepare, steps_of
from turnwise.study.results import FAILED, RESULTS_NAME
from turnwise.study.workers import run_in_workers
from turnwise.training.loading import require_training_libraries
from turnwise.training.settings import lora_config, peft_options, trainer_arguments

Tell = Callable[[str], None]


def run_study(
    config: StudyConfig,
    *,
    resume: bool = False,
    overwrite: bool = False,
    jobs: int | None = None,
    only: str | None = None,
    tell: Tell = lambda text: None,
) -> dict[str, Any]:
    """Run a study and leave `results.parquet`, `summary.json` and a run folder per cell in `config.output`.

    Args:
        config: What to do.
        resume: Go on with the study that the folder holds: cells that are done stay, failed ones are tried again.
        overwrite: Replace the study that the folder holds.
        jobs: Worker processes, each on one thread; None takes as many as there are cores, or 1 with a GPU. One job
            runs in this process.
        only: Run the cells alone that match this pattern of mixture/method/seed.
        tell: Told what happens, one sentence at a time.

    Returns:
        The summary: the plan, `cells` (`planned`, `done`, `failed`, `missing`), `failures` with their reasons,
        `seconds` of all cells together and `wall_seconds` of this call.

    Raises:
        TurnwiseError: Something that the user must change.
    """
    started = time.monotonic()
    require_training_libraries()
    quiet_libraries()
    cells = plan_cells(config, only)
    check_outside(config)
    check_settings(config)
    folder = RunFolder.open(
        config.output,
        "study",
        config=config.model_dump(mode="json"),
        seeds={f"seed {place}": seed for place, seed in enumerate(config.seeds)},
        resume=resume,
        overwrite=overwrite,
        resume_may_change=["output", "keep_models"],
    )
    for path in local_inputs(config):
        folder.manifest.add_input(path)
    folder.check_inputs()
    with folder:
        prepare(config, folder.path, cells, tell)
        try:
            _run_cells(config, folder.path, cells, jobs or default_jobs(), tell)
        finally:
            summary = _gather(config, folder, time.monotonic() - started)
    return summary


def default_jobs() -> int:
    """As many as this process may use cores; 1 with a GPU, which cells would only share."""
    import torch

    if torch.cuda.is_available():
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_settings(config: StudyConfig) -> None:
    """Refuse settings of any method that its training run would refuse, before an hour has gone into others.

    Raises:
        ConfigError: One was found.
    """
    for name in config.methods:
        settings = train_config(config, name, model="model", data=["data"], output=config.output)
        arguments = trainer_arguments(settings, Path(config.output), evaluates=False)
        lora_config(peft_options(settings))
        if method_of(config, name).steps is not None:
            steps_of(arguments, 1)


def _run_cells(config: StudyConfig, folder: Path, cells: Sequence[Cell], jobs: int, tell: Tell) -> None:
    waiting = [cell for cell in cells if read_cell(folder, cell).state != "done"]
    if len(waiting) < len(cells):
        tell(f"{len(cells) - len(waiting)} of {len(cells)} cells are done already")
    started = time.monotonic()
    for number, (cell, outcome) in enumerate(_outcomes(config, folder, waiting, jobs), start=1):
        left = (time.monotonic() - started) / number * (len(waiting) - number)
        tell(f"[{number}/{len(waiting)}] {cell.label}: {_headline(outcome)}; {outcome.seconds:.0f} s{_eta(left)}")


def _outcomes(
    config: StudyConfig, folder: Path, cells: Sequence[Cell], jobs: int
) -> Iterator[tuple[Cell, CellOutcome]]:
    work = functools.partial(run_cell, config, folder)
    if min(jobs, len(cells)) <= 1:
        for cell in cells:
            yield cell, work(cell)
        return
    for cell, outcome in run_in_workers(work, cells, jobs):
        if outcome is None:
            outcome = write_failure(folder, cell, "its process was killed, perhaps because memory ran out")
        yield cell, outcome


def _headline(outcome: CellOutcome) -> str:
    if outcome.state == "failed":
        return f"failed: {outcome.reason}"
    whole = [figure for figure in outcome.figures if (figure.turn, figure.source, figure.key) == (None, None, None)]
    shown = [f"{figure.metric} {figure.name} {figure.value:.3f}" for figure in whole if figure.name and figure.value]
    return ", ".join(shown) or "done"


def _eta(seconds: float) -> str:
    if not seconds:
        return ""
    return f"; about {seconds / 60:.0f} min left" if seconds >= 90 else f"; about {seconds:.0f} s left"


def _gather(config: StudyConfig, folder: RunFolder, wall_seconds: float) -> dict[str, Any]:
    """Write `results.parquet` and `summary.json` from what the folder holds of every planned cell."""
    outcomes = {cell: read_cell(folder.path, cell) for cell in plan_cells(config)}
    rows = [row for cell, outcome in outcomes.items() for row in _rows(config, cell, outcome)]
    with atomic_path(folder.file(RESULTS_NAME)) as partial:
        pq.write_table(pa.Table.from_pylist(rows, schema=RESULTS_SCHEMA), partial, compression="zstd")
    states = [outcome.state for outcome in outcomes.values()]
    done = states.count("done")
    folder.manifest.add_output(
        RESULTS_NAME,
        len(states),
        done,
        {state: count for state in ("failed", "missing") if (count := states.count(state))},
    )
    summary = {
        "name": config.name,
        "mixtures": config.complexities(),
        "methods": {name: method_of(config, name).model_dump() for name in config.methods},
        "seeds": config.seeds,
        "reference_method": config.reference_method,
        "oracle_method": config.oracle_method,
        "cells": {"planned": len(states), "done": done, "failed": states.count("failed")}
        | {"missing": states.count("missing")},
        "failures": [
            {"cell": cell.label, "reason": outcome.reason}
            for cell, outcome in outcomes.items()
            if outcome.state == "failed"
        ],
        "seconds": sum(outcome.seconds for outcome in outcomes.values()),
        "wall_seconds": wall_seconds,
    }
    write_json(folder.file("summary.json"), summary)
    return summary


def _rows(config: StudyConfig, cell: Cell, outcome: CellOutcome) -> Iterator[dict[str, Any]]:
    """The figures of a cell as rows; those of a base model under every mixture and seed."""
    figures = (Figure(FAILED, 1.0),) if outcome.state == "failed" else outcome.figures
    mixtures = config.mixtures if cell.mixture is None else [cell.mixture]
    seeds = config.seeds if cell.seed is None else [cell.seed]
    for mixture in mixtures:
        for seed in seeds:
            for figure in figures:
                yield {
                    "study": config.name,
                    "mixture": mixture,
                    "method": cell.method,
                    "seed": seed,
                    **figure.to_dict(),
                    "run": cell.path,
                }
