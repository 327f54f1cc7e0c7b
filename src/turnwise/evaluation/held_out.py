"""`turnwise evaluate loss`: held-out loss and perplexity of a local model, by turn and by source; no judge needed."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator

from turnwise.config import PathText, StrictModel
from turnwise.errors import ConfigError, DataError
from turnwise.evaluation.benchmark import ScoreRow, ScoreTable
from turnwise.evaluation.dialogue_loss import LossExamples, encode_for_loss
from turnwise.evaluation.loss import Tally, turn_tallies
from turnwise.run import RunFolder, write_json, write_text
from turnwise.statistics.ratio import ratio_interval
from turnwise.training.fit import DataSource, accept_paths
from turnwise.training.inputs import read_sources, refuse_inside

if TYPE_CHECKING:
    from turnwise.data.read import ReadReport

MEASURE = "loss (nats/token)"
RESULTS_NAME = "results.json"
DIALOGUES_NAME = "dialogue_losses.jsonl"
DRAWS = 2000

OnProgress = Callable[[str, int, int], None]
"""Called with the stage (`dialogues`), how many are done, and how many there are."""


class LossConfig(StrictModel):
    """Everything that `turnwise evaluate loss` can be told."""

    model: PathText = Field(description="Folder or hub name of a causal language model, or an adapter's folder.")
    data: list[DataSource] = Field(min_length=1, description="Held-out dialogues; all inputs are concatenated.")
    limit: int | None = Field(None, gt=0, description="Measure at most this many dialogues of each input.")
    on_error: Literal["stop", "skip"] = Field(
        "stop", description="What a broken record does; skipped ones are counted."
    )
    max_length: int | None = Field(
        None,
        gt=0,
        description="Most tokens of a dialogue, never more than the model was made for; whole trailing turns are "
        "dropped beyond it.",
    )
    batch_size: int = Field(8, gt=0, description="Dialogues per forward pass.")
    template_policy: Literal["refuse", "as_rendered", "unchanged"] = Field(
        "refuse", description="What to do with a chat template that rewrites earlier replies."
    )
    device: str | None = Field(None, description="As PyTorch names it; null takes a GPU where there is one.")
    dtype: str | None = Field(
        None, description="`float32`, `bfloat16`, `float16` or `auto`; null is `auto` on a GPU, `float32` on a CPU."
    )
    seed: int = Field(0, description="Seed of the intervals' draws.")
    output: str = Field(description="The run folder.")

    @field_validator("data", mode="before")
    @classmethod
    def _accept_paths(cls, value: Any) -> Any:
        return accept_paths(value)


@dataclass(frozen=True, slots=True)
class LossResult:
    """What a model loses on held-out dialogues.

    Attributes:
        run: The run folder.
        model: The model's name with the digest of its weights.
        tables: Loss by turn (its first row is over all), loss by source, perplexity by turn.
        results: What `results.json` holds.
    """

    run: Path
    model: str
    tables: list[ScoreTable]
    results: dict[str, Any]


def evaluate_loss(
    config: LossConfig, *, resume: bool = False, overwrite: bool = False, on_progress: OnProgress | None = None
) -> LossResult:
    """Measure a model and leave a run folder: `manifest.json`, `results.json`, `dialogue_losses.jsonl`.

    The loss is the mean cross-entropy of the tokens of all assistant replies, encoded as in training, in nats; it
    equals `model(input_ids, labels=labels).loss` of the same tokens. Intervals are bootstrap intervals over whole
    dialogues.

    Args:
        config: What to do.
        resume: Run again in a folder that holds an interrupted run with the same configuration.
        overwrite: Replace the run in `config.output`.
        on_progress: Told about progress.

    Raises:
        ConfigError: A setting does not fit, or an input lies in the output folder.
        DataError: An input cannot be read, or no dialogue of it can be measured.
        ModelError: The model cannot be loaded.
        TemplateError: The chat template's assistant spans cannot be found.
        RunError: The folder holds another run.
    """
    from turnwise.llm.model_files import find_model
    from turnwise.llm.pretrained import few_threads_for, load_tokenizer
    from turnwise.llm.weights import check_vocabulary, context_length, load_weights, require_libraries

    name = config.model.removeprefix("local:")
    if "://" in name:
        raise ConfigError(
            f"model: expected a local model, found the address {name}",
            hint="an endpoint does not tell the loss of given replies; name the folder of its weights",
        )
    require_libraries("torch", "transformers")
    refuse_inside(Path(config.output), (name, *(source.path for source in config.data)))
    folder = RunFolder.open(
        config.output,
        "evaluate loss",
        config=config.model_dump(mode="json"),
        seeds={"seed": config.seed},
        resume=resume,
        overwrite=overwrite,
        resume_may_change=["output", "batch_size", "device"],
    )
    files = find_model(name)
    tokenizer = load_tokenizer(str(files.tokenizer))
    dialogues, report = read_sources([_limited(source, config.limit) for source in config.data], config.on_error)
    limits = (config.max_length, context_length(files))
    max_length = min((one for one in limits if one is not None), default=None)
    made = encode_for_loss(dialogues, tokenizer, max_length=max_length, template_policy=config.template_policy)
    if not made.examples:
        raise DataError(f"none of {len(dialogues)} dialogues can be measured ({_counts(made.skipped)})")
    model = load_weights(files, device=config.device, dtype=config.dtype)
    check_vocabulary(model, tokenizer)
    for file in report.files:
        folder.manifest.add_input(file.path, file.read)
    folder.check_inputs()
    with folder, few_threads_for(model):
        tallies = turn_tallies(
            model,
            made.examples,
            batch_size=config.batch_size,
            pad_token_id=tokenizer.pad_token_id or 0,
            on_progress=None if on_progress is None else lambda done, total: on_progress("dialogues", done, total),
        )
        label = files.record_name(dtype=config.dtype)
        tables = loss_tables(made.examples, tallies, skipped=made.skipped, seed=config.seed)
        results = _results(label, tables, made, tallies, max_length)
        _write(folder, report, made, tallies, results)
    return LossResult(folder.path, label, tables, results)


def loss_tables(
    examples: Sequence[Mapping[str, Any]],
    tallies: Sequence[Mapping[int, Tally]],
    *,
    skipped: Mapping[str, int] | None = None,
    seed: int = 0,
) -> list[ScoreTable]:
    """Tables of measured dialogues.

    Args:
        examples: N encoded dialogues; `source` says which table row they belong to ("(none)" without one).
        tallies: N mappings from turn_index to the loss of that turn.
        skipped: Dialogues that were not measured, by reason; in the first row of each table.
        seed: Seed of the intervals' draws.

    Returns:
        Loss by turn and by source, perplexity by turn. A row's `n` counts tokens, `counts["dialogues"]` the dialogues
        that have any; the interval (95 %, percentile bootstrap over dialogues) is None with fewer than two of these.
    """
    whole = [sum(of_one.values(), Tally()) for of_one in tallies]
    first = _row("all", whole, seed, skipped)
    turns = sorted({turn for of_one in tallies for turn in of_one})
    by_turn = [first, *(_row(f"turn {turn}", [one.get(turn, Tally()) for one in tallies], seed) for turn in turns)]
    names = [example.get("source") or "(none)" for example in examples]
    by_source = [
        _row(name, [one for one, own in zip(whole, names, strict=True) if own == name], seed)
        for name in sorted(set(names))
    ]
    return [
        ScoreTable("held-out loss by turn", "turn", by_turn, MEASURE),
        ScoreTable("held-out loss by source", "source", [first, *by_source], MEASURE),
        ScoreTable("held-out perplexity by turn", "turn", [_as_perplexity(row) for row in by_turn], "perplexity"),
    ]


def _limited(source: DataSource, limit: int | None) -> DataSource:
    limits = [one for one in (source.limit, limit) if one is not None]
    return source.model_copy(update={"limit": min(limits, default=None)})


def _row(name: str, tallies: Sequence[Tally], seed: int, skipped: Mapping[str, int] | None = None) -> ScoreRow:
    present = [tally for tally in tallies if tally.tokens]
    total = sum(present, Tally())
    low = high = None
    if len(present) > 1 and math.isfinite(total.nats):
        interval = ratio_interval([one.nats for one in present], [one.tokens for one in present], seed=seed, n=DRAWS)
        low, high = interval or (None, None)
    mean = total.loss if math.isfinite(total.nats) else None
    counts = {"dialogues": len(present)}
    return ScoreRow(name, mean, total.tokens, low, high, unscored=dict(skipped or {}), counts=counts)


def _as_perplexity(row: ScoreRow) -> ScoreRow:
    mean, low, high = (_exp(value) for value in (row.mean, row.low, row.high))
    return replace(row, mean=mean, low=low, high=high)


def _exp(value: float | None) -> float | None:
    """The exponential; None where there is nothing, or where it overflows (JSON knows no infinity)."""
    try:
        return None if value is None else math.exp(value)
    except OverflowError:
        return None


def _results(
    model: str,
    tables: Sequence[ScoreTable],
    made: LossExamples,
    tallies: Sequence[Mapping[int, Tally]],
    max_length: int | None,
) -> dict[str, Any]:
    loss, by_source, perplexity = tables
    return {
        "benchmark": "loss",
        "mode": "single",
        "models": [model],
        "judges": ["program"],
        "dialogues": len(tallies),
        "skipped": dict(sorted(made.skipped.items())),
        "dropped_turns": made.dropped_turns,
        "max_length": max_length,
        "tokens": loss.rows[0].n,
        "loss": loss.rows[0].mean,
        "perplexity": perplexity.rows[0].mean,
        "loss_by_turn": {row.name.removeprefix("turn "): row.mean for row in loss.rows[1:]},
        "tokens_by_turn": {row.name.removeprefix("turn "): row.n for row in loss.rows[1:]},
        "loss_by_source": {row.name: row.mean for row in by_source.rows[1:]},
        "tokens_by_source": {row.name: row.n for row in by_source.rows[1:]},
        "tables": [
            {
                "model": model,
                "judge": "program",
                "baseline": None,
                "title": table.title,
                "label": table.label,
                "measure": table.measure,
                "rows": [asdict(row) for row in table.rows],
            }
            for table in tables
        ],
    }


def _write(
    folder: RunFolder,
    report: ReadReport,
    made: LossExamples,
    tallies: Sequence[Mapping[int, Tally]],
    results: Mapping[str, Any],
) -> None:
    lines = [
        json.dumps(
            {
                "id": example["id"],
                "source": example["source"],
                "loss_by_turn": {str(turn): _finite(tally.loss) for turn, tally in sorted(of_one.items())},
                "tokens_by_turn": {str(turn): tally.tokens for turn, tally in sorted(of_one.items())},
            },
            ensure_ascii=False,
        )
        for example, of_one in zip(made.examples, tallies, strict=True)
    ]
    write_text(folder.file(DIALOGUES_NAME), "".join(line + "\n" for line in lines))
    write_json(folder.file(RESULTS_NAME), results)
    dropped = {"broken record (on_error: skip)": report.skipped, **made.skipped}
    given = report.read + report.skipped
    folder.manifest.add_output(DIALOGUES_NAME, given, len(lines), {key: n for key, n in dropped.items() if n})


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _counts(skipped: Mapping[str, int]) -> str:
    return ", ".join(f"{reason}: {count}" for reason, count in skipped.items())
