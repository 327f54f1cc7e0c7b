"""The ledger summed up, against sums made by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from turnwise.errors import DataError
from turnwise.report import audit as module
from turnwise.report.audit import audit_ledger, no_labels, read_label, read_labels
from turnwise.report.dialogues import least_reliable


def row(name: str, step: int, loss: float, weight: float = 1.0, **more: Any) -> dict[str, Any]:
    return {
        "dialogue_id": name,
        "group": 2,
        "epoch": 0,
        "step": step,
        "loss": loss,
        "threshold": 2.0,
        "weight": weight,
        "flagged": weight < 1,
    } | more


def test_rows_are_counted_by_label_and_the_noise_of_a_turn_is_only_its_own(full_run: Any) -> None:
    """12 rows; `bad` turn 1 is noise, seen twice with weight 0.25: the other 10 are clean with weight 1."""
    found = audit_ledger(full_run.path / "ledger.parquet", read_labels(full_run.path / "dialogues.parquet"))
    assert (found.rows, found.unit, found.epochs, found.judged, found.non_finite) == (12, "turn", 2, 12, 0)
    assert found.kinds == ("clean", "swapped_reply")
    assert found.kind_rows.tolist() == [10, 2, 0]
    assert found.kind_flagged.tolist() == [0, 2, 0]
    assert found.kind_full.tolist() == [10, 0, 0]
    assert found.kind_weight.tolist() == [10, 0.5, 0]
    assert found.below_one[1].nonzero()[0].tolist() == [5]  # 0.25 opens the sixth of 20 bins
    assert found.flag_rate == pytest.approx(2 / 12)
    assert found.mean_weight == pytest.approx(10.5 / 12)
    assert {group: sums[:2].sum(axis=1).tolist() for group, sums in found.groups.items()} == {0: [6, 0], 1: [6, 2]}


def test_a_dialogue_unit_is_noise_as_a_whole(folder: Callable[..., Any]) -> None:
    run = folder().ledger([row("a", 1, 3.0, 0.5), row("b", 1, 1.0), row("c", 2, 1.0)])
    run.dialogues(
        [
            {"id": "a", "noise": '{"kind": "swapped", "turns": [1]}', "record": "{}"},
            {"id": "b", "noise": '{"kind": "clean"}', "record": "{}"},
        ]
    )
    found = audit_ledger(run.path / "ledger.parquet", read_labels(run.path / "dialogues.parquet"))
    assert found.unit == "dialogue"
    assert found.kind_rows.tolist() == [1, 1, 1]


def test_losses_that_are_not_finite_or_not_judged_stay_out_of_the_means(folder: Callable[..., Any]) -> None:
    """`a`: losses 3 and nan, excess (3 - 2); `b` was never judged."""
    rows = [row("a", 1, 3.0, 0.5), row("a", 2, float("nan"), 0.0), row("b", 2, 4.0, threshold=None)]
    found = audit_ledger(folder().ledger(rows).path / "ledger.parquet", no_labels())
    assert (found.judged, found.non_finite) == (2, 1)
    by_id = {one["id"]: one for one in found.dialogues.to_pylist()}
    assert by_id["a"] == {
        "id": "a",
        "rows": 2,
        "flagged": 2,
        "non_finite": 1,
        "weight": 0.25,
        "loss": 3.0,
        "excess": 1.0,
    }
    assert by_id["b"]["excess"] is None


def test_sums_do_not_depend_on_how_the_file_is_cut_into_batches(
    folder: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(0)
    rows = [
        row(
            f"d{random.integers(40)}",
            int(random.integers(1, 90)),
            float(random.gamma(2)),
            float(random.choice([1, 0.3])),
        )
        | {"group": int(random.integers(1, 5)), "turn": int(random.integers(0, 3))}
        for _ in range(500)
    ]
    run = folder().ledger(rows)
    run.dialogues(
        [{"id": f"d{n}", "noise": '{"kind": "x", "turns": [1]}' if n % 3 else None, "record": "{}"} for n in range(40)]
    )
    labels = read_labels(run.path / "dialogues.parquet")
    whole = audit_ledger(run.path / "ledger.parquet", labels)
    monkeypatch.setattr(module, "_BATCH", 7)
    parts = audit_ledger(run.path / "ledger.parquet", labels)
    for name in ("kind_rows", "kind_flagged", "kind_weight", "below_one", "kind_window", "window_steps"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name))
    for group, sums in whole.groups.items():
        np.testing.assert_allclose(parts.groups[group], sums)
    sort = [("id", "ascending")]
    left, right = parts.dialogues.sort_by(sort).to_pydict(), whole.dialogues.sort_by(sort).to_pydict()
    assert left["id"] == right["id"]
    for name in ("rows", "flagged", "weight", "loss", "excess"):
        np.testing.assert_allclose(left[name], right[name])
    assert whole.kind_rows.sum() == 500
    assert whole.kind_window[0].sum() == 500


def test_large_and_dictionary_encoded_ids_are_read_as_text(folder: Callable[..., Any]) -> None:
    run = folder().ledger([row("a", 1, 3.0, 0.5), row("b", 2, 1.0)])
    path = run.path / "ledger.parquet"
    table = pq.read_table(path)
    for kind in (pa.large_string(), pa.dictionary(pa.int32(), pa.string())):
        pq.write_table(table.set_column(0, "dialogue_id", table["dialogue_id"].cast(kind)), path)
        assert sorted(audit_ledger(path, no_labels()).dialogues["id"].to_pylist()) == ["a", "b"]


def test_a_file_that_is_no_ledger_is_named_with_what_is_missing(folder: Callable[..., Any]) -> None:
    run = folder()
    path = run.path / "ledger.parquet"
    pq.write_table(pa.table({"dialogue_id": ["a"], "step": [1], "epoch": [0]}), path)
    with pytest.raises(DataError, match="missing: turn, group, loss"):
        audit_ledger(path, no_labels())
    path.write_bytes(b"PAR1 torn")
    with pytest.raises(DataError, match="expected a Parquet file"):
        audit_ledger(path, no_labels())
    run.ledger([])
    with pytest.raises(DataError, match="holds no row"):
        audit_ledger(path, no_labels())


@pytest.mark.parametrize(
    ("noise", "label"),
    [
        ('{"kind": "swapped", "turns": [1, 3]}', ("swapped", [1, 3])),
        ('{"kind": "clean"}', ("clean", [])),
        ('{"kind": "x", "turns": [true, -1, "2", 5]}', ("x", [5])),
        (None, None),
        ("", None),
        ("{torn", None),
        ("[]", None),
        ('{"kind": 3}', None),
    ],
)
def test_labels_are_read_or_unknown(noise: str | None, label: Any) -> None:
    assert read_label(noise) == label


def test_the_least_reliable_come_first_by_weight_then_excess_then_loss_then_id(folder: Callable[..., Any]) -> None:
    rows = [
        row("light", 1, 2.5, 0.1),
        row("far", 1, 9.0, 0.5),
        row("near", 1, 2.5, 0.5),
        row("also-near", 1, 2.5, 0.5),
        row("unjudged", 1, 9.0, 0.5, threshold=None),
        row("full", 1, 1.0),
    ]
    path = folder().ledger(rows).path / "ledger.parquet"
    views = least_reliable(audit_ledger(path, no_labels()), path, None, top=5)
    assert [view.id for view in views] == ["light", "far", "also-near", "near", "unjudged"]
    assert [view.rank for view in views] == [1, 2, 3, 4, 5]


def test_messages_carry_the_mean_weight_of_their_turn_and_what_is_clipped_is_counted(full_run: Any) -> None:
    path = full_run.path
    found = audit_ledger(path / "ledger.parquet", read_labels(path / "dialogues.parquet"))
    first = least_reliable(found, path / "ledger.parquet", path / "dialogues.parquet")[0]
    assert (first.id, first.source, first.noise, first.seen, first.flagged) == ("bad", "sgd", "swapped_reply", 4, 2)
    assert [(one.role, one.turn, one.weight, one.noisy) for one in first.messages] == [
        ("user", None, None, False),
        ("assistant", 0, 1.0, False),
        ("user", None, None, False),
        ("assistant", 1, 0.25, True),
    ]
    assert [(one["epoch"], one["turn"]) for one in first.rows] == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_a_record_that_cannot_be_read_says_so_and_keeps_its_place(folder: Callable[..., Any]) -> None:
    run = folder().ledger([row("a", 1, 3.0, 0.5), row("b", 1, 3.0, 0.6), row("c", 1, 3.0, 0.7), row("d", 1, 1.0, 0.8)])
    long = (
        '{"messages": [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "'
        + "x" * 3000
        + '"}]}]}'
    )
    run.dialogues(
        [{"id": "a", "record": "{torn"}, {"id": "b", "record": '{"messages": 3}'}, {"id": "c", "record": long}]
    )
    path = run.path / "ledger.parquet"
    views = least_reliable(audit_ledger(path, no_labels()), path, run.path / "dialogues.parquet")
    assert [bool(view.problem) for view in views] == [True, True, False, True]
    assert views[2].messages[0].text.startswith("[image]\nxxx")
    assert views[2].messages[0].clipped == 3008 - 2000
