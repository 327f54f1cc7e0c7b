"""Near duplicates: dialogues that share most of their word 5-grams, found by MinHash and checked exactly.

The similarity of two dialogues is the Jaccard index of their shingle sets, |A & B| / |A | B|. MinHash with banding
(locality-sensitive hashing; Broder 1997, Indyk and Motwani 1998) finds the pairs worth comparing without comparing all;
every such pair is then compared exactly, so a dialogue is never dropped below the threshold. A pair at the threshold
goes unnoticed with a probability of at most `MISS`; more similar pairs, with less.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from turnwise.dialogue import Dialogue, Message
from turnwise.errors import ConfigError, MissingExtraError

NUM_PERMUTATIONS = 256
"""Hash functions of a MinHash. More find similar pairs more surely, and take longer."""
MISS = 1e-4
"""How likely a pair of exactly the threshold's similarity may go unnoticed, at most (where the number of hash functions
allows it)."""
SHINGLE = 5
"""Words of a shingle; characters, in text that is written without spaces."""

_SEED = 1
# Scripts that put no spaces between words (Thai, Lao, Burmese, Khmer, kana, Chinese): a character counts as a word.
_UNSPACED = (
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff"
    r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_TOKEN = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]+")


def shingles(dialogue: Dialogue) -> frozenset[bytes]:
    """The set of a dialogue's shingles, each as an 8-byte hash.

    A shingle is five words in a row of what is said: role, readable text and tool calls of all messages, casefolded and
    split at white space. A character of Chinese, Japanese, Thai and other scripts without spaces is a word
    of its own. A dialogue of fewer words is one shingle.
    """
    text = "\n".join(_said(message) for message in dialogue.messages)
    words = _TOKEN.findall(text.casefold())
    grams = (" ".join(words[start : start + SHINGLE]) for start in range(max(1, len(words) - SHINGLE + 1)))
    return frozenset(hashlib.blake2b(gram.encode("utf-8", "surrogatepass"), digest_size=8).digest() for gram in grams)


def similarity(one: frozenset[bytes], other: frozenset[bytes]) -> float:
    """The Jaccard index of two shingle sets, from 0 to 1; 1 for two empty ones."""
    common = len(one & other)
    united = len(one) + len(other) - common
    return common / united if united else 1.0


def bands(threshold: float, num_permutations: int = NUM_PERMUTATIONS, miss: float = MISS) -> tuple[int, int]:
    """(number of bands, rows of a band): the most rows with which a pair at the threshold is missed rarely enough.

    Two dialogues of similarity s are compared when all rows of at least one of b bands agree, which they fail to do
    with the probability (1 - s^r)^b. More rows mean fewer needless comparisons. Where even one row misses more often
    than `miss` (a very low threshold), one row is taken. There are two bands at least.
    """
    rows = max(
        (
            rows
            for rows in range(1, num_permutations // 2 + 1)
            if (1 - threshold**rows) ** (num_permutations // rows) <= miss
        ),
        default=1,
    )
    return num_permutations // rows, rows


class NearDuplicates:
    """Finds dialogues that are nearly the same as an earlier one which was kept.

    Holds the shingles of every dialogue kept: 8 bytes and Python's own share for each.

    Args:
        threshold: Similarity from which a dialogue is a near duplicate, above 0 and up to 1.

    Attributes:
        compared: Pairs that were compared exactly.

    Raises:
        ConfigError: The threshold is out of range.
        MissingExtraError: The package `datasketch` is not installed.
    """

    def __init__(self, threshold: float = 0.8) -> None:
        if not 0 < threshold <= 1:
            raise ConfigError(f"expected a threshold above 0 and up to 1, found {threshold}")
        try:
            from datasketch import MinHash, MinHashLSH
        except ImportError as error:
            raise MissingExtraError("datasketch", extra="dedup", purpose="finding near duplicates") from error

        self.threshold = threshold
        self.compared = 0
        self._kept: list[frozenset[bytes]] = []
        self._index: Any = MinHashLSH(num_perm=NUM_PERMUTATIONS, params=bands(threshold))
        # Copied for every dialogue: drawing the same permutations anew takes longer than hashing a dialogue.
        self._empty: Any = MinHash(NUM_PERMUTATIONS, seed=_SEED, hashfunc=_first_32_bits)

    def add(self, dialogue: Dialogue) -> bool:
        """Whether a kept dialogue is at least as similar as the threshold; if not, this one is kept."""
        return self.place(dialogue) is not None

    def place(self, dialogue: Dialogue) -> int | None:
        """The number, from 0 in the order of keeping, of a kept dialogue that this one repeats.

        None where there is none; then this one is kept.
        """
        own = shingles(dialogue)
        sketch = self._empty.copy()
        sketch.update_batch(sorted(own))
        for place in sorted(self._index.query(sketch)):
            if self._is_near(own, self._kept[place]):
                return int(place)
        self._index.insert(len(self._kept), sketch)
        self._kept.append(own)
        return None

    def _is_near(self, own: frozenset[bytes], kept: frozenset[bytes]) -> bool:
        self.compared += 1
        return similarity(own, kept) >= self.threshold


def _said(message: Message) -> str:
    """The role and the text; also, as JSON, what is said without text: parts such as images, and tool calls."""
    parts = message.content if isinstance(message.content, list) else None
    if parts is None and message.tool_calls is None:
        return f"{message.role} {message.text}"
    rest = json.dumps([parts, message.tool_calls], ensure_ascii=False, sort_keys=True)
    return f"{message.role} {message.text} {rest}"


def _first_32_bits(shingle: bytes) -> int:
    return int.from_bytes(shingle[:4], "big")
