"""metrics.jsonl as columns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from turnwise.report.metrics import moving_average, read_metrics


def test_a_torn_last_line_and_lines_without_a_step_are_counted_not_fatal(folder: Callable[..., Any]) -> None:
    run = folder().metrics({"step": 1, "loss": 2.0}, {"loss": 3.0}, "[1]", '{"step": 2, "lo')
    metrics = read_metrics(run.path / "metrics.jsonl")
    assert (metrics.events, metrics.skipped) == (1, 3)
    assert metrics.last("loss") == 2.0


def test_null_and_nan_are_gaps_and_text_is_no_curve(folder: Callable[..., Any]) -> None:
    run = folder().metrics({"step": 1, "loss": None, "note": "x"}, '{"step": 2, "loss": NaN}', {"step": 3, "loss": 1.5})
    metrics = read_metrics(run.path / "metrics.jsonl")
    steps, values = metrics.get("loss")
    assert steps.tolist() == [1, 2, 3]
    assert np.isnan(values).tolist() == [True, True, False]
    assert "note" not in metrics.columns
    assert metrics.get("absent")[0].size == 0


def test_a_step_logged_again_after_a_resume_counts_once_with_its_later_value(folder: Callable[..., Any]) -> None:
    events = [{"step": step, "loss": loss} for step, loss in ((1, 3.0), (2, 2.0), (3, 9.0), (2, 2.5), (3, 1.0))]
    steps, values = read_metrics(folder().metrics(*events).path / "metrics.jsonl").get("loss")
    assert (steps.tolist(), values.tolist()) == ([1, 2, 3], [3.0, 2.5, 1.0])


def test_groups_are_read_by_number_in_order(folder: Callable[..., Any]) -> None:
    run = folder().metrics({"step": 1, "resure/group_10/threshold": 2.0, "resure/group_2/threshold": 1.0})
    groups = read_metrics(run.path / "metrics.jsonl").groups("threshold")
    assert [(group, values.tolist()) for group, (_, values) in groups.items()] == [(2, [1.0]), (10, [2.0])]


def test_the_moving_average_leaves_gaps_out_of_the_mean() -> None:
    """Width 3 over 1, nan, 4, 7: (1), (1 + 4)/2, (4 + 7)/2, (4 + 7)/2."""
    assert moving_average(np.array([1, np.nan, 4, 7]), 3).tolist() == [1, 2.5, 5.5, 5.5]
    assert np.isnan(moving_average(np.array([np.nan, np.nan]), 3)).all()
