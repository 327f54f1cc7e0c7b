"""Run folders written by hand, file by file, as a training run leaves them."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from turnwise.run import Manifest, write_json

LEDGER = pa.schema(
    [
        ("dialogue_id", pa.string()),
        ("turn", pa.int32()),
        ("group", pa.int32()),
        ("epoch", pa.int32()),
        ("step", pa.int32()),
        ("num_tokens", pa.int32()),
        ("loss", pa.float32()),
        ("threshold", pa.float32()),
        ("weight", pa.float32()),
        ("flagged", pa.bool_()),
    ]
)
DIALOGUES = pa.schema([(name, pa.string()) for name in ("id", "source", "tier", "noise", "record")])


class Folder:
    """A run folder in the making; each method writes one file and returns the folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)

    def manifest(self, status: str = "done", **fields: Any) -> Folder:
        manifest = Manifest(fields.pop("command", "train"), **fields)
        manifest.finish(status)
        manifest.write(self.path / "manifest.json")
        return self

    def metrics(self, *events: Any) -> Folder:
        lines = [event if isinstance(event, str) else json.dumps(event) for event in events]
        (self.path / "metrics.jsonl").write_text("\n".join(lines), encoding="utf-8")
        return self

    def summary(self, **fields: Any) -> Folder:
        write_json(self.path / "summary.json", fields)
        return self

    def ledger(self, rows: Sequence[dict[str, Any]]) -> Folder:
        full = [{"turn": None, "num_tokens": 10, "threshold": None, "weight": 1.0, "flagged": False} | r for r in rows]
        pq.write_table(pa.Table.from_pylist(full, LEDGER), self.path / "ledger.parquet")
        return self

    def dialogues(self, rows: Sequence[dict[str, Any]]) -> Folder:
        full = [{"source": None, "tier": None, "noise": None} | row for row in rows]
        pq.write_table(pa.Table.from_pylist(full, DIALOGUES), self.path / "dialogues.parquet")
        return self


@pytest.fixture
def folder(tmp_path: Path) -> Callable[[str], Folder]:
    """Make a run folder of a name."""
    return lambda name="run": Folder(tmp_path / name)


def record(dialogue_id: str, *texts: str) -> str:
    """The stored JSON of a dialogue whose messages alternate between user and assistant."""
    roles = ("user", "assistant")
    messages = [{"role": roles[place % 2], "content": text} for place, text in enumerate(texts)]
    return json.dumps({"id": dialogue_id, "messages": messages})


@pytest.fixture
def full_run(folder: Callable[[str], Folder]) -> Folder:
    """A run with every file: 3 dialogues of 2 turns, 2 epochs; turn 1 of `bad` is planted noise and turned down."""
    rows = []
    for epoch in (0, 1):
        for place, name in enumerate(("good", "bad", "plain")):
            for turn in (0, 1):
                noisy = name == "bad" and turn == 1
                rows.append(
                    {
                        "dialogue_id": name,
                        "turn": turn,
                        "group": turn,
                        "epoch": epoch,
                        "step": 3 * epoch + place + 1,
                        "loss": 4.0 if noisy else 1.0,
                        "threshold": 2.0,
                        "weight": 0.25 if noisy else 1.0,
                        "flagged": noisy,
                    }
                )
    return (
        folder("full")
        .manifest(
            config={
                "model": "tiny",
                "method": "resure",
                "resure": {"alpha": 1.0},
                "trainer": {"hub_token": "hf_s3cret"},
            },
            seeds={"training": 7},
            inputs=[{"path": "chats.json", "sha256": "ab12" * 16, "records": 5}],
            outputs=[{"path": "model", "records_in": 5, "records_out": 3, "dropped": {"no assistant turn": 2}}],
        )
        .metrics(
            *(
                {"step": step, "loss": 3 - 0.25 * step, "grad_norm": 1.0, "resure/flag_rate": 0.2}
                for step in range(1, 7)
            ),
            {"step": 6, "eval_loss": 1.75},
        )
        .summary(
            method="resure",
            model="tiny",
            wall_seconds=184.2,
            train_loss=1.5,
            auroc_noise=0.875,
            precision_at_flagged=0.5,
            counts={"train": {"dialogues": 3}},
            eval={
                "base": {"loss": 2.5, "loss_by_turn": [2.25, 2.75], "tokens_by_turn": [100, 80]},
                "final": {
                    "loss": 1.5,
                    "loss_by_turn": [1.25, 1.75],
                    "tokens_by_turn": [100, 80],
                    "accuracy": 0.5,
                    "accuracy_by_turn": [0.75, 0.25],
                    "answers_by_turn": [8, 8],
                    "loss_interval": [1.25, 1.8],
                },
            },
        )
        .ledger(rows)
        .dialogues(
            [
                {"id": "good", "noise": '{"kind": "clean"}', "record": record("good", "hi", "hello", "bye", "goodbye")},
                {
                    "id": "bad",
                    "source": "sgd",
                    "noise": '{"kind": "swapped_reply", "turns": [1]}',
                    "record": record("bad", "when?", "at noon", "where?", "a purple elephant"),
                },
                {"id": "plain", "noise": '{"kind": "clean"}', "record": record("plain", "a", "b", "c", "d")},
            ]
        )
    )


@pytest.fixture
def listener() -> Iterator[tuple[str, list[str]]]:
    """A server on this machine, and the paths that were asked of it."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", asked
    server.shutdown()
    server.server_close()
    thread.join()
