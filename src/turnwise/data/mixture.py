"""Mixing dialogues of several sources: how many of each, in which order, without copies, with labelled noise.

What happens to a source, in this order: read (`skip`, `limit`), draw (`sample`), drop duplicates, take its part (`size`
or `cap`), make noise (`corrupt`), repeat. Then the sources are put together. What is left out on the way is counted
under a reason, so that for every source::

    found + repeated == written + sum(dropped.values())

The same configuration and the same files give the same mixture on every machine. Draws do not depend on each other
(`turnwise.data.mix_draw`): changing one source leaves the draws from the others as they were.
"""

from __future__ import annotations

import copy
import random
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any

from turnwise.data.corruption import corrupt_dialogues
from turnwise.data.dedup import DuplicateCounter
from turnwise.data.mix_config import MixConfig, MixSource
from turnwise.data.mix_draw import apportion, draw_key, interleave, is_drawn, lowest, shuffle_buffer
from turnwise.data.near_duplicates import NearDuplicates
from turnwise.data.read import Failure, FileReport, ReadReport, read_dialogues
from turnwise.dialogue import Dialogue, unique_ids
from turnwise.errors import DataError

__all__ = ["MixConfig", "MixSource", "Mixture", "SourceCounts", "mix_dialogues"]


@dataclass(slots=True)
class SourceCounts:
    """What became of one source.

    Attributes:
        name: The source's label; a second source with the same one is `label#2`.
        tier: The quality label that it sets.
        found: Dialogues read and records that could not be.
        repeated: Copies made by `repeat`.
        written: Dialogues in the mixture, copies included.
        dropped: Count by reason: `unreadable`, `skipped first`, `not drawn`, `duplicate`,
            `near duplicate`, `beyond its part` (of `size` or `cap`).
        noise: Written dialogues by the kind in their label of known noise, `clean` included; empty without labels.
    """

    name: str
    tier: str | None = None
    found: int = 0
    repeated: int = 0
    written: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    noise: Counter[str] = field(default_factory=Counter)

    def add(self, dialogue: Dialogue, copies: int) -> None:
        """Count a dialogue that goes into the mixture `copies` times."""
        self.written += copies
        self.repeated += copies - 1
        label = dialogue.metadata.get("noise")
        if isinstance(label, dict) and "kind" in label:
            self.noise[str(label["kind"])] += copies

    def to_dict(self) -> dict[str, Any]:
        """The counts as JSON-ready keys."""
        counted = {"found": self.found, "repeated": self.repeated, "written": self.written}
        reasons = {"dropped": dict(self.dropped), "noise": dict(self.noise)}
        return {"name": self.name, "tier": self.tier, **counted, **reasons}


@dataclass(slots=True)
class Mixture:
    """A mixture and how it came about.

    Attributes:
        dialogues: The dialogues in order: a list, or with `stream` an iterator that can be consumed once.
        counts: Per source; when streaming, filled while the dialogues are consumed.
        reports: Per source, what its files held; empty for a world.
    """

    dialogues: Iterable[Dialogue]
    counts: list[SourceCounts]
    reports: list[ReadReport]

    @property
    def files(self) -> list[FileReport]:
        """Every file read, one entry per source that reads it."""
        return [file for report in self.reports for file in report.files]

    @property
    def failures(self) -> list[Failure]:
        """Records that could not be read (only with `on_error: skip`)."""
        return [failure for report in self.reports for failure in report.failures]


def mix_dialogues(config: MixConfig) -> Mixture:
    """Mix dialogues as configured.

    Every dialogue has a `source`, a `tier` where the source or the data gives one, and an id that no other of the
    mixture has. In memory, equal ids are numbered in the order of the sources; when streaming, in the order of output.

    Raises:
        DataError: A source cannot be read, or has fewer dialogues than `sample` or `size` asks for.
        ConfigError: Noise that a source does not allow (see `corrupt_dialogues`).
        MissingExtraError: `duplicates: near` without the package `datasketch`.
    """
    seen = None if config.duplicates == "keep" else _Duplicates(config)
    sources = _sources(config, seen)
    counts, reports = [source.counts for source in sources], [source.report for source in sources]
    if config.stream:
        merged = _merge_streams(config, [source.dialogues() for source in sources])
        return Mixture(_not_empty(unique_ids(merged)), counts, reports)
    pools = [list(source.dialogues()) for source in sources]
    everything = list(_not_empty(unique_ids(chain.from_iterable(pools))))  # renames in place, the pools' own too
    if config.order == "shuffle":
        random.Random(f"turnwise/mix/{config.seed}/order").shuffle(everything)
    elif config.order == "interleave":
        everything = list(interleave(pools, config.weights))
    return Mixture(everything, counts, reports)


def _merge_streams(config: MixConfig, streams: list[Iterator[Dialogue]]) -> Iterator[Dialogue]:
    if config.order == "concatenate":
        return chain.from_iterable(streams)
    merged = interleave(streams, config.weights)
    if config.order == "interleave":
        return merged
    return shuffle_buffer(merged, config.shuffle_buffer, config.seed)


def _not_empty(dialogues: Iterator[Dialogue]) -> Iterator[Dialogue]:
    is_empty = True
    for dialogue in dialogues:
        is_empty = False
        yield dialogue
    if is_empty:
        raise DataError("the mixture is empty", hint="raise the sources' sample, or mix other sources")


class _Duplicates:
    """Finds dialogues that repeat an earlier one, of whatever source."""

    def __init__(self, config: MixConfig) -> None:
        self._exact = DuplicateCounter()
        self._near = NearDuplicates(config.near_threshold) if config.duplicates == "near" else None

    def reason(self, dialogue: Dialogue) -> str | None:
        """Why the dialogue is to be dropped; None for one to keep."""
        if self._exact.add(dialogue):
            return "duplicate"
        return "near duplicate" if self._near is not None and self._near.add(dialogue) else None


def _sources(config: MixConfig, seen: _Duplicates | None) -> list[_Source]:
    """The sources with the parts that fall to them; equal labels are numbered, so that each has draws of its own."""
    parts: list[int | None] = [source.cap for source in config.sources]
    if config.size is not None:
        parts = list(apportion(config.size, config.weights))
    labels: Counter[str] = Counter()
    sources: list[_Source] = []
    for source, part in zip(config.sources, parts, strict=True):
        labels[source.label] += 1
        number = labels[source.label]
        label = source.label if number == 1 else f"{source.label}#{number}"
        sources.append(_Source(config, source, label, part, seen, SourceCounts(label, source.tier), ReadReport()))
    return sources


@dataclass(slots=True)
class _Item:
    """A dialogue of a source, its position among all that the source holds, and its hash for draws."""

    dialogue: Dialogue
    position: int
    key: int


@dataclass(slots=True)
class _Source:
    """One source on its way into the mixture; every step is a generator, so nothing is held that need not be."""

    mix: MixConfig
    config: MixSource
    label: str
    part: int | None
    seen: _Duplicates | None
    counts: SourceCounts
    report: ReadReport

    def dialogues(self) -> Iterator[Dialogue]:
        """What the source gives to the mixture, in the order in which it was read, copies beside each other."""
        items = self._drawn(self._read())
        if self.seen is not None:
            items = self._without_duplicates(items, self.seen)
        taken = self._whole(items) if self.part is None else self._part(items, self.part)
        if self.config.corrupt:
            taken = self._corrupted(list(taken))
        for item, copies in taken:
            self.counts.add(item.dialogue, copies)
            yield item.dialogue
            for _ in range(copies - 1):
                yield copy.deepcopy(item.dialogue)

    def _read(self) -> Iterator[_Item]:
        skip, position = self.config.skip, -1
        for position, dialogue in enumerate(self._open()):
            self.counts.found += 1
            if position < skip:
                self._drop("skipped first", 1)
                continue
            dialogue.source = self.config.name or dialogue.source or self.config.label
            dialogue.tier = self.config.tier or dialogue.tier
            yield _Item(dialogue, position, draw_key(self.mix.seed, self.label, position))
        self.counts.found += self.report.skipped
        self._drop("unreadable", self.report.skipped)
        if position < skip:
            raise self._too_few(f"more than {skip} dialogues to skip {skip} of", position + 1, "lower its skip")

    def _open(self) -> Iterator[Dialogue]:
        last = None if self.config.limit is None else self.config.skip + self.config.limit
        if self.config.world is not None:
            yield from islice(self.config.world.dialogues(), last)
            return
        assert self.config.path is not None  # noqa: S101 - MixSource checks it
        yield from read_dialogues(
            self.config.path,
            format=self.config.format,
            roles=self.config.roles,
            on_error=self.mix.on_error,
            # A hub data set is streamed where there is a limit, and downloaded whole where there is none.
            limit=sys.maxsize if last is None and self.mix.stream else last,
            split=self.config.split,
            side=self.config.side,
            tree_paths=self.config.tree_paths,
            report=self.report,
        )

    def _drawn(self, items: Iterator[_Item]) -> Iterator[_Item]:
        sample = self.config.sample
        if sample is None:
            return items
        if isinstance(sample, int):
            return self._drawn_number(items, sample)
        return self._drawn_one_by_one(items, sample) if self.mix.stream else self._drawn_share(items, sample)

    def _drawn_number(self, items: Iterator[_Item], number: int) -> Iterator[_Item]:
        counted = _Counted(items)
        drawn = _lowest(counted, number)
        if len(drawn) < number:
            raise self._too_few(f"at least {number} dialogues to draw from", len(drawn), "lower its sample")
        self._drop("not drawn", counted.count - number)
        yield from drawn

    def _drawn_share(self, items: Iterator[_Item], share: float) -> Iterator[_Item]:
        pool = list(items)
        drawn = _lowest(pool, round(share * len(pool)))
        self._drop("not drawn", len(pool) - len(drawn))
        yield from drawn

    def _drawn_one_by_one(self, items: Iterator[_Item], share: float) -> Iterator[_Item]:
        for item in items:
            if is_drawn(item.key, share):
                yield item
            else:
                self._drop("not drawn", 1)

    def _without_duplicates(self, items: Iterator[_Item], seen: _Duplicates) -> Iterator[_Item]:
        for item in items:
            reason = seen.reason(item.dialogue)
            if reason is None:
                yield item
            else:
                self._drop(reason, 1)

    def _whole(self, items: Iterable[_Item]) -> Iterable[tuple[_Item, int]]:
        return ((item, self.config.repeat) for item in items)

    def _part(self, items: Iterator[_Item], part: int) -> Iterator[tuple[_Item, int]]:
        """At most `part` occurrences: different dialogues first, then copies, spread evenly."""
        counted = _Counted(items)
        taken = _lowest(counted, part)
        wanted = min(part, len(taken) * self.config.repeat)
        if wanted < part and self.mix.size is not None:
            raise self._too_few(
                f"{part} dialogues, its part of {self.mix.size}", wanted, "lower size or its weight, or raise repeat"
            )
        self._drop("beyond its part", counted.count - len(taken))
        full, more = divmod(wanted, len(taken) or 1)
        with_one_more = {item.position for item in _lowest(taken, more)}
        return ((item, full + (item.position in with_one_more)) for item in taken)

    def _corrupted(self, taken: list[tuple[_Item, int]]) -> Iterator[tuple[_Item, int]]:
        """The different dialogues with noise, one kind after the other; copies share what was made."""
        world = None if self.config.world is None else self.config.world.world()
        made = [item.dialogue for item, _ in taken]
        for noise in self.config.corrupt:
            made = corrupt_dialogues(made, noise, world=world)
        for (item, copies), dialogue in zip(taken, made, strict=True):
            item.dialogue = dialogue
            yield item, copies

    def _drop(self, reason: str, count: int) -> None:
        if count:
            self.counts.dropped[reason] += count

    def _too_few(self, expected: str, found: int, hint: str) -> DataError:
        return DataError(f"source {self.label!r}: expected {expected}, found {found}", hint=hint)


class _Counted:
    """An iterable that counts what went through."""

    def __init__(self, items: Iterable[_Item]) -> None:
        self._items = items
        self.count = 0

    def __iter__(self) -> Iterator[_Item]:
        for item in self._items:
            self.count += 1
            yield item


def _lowest(items: Iterable[_Item], count: int) -> list[_Item]:
    return lowest(items, count, key=lambda item: item.key, place=lambda item: item.position)
