"""The one layer that decides when a request is sent, and whether it is sent again.

How many requests may be in flight is found out as TCP does: it doubles every round trip until the first rate limit,
then grows by one request (or 5 %) per round trip; a reply with status 429 takes a quarter off, at most once per round
trip. It grows again from any low, so a bad minute costs minutes, not the run. Failures of the server are another
matter: they make their own request wait, never the others. `Retry-After` holds up all requests; so does a server that
rate-limits round trip after round trip without one answer, for twice as long each time.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

Result = TypeVar("Result")

_LONGEST_BACKOFF_S = 30.0
_START = 16
_SHRINK = 0.75
_GROW = 0.05


class TryAgainError(Exception):
    """This try failed and another one may not.

    Args:
        detail: What happened, without secrets.
        rate_limited: Whether the server said that there are too many requests (429).
        retry_after_s: How long the server asks to wait, in seconds, where it does.
    """

    def __init__(self, detail: str, *, rate_limited: bool = False, retry_after_s: float | None = None) -> None:
        super().__init__(detail)
        self.rate_limited = rate_limited
        self.retry_after_s = retry_after_s


class Throttle:
    """Permission to send, in order of arrival.

    Args:
        max_concurrency: Most requests in flight.
        requests_per_minute: Most requests begun in a minute, evenly spaced; None for no limit.
        max_tries: Tries of one request where the server fails. Rate limits do not count.
        backoff_s: Mean wait after the first failed try, in seconds, doubled after each, up to 30 s.
        max_wait_s: How long rate limits may keep one request waiting, and the longest `Retry-After` that is obeyed.

    Attributes:
        limit: How many requests may be in flight now.
        in_flight: How many are.
    """

    def __init__(
        self,
        *,
        max_concurrency: int = 64,
        requests_per_minute: float | None = None,
        max_tries: int = 8,
        backoff_s: float = 0.5,
        max_wait_s: float = 900.0,
    ) -> None:
        self.limit = float(min(_START, max_concurrency))
        self.in_flight = 0
        self._most = float(max_concurrency)
        self._slow_start_ends = float(max_concurrency)
        self._spacing_s = 60.0 / requests_per_minute if requests_per_minute else 0.0
        self._max_tries = max_tries
        self._backoff_s = backoff_s
        self._max_wait_s = max_wait_s
        self._round = 0  # counts the shrinkings; a request begun before the last one says nothing new
        self._barren = 0  # shrinkings since the last answer
        self._paused_until = 0.0
        self._next_start = 0.0
        self._arrivals = itertools.count()
        self._queue: list[tuple[int, asyncio.Future[None]]] = []
        self._timer: asyncio.TimerHandle | None = None

    async def send(self, attempt: Callable[[int], Awaitable[Result]]) -> Result:
        """Make a request until it is answered, or tries and time are used up.

        Args:
            attempt: Sends the request once; gets the number of the try, from 0. Raises `TryAgainError` where another
                try may help.

        Raises:
            TryAgainError: The last try's.
        """
        place = next(self._arrivals)  # a request that is tried again goes before those that came later
        failed = limited = 0
        limited_since: float | None = None
        while True:
            began_in = await self._enter(place)
            try:
                result = await attempt(failed + limited)
            except TryAgainError as error:
                now = asyncio.get_running_loop().time()
                wait = self._after(error, began_in, now, failed if not error.rate_limited else limited)
                if error.rate_limited:
                    limited += 1
                    limited_since = now if limited_since is None else limited_since
                    if now + wait - limited_since > self._max_wait_s:
                        raise
                else:
                    failed += 1
                    if failed >= self._max_tries:
                        raise
            else:
                self._grow()
                return result
            finally:
                self.in_flight -= 1
                self._admit()
            await asyncio.sleep(wait)

    async def _enter(self, place: int) -> int:
        """Wait for permission; the number of shrinkings so far."""
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._queue, (place, granted))
        self._admit()
        try:
            await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled():  # permission came, but nobody is left to use it
                self.in_flight -= 1
                self._admit()
            raise
        return self._round

    def _admit(self) -> None:
        """Let in as many as may go now, and come back when time alone holds the next one."""
        loop = asyncio.get_running_loop()
        while self._queue and self.in_flight < int(self.limit):
            if self._queue[0][1].done():  # cancelled while it waited
                heapq.heappop(self._queue)
                continue
            now = loop.time()
            ready = max(self._paused_until, self._next_start)
            if ready > now:
                if self._timer is None or self._timer.when() > ready:
                    if self._timer is not None:
                        self._timer.cancel()
                    self._timer = loop.call_at(ready, self._timed)
                return
            # A timer that rings late does not lower the rate, but no more than one start is ever made up for.
            self._next_start = max(now - self._spacing_s, self._next_start) + self._spacing_s
            _, granted = heapq.heappop(self._queue)
            self.in_flight += 1
            granted.set_result(None)

    def _timed(self) -> None:
        self._timer = None
        self._admit()

    def _grow(self) -> None:
        """After an answer: more, where what is allowed is used."""
        self._barren = 0
        if self.in_flight < int(self.limit):
            return
        step = 1.0 if self.limit < self._slow_start_ends else max(1.0 / self.limit, _GROW)
        self.limit = min(self._most, self.limit + step)

    def _after(self, error: TryAgainError, began_in: int, now: float, earlier: int) -> float:
        """What a failed try means for all; how long its own request waits, in seconds."""
        if error.rate_limited and began_in == self._round:
            self._round += 1
            self.limit = max(1.0, self.limit * _SHRINK)
            self._slow_start_ends = self.limit
            if self._barren:  # a second round trip without an answer: not too many at once, but closed to all
                self._paused_until = max(self._paused_until, now + self._backoff(self._barren - 1))
            self._barren += 1
        backoff = self._backoff(earlier)
        asked = min(error.retry_after_s or 0.0, self._max_wait_s)
        if asked <= 0:
            return backoff
        if error.rate_limited:
            self._paused_until = max(self._paused_until, now + asked)
            return asked
        return max(asked, backoff)

    def _backoff(self, earlier: int) -> float:
        """Seconds to wait after a failure with so many before it; spread, so that not all come back at once."""
        return min(_LONGEST_BACKOFF_S, self._backoff_s * 2.0 ** min(earlier, 16)) * random.uniform(0.5, 1.5)
