"""What an evaluation comes to: tables, what has no score and why, as the JSON object `results.json`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from turnwise.errors import RunError
from turnwise.evaluation.benchmark import Benchmark, ScoreTable
from turnwise.evaluation.stored_judgments import by_model
from turnwise.judging.records import Judgment

RESULTS_NAME = "results.json"
MAX_UNSCORED = 0.05

_BY_INTENT = frozenset({"not_applicable"})
"""Unscored because the judge said that there is nothing to score: shown, but no sign of a run gone wrong."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A finished evaluation.

    Attributes:
        results: What `results.json` holds.
        run: The run folder; None where nothing was written.
    """

    results: dict[str, Any]
    run: Path | None = None

    @property
    def tables(self) -> list[dict[str, Any]]:
        """The tables, the main one of each model first."""
        tables: list[dict[str, Any]] = self.results["tables"]
        return tables

    @property
    def too_many_unscored(self) -> bool:
        """Whether the share of unscored judgments is above the limit."""
        return not self.results["unscored"]["within_limit"]

    @property
    def limit_reached(self) -> bool:
        """Whether a limit on cost or requests left something unasked."""
        return bool(self.results["limit_reached"])

    @property
    def exit_code(self) -> int:
        """0, or 1 where a stated limit was passed."""
        return int(self.too_many_unscored or self.limit_reached)

    def warnings(self) -> list[str]:
        """What must not be overlooked, one sentence each."""
        said = []
        unscored = self.results["unscored"]
        if self.too_many_unscored:
            reasons = ", ".join(f"{reason} {count:,}" for reason, count in unscored["by_reason"].items())
            found = f"{unscored['count']:,} of {self.results['judgments']:,} judgments are unscored ({reasons})"
            if not self.results["judgments"]:
                found = "there is not a single judgment"
            said.append(
                f"{found}, above the limit of {unscored['limit']:.1%} (--max-unscored): means are of what is left"
            )
        if self.limit_reached:
            said.append(
                "a limit on cost or requests was reached and the rest was not asked; the same command with --resume "
                "and a higher --max-cost or --max-requests goes on, and pays for nothing twice"
            )
        return said


def summarize(
    benchmark: Benchmark, judgments: Sequence[Judgment], *, max_unscored: float = MAX_UNSCORED
) -> dict[str, Any]:
    """Tables and counts of judgments, of one model or of several: the part of `results.json` that they decide.

    Args:
        benchmark: Whose tables these are.
        judgments: All judgments.
        max_unscored: Largest share of unscored judgments that is not said loudly.

    Returns:
        `benchmark`, `mode`, `models`, `judges`, `baselines`, `prompts`, `judgments`, `unscored`, `tables`. Judgments
        that the judge called not applicable are in the tables' counts, not in `unscored["share"]`.
    """
    reasons = Counter(one.unscored for one in judgments if one.unscored is not None)
    bad = sum(count for reason, count in reasons.items() if reason not in _BY_INTENT)
    share = bad / len(judgments) if judgments else 1.0
    compared = any(one.baseline is not None for one in judgments)
    return {
        "benchmark": benchmark.name,
        "mode": "pairwise" if compared else "single",
        "models": list(dict.fromkeys(one.model for one in judgments)),
        "judges": list(dict.fromkeys(one.judge for one in judgments)),
        "judge_snapshots": sorted({str(one.metadata["judge_snapshot"]) for one in judgments if _snapshot(one)}),
        "baselines": sorted({one.baseline for one in judgments if one.baseline is not None}),
        "prompts": sorted({one.prompt for one in judgments if one.prompt}),
        "judgments": len(judgments),
        "unscored": {
            "count": bad,
            "share": share,
            "limit": max_unscored,
            "within_limit": share <= max_unscored,
            "by_reason": dict(sorted((str(reason), count) for reason, count in reasons.items())),
        },
        "tables": [
            table_record(table, model=group.model, judge=group.judge, baseline=group.baseline)
            for group in by_model(judgments)
            for table in benchmark.tables(group.judgments)
        ],
    }


def table_record(table: ScoreTable, *, model: str, judge: str, baseline: str | None = None) -> dict[str, Any]:
    """A table as JSON: `model`, `judge`, `baseline` (or null), `title`, `label`, `measure`, `rows`."""
    return {
        "model": model,
        "judge": judge,
        "baseline": baseline,
        "title": table.title,
        "label": table.label,
        "measure": table.measure,
        "rows": [asdict(row) for row in table.rows],
    }


def read_results(folder: str | Path) -> dict[str, Any]:
    """Read the `results.json` of an evaluation run.

    Raises:
        RunError: There is none (the run has not come that far), or it cannot be read.
    """
    path = Path(folder) / RESULTS_NAME
    try:
        results: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(
            f"{path}: no results found", hint="an evaluation that was interrupted goes on with --resume"
        ) from None
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: the results cannot be read ({error})") from None
    if not isinstance(results, Mapping) or not isinstance(results.get("tables"), list):
        raise RunError(f"{path}: expected the results of an evaluation with a list 'tables'")
    return dict(results)


def _snapshot(judgment: Judgment) -> bool:
    return bool(judgment.metadata.get("judge_snapshot"))
