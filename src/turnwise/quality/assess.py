"""One pass over a data set: measures without a model, and what a judge and a reward model say of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from turnwise.config import StrictModel
from turnwise.data.formats.common import Side, TreePaths
from turnwise.data.near_duplicates import NearDuplicates
from turnwise.data.read import OnError, ReadReport
from turnwise.data.sources import read_with_sources
from turnwise.llm.chat import ChatModel
from turnwise.llm.drive import run_one
from turnwise.llm.endpoint import without_login
from turnwise.llm.settings import may_change
from turnwise.quality.aspect_tables import AspectFigures, read_rewards
from turnwise.quality.aspects import ASPECTS, SAMPLE, AspectJudge, AspectSample
from turnwise.quality.summary import Summary
from turnwise.run import RunFolder, atomic_path, write_json

JUDGMENTS, RESULTS, CACHE = "judgments.jsonl", "results.json", "cache.sqlite"

_MAY_CHANGE = ("max_unscored", "worst", *may_change("client"))

OpenJudge = Callable[[Path | None], ChatModel]
"""Opens the judge with its cache in a file; None for no cache of its own."""


class QualityConfig(StrictModel):
    """What is measured, and how."""

    data: list[str]
    by: Literal["source", "tier"] | None = None
    near_duplicates: float | None = Field(None, gt=0, le=1)
    worst: int = Field(5, ge=0)
    seed: int = 0
    judge: str | None = None
    aspects: list[str] = Field(default_factory=lambda: list(ASPECTS))
    sample: int = Field(SAMPLE, ge=1)
    repeats: int = Field(1, ge=1)
    density: Literal["counted", "published"] = "counted"
    reward_scores: str | None = None
    max_unscored: float = Field(0.05, ge=0, le=1)
    format: str | None = None
    roles: dict[str, str] = Field(default_factory=dict)
    on_error: OnError = "stop"
    limit: int | None = None
    split: str = "train"
    side: Side = "chosen"
    tree_paths: TreePaths = "all"


@dataclass(slots=True)
class Assessment:
    """What was found.

    Attributes:
        summary: Measures without a model.
        figures: Aspects and overall; None without a judge and without rewards.
        report: What was read.
        judgments: How many judgments were asked for.
        unscored: How many of them have no score.
        without_reply: Dialogues that have nothing to judge.
        unmatched_rewards: Rewards of dialogues that the data do not have.
        config: What was asked for.
    """

    summary: Summary
    figures: AspectFigures | None
    report: ReadReport
    config: QualityConfig
    judgments: int = 0
    unscored: int = 0
    without_reply: int = 0
    unmatched_rewards: int = 0

    @property
    def too_many_unscored(self) -> bool:
        """Whether the share of judgments without a score passes the limit."""
        return self.unscored > self.config.max_unscored * self.judgments

    @property
    def limit_reached(self) -> bool:
        """Whether a limit on cost or requests left something unasked."""
        return self.figures is not None and self.figures.limit_reached

    def to_dict(self) -> dict[str, Any]:
        """All figures as JSON-ready keys."""
        found: dict[str, Any] = {**self.summary.to_dict(seed=self.config.seed)}
        found["skipped"] = [failure.to_dict() for failure in self.report.failures]
        if self.figures is not None:
            found["aspects"] = [row.to_dict() for row in self.figures.rows()]
            found["overall"] = [one.to_dict() for one in self.figures.overall()]
            found["judgments"] = self.judgments
            found["unscored"] = self.unscored
            found["limit_reached"] = self.limit_reached
            found["nothing_to_judge"] = self.without_reply
            found["unmatched_rewards"] = self.unmatched_rewards
        return found


def assess(
    config: QualityConfig,
    *,
    open_judge: OpenJudge | None = None,
    output: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    cache: str | Path | None = None,
    client: Mapping[str, Any] | None = None,
    on_judged: Callable[[int], None] | None = None,
) -> Assessment:
    """Measure a data set; with `output`, into a run folder: `results.json`, `judgments.jsonl`, `manifest.json`.

    The judge's replies are kept in a cache (`cache.sqlite` in the folder unless `cache` says otherwise), so a run that
    was stopped goes on with `resume` and asks nothing twice.

    Args:
        config: What is measured.
        open_judge: Opens the judge; wanted where `config.judge` names one.
        output: The run folder; None writes nothing.
        resume: Continue the run of the folder.
        overwrite: Replace what the folder holds, but for its cache: what was paid for stays.
        cache: Where the judge's replies are kept instead.
        client: Settings of the judge's client, for the manifest.
        on_judged: Called with the number of dialogues judged so far.

    Raises:
        DataError: The data or the rewards cannot be read.
        RunError: The folder is taken.
    """
    rewards = read_rewards(config.reward_scores) if config.reward_scores is not None else None
    near = NearDuplicates(config.near_duplicates) if config.near_duplicates is not None else None
    sample = AspectSample(config.sample, seed=config.seed, aspects=config.aspects, by=config.by)
    with ExitStack() as stack:
        folder = None
        if output is not None:
            resolved = {**config.model_dump(), "client": dict(client or {})}
            if config.judge is not None:
                resolved["judge"] = without_login(config.judge)
            folder = stack.enter_context(
                RunFolder.open(
                    output,
                    "quality",
                    config=resolved,
                    seeds={"sample": config.seed},
                    resume=resume,
                    overwrite=overwrite,
                    keep=[f"{CACHE}*"],
                    resume_may_change=_MAY_CHANGE,
                )
            )
        judged = open_judge is not None and config.judge is not None
        found = Assessment(Summary(config.by, worst=config.worst, near=near), None, ReadReport(), config)
        if judged or rewards is not None:
            found.figures = AspectFigures(seed=config.seed)
        _read(found, sample if judged else None, rewards)
        if folder is not None:
            for file in found.report.files:
                folder.manifest.add_input(file.path, file.read)
            folder.check_inputs()
        if open_judge is not None and judged:
            kept = Path(cache) if cache is not None else None if folder is None else folder.file(CACHE)
            _judge(found, sample, open_judge(kept), folder, on_judged)
        if folder is not None:
            write_json(folder.file(RESULTS), found.to_dict())
            folder.manifest.add_output(RESULTS, found.summary.dialogues, found.summary.dialogues)
    return found


def _read(found: Assessment, sample: AspectSample | None, rewards: Mapping[str, float] | None) -> None:
    config, figures = found.config, found.figures
    matched = 0
    dialogues = read_with_sources(
        config.data,
        format=config.format,
        roles=config.roles,
        on_error=config.on_error,
        limit=config.limit,
        split=config.split,
        side=config.side,
        tree_paths=config.tree_paths,
        report=found.report,
    )
    for dialogue in dialogues:
        found.summary.add(dialogue)
        if sample is not None:
            sample.add(dialogue)
        if rewards is not None and figures is not None:
            reward = rewards.get(dialogue.id)
            matched += reward is not None
            figures.add_reward(found.summary.group_of(dialogue), dialogue.id, reward)
    found.unmatched_rewards = len(rewards) - matched if rewards is not None else 0
    found.without_reply = sample.without_reply if sample is not None else 0


def _judge(
    found: Assessment,
    sample: AspectSample,
    model: ChatModel,
    folder: RunFolder | None,
    on_judged: Callable[[int], None] | None,
) -> None:
    config, figures = found.config, found.figures
    assert figures is not None  # noqa: S101 - for the type checker
    judge = AspectJudge(model, density=config.density, samples=config.repeats)
    try:
        with ExitStack() as stack:
            stream = None
            if folder is not None:
                partial = stack.enter_context(atomic_path(folder.file(JUDGMENTS)))
                stream = stack.enter_context(partial.open("w", encoding="utf-8", errors="surrogatepass"))
            for number, judgments in enumerate(judge.judge_all(sample.drawn()), start=1):
                figures.add(judgments)
                if stream is not None:
                    stream.writelines(
                        json.dumps(one.to_dict(), ensure_ascii=False, allow_nan=False) + "\n" for one in judgments
                    )
                if on_judged is not None:
                    on_judged(number)
    finally:
        run_one(model.close())
    found.judgments, found.unscored = figures.judgments, figures.unscored
    if folder is not None:
        folder.manifest.add_output(
            JUDGMENTS, found.judgments, found.judgments - found.unscored, {"unscored": found.unscored}
        )


def names_of(values: Sequence[str] | None, known: Sequence[str]) -> list[str]:
    """Names that were given one by one or separated by commas; all known ones where none was."""
    return [part.strip() for value in values or [",".join(known)] for part in value.split(",") if part.strip()]
