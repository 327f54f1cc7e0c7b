"""`turnwise ledger`."""

from __future__ import annotations


def ledger() -> None:
    """Not written yet."""
    raise NotImplementedError
