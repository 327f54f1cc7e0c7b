"""Held-out loss, checkable answers, and the statistics that compare them."""
