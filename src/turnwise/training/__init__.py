"""Encoding, ReSURE weights, the ledger, and the seam to TRL."""
