"""`turnwise ledger`: which supervision was unreliable."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from turnwise.cli.output import JsonFlag, print_json, print_table

if TYPE_CHECKING:
    from turnwise.training.ledger import LedgerEntry


def ledger(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder of 'turnwise train', or a ledger.parquet.")],
    limit: Annotated[int, typer.Option(min=1, help="How many dialogues or turns to list.")] = 20,
    full: Annotated[bool, typer.Option("--full", help="Print whole dialogues, not only the beginning.")] = False,
    json: JsonFlag = False,
) -> None:
    """List the least reliable dialogues or turns of a run: lowest weight first, then highest loss.

    Loss and threshold are nats per token. The same table is in RUN/ledger.parquet, for pandas or datasets.
    """
    from turnwise.training.ledger import Ledger

    opened = Ledger.open(run)
    entries = opened.least_reliable(limit)
    rows = [
        (
            entry.dialogue_id,
            entry.turn,
            entry.mean_weight,
            _join(entry, "loss"),
            _join(entry, "threshold"),
            _join(entry, "weight"),
            _excerpt(entry, full),
        )
        for entry in entries
    ]
    columns = ("dialogue", "turn", "weight", "loss by epoch", "threshold by epoch", "weight by epoch", "text")
    print_table(f"least reliable of {len(opened.by_unit())} in {run}", columns, rows)
    if json:
        print_json({"run": str(run), "entries": [entry.to_dict() for entry in entries]})


def _join(entry: LedgerEntry, key: str) -> str:
    values = [row[key] for row in entry.history]
    return " ".join("-" if value is None else f"{value:.3g}" for value in values)


def _excerpt(entry: LedgerEntry, full: bool) -> str:
    """The dialogue, or the turn with the user message before it; shortened unless asked for in full."""
    if entry.record is None:
        return "(text not stored with the run)"
    from turnwise.dialogue import Dialogue

    messages = Dialogue.from_dict(entry.record).messages
    if entry.turn is not None:
        replies = [number for number, message in enumerate(messages) if message.role == "assistant"]
        number = replies[entry.turn] if entry.turn < len(replies) else len(messages) - 1
        messages = messages[max(0, number - 1) : number + 1]
    lines = [f"{message.role}: {_one_line(message.text, None if full else 100)}" for message in messages]
    return "\n".join(lines if full else lines[:4])


def _one_line(text: str, limit: int | None) -> Any:
    line = " ".join(text.split())
    return line if limit is None or len(line) <= limit else line[: limit - 1] + "…"
