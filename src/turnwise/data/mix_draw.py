"""Drawing and ordering for mixtures: every choice is a hash of what it is about, so no choice disturbs another.

A shared random generator would give every later draw another number as soon as one source changed. Here each dialogue
has a *draw key*, a hash of the seed, the source's label and the dialogue's place in it; the dialogues with the lowest
keys are a uniform sample without replacement. The same keys are found whether a source is held in memory or streamed.
"""

from __future__ import annotations

import hashlib
import heapq
import math
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from typing import TypeVar

KEY_RANGE = 2**64
"""Draw keys are whole numbers from 0 to this, exclusive."""

T = TypeVar("T")


def draw_key(*parts: object) -> int:
    """A number that looks uniform in [0, `KEY_RANGE`) and depends on the parts alone, on every machine."""
    text = "turnwise/mix/" + "/".join(map(str, parts))
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def is_drawn(key: int, share: float) -> bool:
    """Whether a dialogue belongs to a share that is drawn without knowing how many there are (a Bernoulli draw)."""
    return key < share * KEY_RANGE


def lowest(items: Iterable[T], count: int, key: Callable[[T], int], place: Callable[[T], int]) -> list[T]:
    """The `count` items with the lowest keys (fewer where there are fewer), in the order of their places.

    Holds `count` items at a time, however many are given.
    """
    return sorted(heapq.nsmallest(count, items, key=key), key=place)


def apportion(size: int, weights: Sequence[float]) -> list[int]:
    """Whole numbers in proportion to the weights that add up to `size`, by largest remainders.

    Every number is the exact quota rounded down or up. Equal remainders go to the earlier weight.

    Args:
        size: The sum; at least 0.
        weights: At least one; each above 0.
    """
    exact = [Fraction(weight) for weight in weights]
    quotas = [size * weight / sum(exact) for weight in exact]
    counts = [math.floor(quota) for quota in quotas]
    by_remainder = sorted(range(len(quotas)), key=lambda place: counts[place] - quotas[place])
    for place in by_remainder[: size - sum(counts)]:
        counts[place] += 1
    return counts


def interleave(streams: Sequence[Iterable[T]], weights: Sequence[float]) -> Iterator[T]:
    """Merge streams so that at every point each has given its weight's part, as nearly as whole items allow.

    The next item comes from the stream with the lowest (items given + 1/2) / weight, the rule of Sainte-Lague; equal
    values go to the earlier stream. A stream that has run out leaves its part to the others; nothing is dropped.
    """
    iterators = [iter(stream) for stream in streams]
    given = [0] * len(iterators)
    waiting = [(Fraction(1, 2) / Fraction(weight), place) for place, weight in enumerate(weights)]
    heapq.heapify(waiting)
    while waiting:
        _, place = waiting[0]
        try:
            item = next(iterators[place])
        except StopIteration:
            heapq.heappop(waiting)
            continue
        given[place] += 1
        heapq.heapreplace(waiting, ((given[place] + Fraction(1, 2)) / Fraction(weights[place]), place))
        yield item


def shuffle_buffer(items: Iterable[T], size: int, seed: object) -> Iterator[T]:
    """Shuffle a stream of any length while holding at most `size` items: each next one is drawn from the buffer.

    An item can come out at most `size` - 1 places before its own, and any number after.
    """
    draw = random.Random(f"turnwise/mix/{seed}/buffer")
    buffer: list[T] = []
    for item in items:
        buffer.append(item)
        if len(buffer) == size:
            yield _swap_out(buffer, draw)
    while buffer:
        yield _swap_out(buffer, draw)


def _swap_out(buffer: list[T], draw: random.Random) -> T:
    place = draw.randrange(len(buffer))
    buffer[place], buffer[-1] = buffer[-1], buffer[place]
    return buffer.pop()
