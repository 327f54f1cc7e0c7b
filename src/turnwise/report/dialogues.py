"""The least reliable dialogues of a run, with their text and how each epoch judged them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from turnwise.dialogue import Dialogue, Message
from turnwise.errors import DataError
from turnwise.report.audit import Audit, read_batches, read_label
from turnwise.report.text import as_number, clip

TOP = 50
"""How many dialogues the page shows."""

MESSAGE_CAP = 2000
"""Characters shown of one message."""

_MESSAGES_CAP = 40
_ROWS_CAP = 60


@dataclass(frozen=True)
class MessageView:
    """One message as shown.

    Attributes:
        role: Its role.
        text: Its text, at most `MESSAGE_CAP` characters.
        clipped: Characters left out.
        turn: Its turn index, for replies.
        weight: Its mean weight over epochs, where units are turns.
        noisy: Whether its label names it as planted noise.
    """

    role: str
    text: str
    clipped: int = 0
    turn: int | None = None
    weight: float | None = None
    noisy: bool = False

    @property
    def shade(self) -> int | None:
        """The weight in tenths, for its colour."""
        return None if self.weight is None else round(10 * min(1.0, max(0.0, self.weight)))


@dataclass
class DialogueView:
    """One dialogue as shown: its place, its means over all rows, its text, its rows.

    Attributes:
        rank: Place from 1, least reliable first.
        id: Its id.
        weight: Mean weight.
        loss: Mean loss, nats per token; None where it never was finite.
        excess: Mean of loss minus threshold, nats per token; None where never judged.
        seen: Ledger rows.
        flagged: Flagged ledger rows.
        non_finite: Rows whose loss was not finite.
        source: Its source.
        tier: Its quality tier.
        noise: Kind of its noise label; None where unknown.
        messages: Its messages.
        left_out: Messages not shown.
        rows: Ledger rows, ordered by epoch and turn.
        rows_left_out: Ledger rows not shown.
        problem: Why its text is not shown.
    """

    rank: int
    id: str
    weight: float | None
    loss: float | None
    excess: float | None
    seen: int
    flagged: int
    non_finite: int
    source: str | None = None
    tier: str | None = None
    noise: str | None = None
    messages: list[MessageView] = field(default_factory=list)
    left_out: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)
    rows_left_out: int = 0
    problem: str | None = None


def least_reliable(audit: Audit, ledger: Path, dialogues: Path | None, top: int = TOP) -> list[DialogueView]:
    """The `top` dialogues of lowest mean weight; ties by highest mean loss excess, then highest mean loss, then id.

    Args:
        audit: The summed ledger.
        ledger: The ledger's file, for the rows of the chosen dialogues.
        dialogues: `dialogues.parquet`; None where there is none (the views then hold no text).
        top: How many.

    Raises:
        DataError: A file cannot be read.
    """
    table = audit.dialogues
    order = pc.sort_indices(
        table,
        sort_keys=[("weight", "ascending"), ("excess", "descending"), ("loss", "descending"), ("id", "ascending")],
    )
    chosen = table.take(order[:top]).to_pylist()
    ids = pa.array([row["id"] for row in chosen], pa.string())
    rows = _rows_by_id(ledger, ids)
    records = {} if dialogues is None else _records_by_id(dialogues, ids)
    views = []
    for rank, row in enumerate(chosen, start=1):
        view = DialogueView(
            rank=rank,
            id=row["id"] if row["id"] is not None else "(no id)",
            weight=as_number(row["weight"]),
            loss=as_number(row["loss"]),
            excess=as_number(row["excess"]),
            seen=row["rows"],
            flagged=row["flagged"],
            non_finite=row["non_finite"],
        )
        own = sorted(rows.get(row["id"], []), key=lambda one: (one["epoch"] or 0, one["turn"] or 0, one["step"] or 0))
        view.rows, view.rows_left_out = own[:_ROWS_CAP], max(0, len(own) - _ROWS_CAP)
        _add_text(view, records.get(row["id"]), _weight_by_turn(own))
        views.append(view)
    return views


def _add_text(view: DialogueView, record: Mapping[str, Any] | None, weights: Mapping[int, float]) -> None:
    if record is None:
        view.problem = "The run kept no text of this dialogue."
        return
    view.source, view.tier = record["source"], record["tier"]
    label = read_label(record["noise"])
    view.noise = None if label is None else label[0]
    noisy_turns = set() if label is None or label[0] == "clean" else set(label[1])
    try:
        dialogue = Dialogue.from_dict(json.loads(record["record"] or "null") or {})
    except (ValueError, TypeError, AttributeError, DataError) as error:
        view.problem = f"The stored record cannot be read: {error}"
        return
    turn = -1
    for message in dialogue.messages[:_MESSAGES_CAP]:
        reply = message.role == "assistant"
        turn += reply
        text, clipped = clip(_message_text(message), MESSAGE_CAP)
        view.messages.append(
            MessageView(
                role=message.role,
                text=text,
                clipped=clipped,
                turn=turn if reply else None,
                weight=weights.get(turn) if reply else None,
                noisy=reply and turn in noisy_turns,
            )
        )
    view.left_out = max(0, len(dialogue.messages) - _MESSAGES_CAP)


def _message_text(message: Message) -> str:
    """Its text; parts without text by their type, tool calls as JSON."""
    if isinstance(message.content, list):
        texts = [part.get("text", part.get("value")) for part in message.content]
        pieces = [
            text if isinstance(text, str) else f"[{part.get('type', 'part')}]"
            for text, part in zip(texts, message.content, strict=True)
        ]
    else:
        pieces = [message.text] if message.text else []
    if message.tool_calls:
        pieces.append(json.dumps(message.tool_calls, ensure_ascii=False))
    return "\n".join(pieces)


def _weight_by_turn(rows: list[dict[str, Any]]) -> dict[int, float]:
    weights: dict[int, list[float]] = {}
    for row in rows:
        weight = as_number(row["weight"])
        if row["turn"] is not None and weight is not None:
            weights.setdefault(row["turn"], []).append(weight)
    return {turn: float(np.mean(values)) for turn, values in weights.items()}


def _rows_by_id(path: Path, ids: pa.Array) -> dict[str, list[dict[str, Any]]]:
    columns = ("dialogue_id", "turn", "group", "epoch", "step", "loss", "threshold", "weight", "flagged")
    found: dict[str, list[dict[str, Any]]] = {}
    for row in _matching(path, columns, ids):
        found.setdefault(row["dialogue_id"], []).append(row)
    return found


def _records_by_id(path: Path, ids: pa.Array) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in _matching(path, ("id", "source", "tier", "noise", "record"), ids)}


def _matching(path: Path, columns: tuple[str, ...], ids: pa.Array) -> list[dict[str, Any]]:
    """Rows whose first column is one of `ids`; only those rows are held in memory."""
    rows: list[dict[str, Any]] = []
    for batch in read_batches(path, columns):
        rows.extend(batch.filter(pc.is_in(batch[columns[0]], value_set=ids)).to_pylist())
    return rows
