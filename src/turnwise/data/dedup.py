"""Exact duplicates: dialogues whose messages say the same, whatever their ids, labels and other keys."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from turnwise.dialogue import Dialogue


def content_key(dialogue: Dialogue) -> bytes:
    """A digest of roles, contents, tool calls and tools; equal exactly for dialogues that say the same.

    Ids, weights, labels and unknown keys do not count: two copies of a dialogue with different annotations are
    duplicates.
    """
    said = [[message.role, message.content, message.tool_calls] for message in dialogue.messages]
    text = json.dumps([said, dialogue.tools], ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:16]


@dataclass(slots=True)
class DuplicateCounter:
    """Counts duplicates in a stream.

    Attributes:
        seen: How often each content occurred.
    """

    seen: Counter[bytes] = field(default_factory=Counter)

    def add(self, dialogue: Dialogue) -> bool:
        """Count a dialogue; True when its content occurred before."""
        key = content_key(dialogue)
        self.seen[key] += 1
        return self.seen[key] > 1

    @property
    def copies(self) -> int:
        """Dialogues that repeat an earlier one: what dropping duplicates would drop."""
        return sum(self.seen.values()) - len(self.seen)

    @property
    def groups(self) -> int:
        """Contents that occur more than once."""
        return sum(count > 1 for count in self.seen.values())


def drop_duplicates(dialogues: Iterable[Dialogue], counter: DuplicateCounter | None = None) -> Iterator[Dialogue]:
    """Pass on the first dialogue of every content; `counter.copies` then says how many were dropped."""
    counter = DuplicateCounter() if counter is None else counter
    return (dialogue for dialogue in dialogues if not counter.add(dialogue))
