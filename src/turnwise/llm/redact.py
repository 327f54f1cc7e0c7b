"""Secrets are taken out of whatever a server says before anything else sees it."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable

SHORTEST = 8
"""Shorter keys are placeholders of servers without keys (`none`, `EMPTY`); looking for them would spoil replies."""

_LOOKS_SECRET = re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{4,}|\bsk-[\w-]{8,}")


class Secrets:
    """What must not be seen: keys, passwords, values of secret headers.

    Args:
        values: The secrets; empty and very short ones (under 8 characters) are left out.
    """

    def __init__(self, values: Iterable[str | None]) -> None:
        known = {value for value in values if value and len(value) >= SHORTEST}
        known |= {base64.b64encode(value.encode()).decode() for value in known}
        self._known = sorted(known, key=len, reverse=True)  # the longest first: one may hold another

    def remove(self, text: str) -> str:
        """The text with every known secret as `[redacted]`; all else unchanged."""
        for secret in self._known:
            if secret in text:
                text = text.replace(secret, "[redacted]")
        return text

    def describe(self, text: str, *, longest: int = 300) -> str:
        """One line for an error: known secrets and what looks like one taken out, whitespace joined, cut to length."""
        text = " ".join(_LOOKS_SECRET.sub("[redacted]", self.remove(text)).split())
        return text if len(text) <= longest else text[: longest - 3] + "..."

    def __repr__(self) -> str:
        return f"Secrets({len(self._known)})"
