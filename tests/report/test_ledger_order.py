"""The page and the command line agree on who is least reliable."""

from __future__ import annotations

import numpy as np

from turnwise.report.audit import audit_ledger, no_labels
from turnwise.report.dialogues import least_reliable
from turnwise.training.ledger import Ledger, LedgerWriter, write_dialogues_table


def test_the_report_lists_dialogues_in_the_ledgers_own_order(tmp_path):
    """40 dialogues over 3 epochs, many with weight 1, some never judged, one with a non-finite loss."""
    random = np.random.default_rng(0)
    writer = LedgerWriter(tmp_path)
    for epoch in range(3):
        loss = random.gamma(4.0, 0.5, 40).astype(np.float32)
        threshold = np.where(np.arange(40) < 30, 2.5, np.nan).astype(np.float32)
        weight = np.where(loss > threshold, np.exp(-(loss - threshold) / 2.5), 1.0).astype(np.float32)
        loss[7], weight[7] = np.nan, 0.0
        writer.append(
            {
                "dialogue_id": [f"d{number:02}" for number in range(40)],
                "turn": [None] * 40,
                "group": np.full(40, 3, np.int32),
                "epoch": np.full(40, epoch, np.int32),
                "step": np.full(40, epoch + 1, np.int32),
                "num_tokens": np.full(40, 9, np.int32),
                "loss": loss,
                "threshold": np.ma.masked_invalid(threshold),
                "weight": weight,
                "flagged": loss > threshold,
            }
        )
    path = writer.close(3)
    records = ({"id": f"d{number:02}", "messages": [{"role": "user", "content": "?"}]} for number in range(40))
    write_dialogues_table(tmp_path / "dialogues.parquet", records)
    shown = least_reliable(audit_ledger(path, no_labels()), path, tmp_path / "dialogues.parquet", top=40)
    listed = [entry.dialogue_id for entry in Ledger.open(tmp_path).least_reliable(40)]
    turned_down = [entry.dialogue_id for entry in Ledger.open(tmp_path).least_reliable(40) if entry.mean_weight < 1]
    assert listed[0] == "d07"
    assert [dialogue.id for dialogue in shown][: len(turned_down)] == turned_down
