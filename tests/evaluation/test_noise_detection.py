"""How well a ledger finds planted noise, against figures counted by hand."""

from __future__ import annotations

import math

import pyarrow as pa
import pytest

from turnwise.dialogue import Dialogue, Message
from turnwise.evaluation.noise import noise_detection, noise_detection_by_kind
from turnwise.training.ledger import LEDGER_SCHEMA, Ledger, write_dialogues_table

NAN = math.nan


def make(tmp_path, rows, labels):
    """Rows: (id, turn, epoch, loss, threshold, weight, flagged). Labels: id -> label, None for an unlabelled one."""
    names = ("dialogue_id", "turn", "epoch", "loss", "threshold", "weight", "flagged")
    records = [{**dict(zip(names, row, strict=True)), "group": 1, "step": 1, "num_tokens": 1} for row in rows]
    dialogues = [
        Dialogue([Message("user", "q")], id=name, metadata={} if label is None else {"noise": label})
        for name, label in labels.items()
    ]
    write_dialogues_table(tmp_path / "d.parquet", (dialogue.to_dict() for dialogue in dialogues))
    return Ledger(pa.Table.from_pylist(records, LEDGER_SCHEMA), tmp_path / "d.parquet")


SWAP, CLEAN = {"kind": "swap", "turns": [0]}, {"kind": "clean", "turns": []}


def test_the_ledgers_order_decides_and_equal_units_count_half(tmp_path):
    """Order a (noise, w .2), b (clean, .5), c and d (noise and clean, alike), e (clean, lower loss).

    Pairs of noise before clean: a before b, d, e = 3; c before e = 1, c beside d = 0.5, c behind b = 0: 4.5 of 6.
    By weight: a 3; c ties with d and e at weight 1, behind b: 1 -> 4 of 6.
    By loss: a (5) over all: 3; c (2) beside d, over e, under b (4): 1.5 -> 4.5 of 6.
    Flagged: a and b, share 0.4; of the two least reliable, one is noise.
    """
    rows = [
        ("e", None, 0, 1.0, None, 1.0, False),
        ("d", None, 0, 2.0, None, 1.0, False),
        ("c", None, 0, 2.0, None, 1.0, False),
        ("b", None, 0, 4.0, 3.0, 0.5, True),
        ("a", None, 0, 5.0, 3.0, 0.2, True),
    ]
    found = noise_detection(make(tmp_path, rows, {"a": SWAP, "b": CLEAN, "c": SWAP, "d": CLEAN, "e": CLEAN}))
    assert found.auroc == pytest.approx(4.5 / 6)
    assert found.auroc_weight == pytest.approx(4 / 6)
    assert found.auroc_loss == pytest.approx(4.5 / 6)
    assert found.precision_at_flagged == 0.5
    assert (found.flagged_share, found.noise_share, found.units) == (0.4, 0.4, 5)
    assert found.to_dict()["auroc"] == found.auroc


def test_a_turn_is_noise_where_its_dialogues_label_lists_it(tmp_path):
    """Turns a0 (w .1), a1, b0, b1 (w .6): of a only turn 1 is noise, of b both. Order: a0, b1, then a1 = b0.

    noise a1, b0, b1 against clean a0, which stands before all: 0.
    """
    rows = [
        ("a", 0, 0, 5.0, 3.0, 0.1, True),
        ("a", 1, 0, 1.0, None, 1.0, False),
        ("b", 0, 0, 1.0, None, 1.0, False),
        ("b", 1, 0, 4.0, 3.0, 0.6, True),
    ]
    labels = {"a": {"kind": "swap", "turns": [1]}, "b": {"kind": "wrong", "turns": [0, 1]}}
    found = noise_detection(make(tmp_path, rows, labels))
    assert (found.auroc, found.noise_share, found.units) == (0.0, 0.75, 4)
    assert found.precision_at_flagged == 0.5


def test_units_without_a_label_do_not_count(tmp_path):
    rows = [(name, None, 0, loss, None, 1.0, False) for name, loss in (("a", 3.0), ("x", 9.0), ("b", 1.0))]
    found = noise_detection(make(tmp_path, rows, {"a": SWAP, "x": None, "b": CLEAN}))
    assert (found.units, found.auroc, found.precision_at_flagged, found.flagged_share) == (2, 1.0, None, 0.0)


def test_without_any_label_there_is_nothing_to_tell(tmp_path):
    rows = [("a", None, 0, 3.0, None, 1.0, False)]
    assert noise_detection(make(tmp_path, rows, {"a": None})) is None
    assert noise_detection(Ledger(make(tmp_path, rows, {}).table)) is None


@pytest.mark.parametrize("label", [SWAP, CLEAN])
def test_one_class_alone_has_no_auroc(tmp_path, label):
    rows = [(name, None, 0, 1.0, None, 1.0, False) for name in "ab"]
    found = noise_detection(make(tmp_path, rows, {"a": label, "b": label}))
    assert (found.auroc, found.auroc_weight, found.auroc_loss) == (None, None, None)


def test_losses_that_are_not_finite_stand_first_and_are_alike(tmp_path):
    """a (noise) and b (clean) are NaN, alike: half; a before c: one. 1.5 of 2, and the same by loss."""
    rows = [
        ("a", None, 0, NAN, None, 0.0, False),
        ("b", None, 0, NAN, None, 0.0, False),
        ("c", None, 0, 9.0, 3.0, 0.1, True),
    ]
    found = noise_detection(make(tmp_path, rows, {"a": SWAP, "b": CLEAN, "c": CLEAN}))
    assert found.auroc == found.auroc_loss == found.auroc_weight == 0.75


def test_flagged_means_in_at_least_half_of_the_epochs(tmp_path):
    """a: 1 of 2, b: 1 of 3, c: 2 of 3 epochs."""
    rows = [("a", None, epoch, 4.0, 3.0, 0.5, epoch == 0) for epoch in range(2)]
    rows += [("b", None, epoch, 4.0, 3.0, 0.9, epoch == 0) for epoch in range(3)]
    rows += [("c", None, epoch, 4.0, 3.0, 0.1, epoch < 2) for epoch in range(3)]
    found = noise_detection(make(tmp_path, rows, {"a": SWAP, "b": CLEAN, "c": SWAP}))
    assert found.flagged_share == pytest.approx(2 / 3)
    assert found.precision_at_flagged == 1.0


def test_each_kind_of_noise_is_held_against_the_clean_units_alone(tmp_path):
    """Losses: swap 5, clean 3, wrong 2, clean 1. Swap stands over both clean ones; wrong over one of two."""
    rows = [(name, None, 0, loss, None, 1.0, False) for name, loss in (("s", 5.0), ("c", 3.0), ("w", 2.0), ("d", 1.0))]
    labels = {"s": SWAP, "w": {"kind": "wrong", "turns": [0]}, "c": CLEAN, "d": CLEAN}
    found = noise_detection_by_kind(make(tmp_path, rows, labels))
    assert {kind: (one.auroc, one.units) for kind, one in found.items()} == {"swap": (1.0, 3), "wrong": (0.5, 3)}
    assert list(found) == ["swap", "wrong"]


def test_a_ledger_of_turns_tells_of_dialogues_by_the_mean_over_their_turns(tmp_path):
    """Mean weights: a (.2 + 1) / 2 = .6, b .5, c 1. Noise is a: behind b, before c, so 1 of 2 pairs.

    By turn, a0 (.2) is noise and first of all: 1. Flags: of a one turn in two, so a half; of b both; of c none.
    """
    rows = [
        ("a", 0, 0, 5.0, 3.0, 0.2, True),
        ("a", 1, 0, 1.0, 3.0, 1.0, False),
        ("b", 0, 0, 4.0, 3.0, 0.5, True),
        ("b", 1, 0, 4.0, 3.0, 0.5, True),
        ("c", 0, 0, 1.0, 3.0, 1.0, False),
    ]
    ledger = make(tmp_path, rows, {"a": SWAP, "b": CLEAN, "c": CLEAN})
    whole = noise_detection(ledger, unit="dialogue")
    assert (whole.auroc, whole.units, whole.flagged_share) == (0.5, 3, pytest.approx(2 / 3))
    assert noise_detection(ledger).auroc == 1.0
    assert noise_detection_by_kind(ledger, unit="dialogue")["swap"] == whole
