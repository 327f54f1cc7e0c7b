"""When a request may go, and whether it goes again. In virtual time, so that all times are exact."""

from __future__ import annotations

import asyncio
import random

import pytest
from virtual_time import run_virtually

from turnwise.llm.throttle import Throttle, TryAgainError


def now() -> float:
    return asyncio.get_running_loop().time()


class Server:
    """Answers after `latency` seconds; more than `capacity` at once are rate-limited, and everyone while `closed`."""

    def __init__(self, capacity: int, latency: float = 1.0, closed: tuple[float, float] = (0.0, 0.0)) -> None:
        self.capacity, self.latency, self.closed = capacity, latency, closed
        self.at_work = self.most = self.limited = 0
        self.begun: list[float] = []

    async def attempt(self, number: int) -> int:
        self.begun.append(now())
        if self.at_work >= self.capacity or self.closed[0] <= now() < self.closed[1]:
            self.limited += 1
            await asyncio.sleep(0.01)
            raise TryAgainError("429", rate_limited=True)
        self.at_work += 1
        self.most = max(self.most, self.at_work)
        await asyncio.sleep(self.latency)
        self.at_work -= 1
        return number


def test_concurrency_doubles_every_round_trip_up_to_the_most():
    """16 at first; of a round trip of n answers each adds one: 16, 32, 64. 112 requests take 3 round trips."""

    async def scene():
        throttle, server = Throttle(max_concurrency=64), Server(1000)
        await asyncio.gather(*(throttle.send(server.attempt) for _ in range(112)))
        return now(), server.most

    assert run_virtually(scene()) == (3.0, 64)


def test_growth_needs_use():
    """With one request at a time, nothing shows that the server could bear more than the first 16."""

    async def scene():
        throttle, server = Throttle(max_concurrency=64), Server(1000)
        for _ in range(50):
            await throttle.send(server.attempt)
        return throttle.limit

    assert run_virtually(scene()) == 16.0


def test_concurrency_settles_near_what_the_server_bears():
    """A server that takes 20 at once is kept busy: 2,000 requests of 1 s need 100 s at best."""

    async def scene():
        throttle, server = Throttle(max_concurrency=64), Server(20)
        await asyncio.gather(*(throttle.send(server.attempt) for _ in range(2000)))
        return now(), server

    took, server = run_virtually(scene())
    assert server.most == 20
    assert took < 130
    assert server.limited < 300, "few requests are thrown away to find out"


def test_concurrency_recovers_from_an_outage():
    """All are rate-limited for two minutes, the limit goes down; afterwards it grows again."""

    async def scene():
        throttle, server = Throttle(max_concurrency=64), Server(32, closed=(10.0, 130.0))
        tasks = [asyncio.ensure_future(throttle.send(server.attempt)) for _ in range(8000)]
        await asyncio.sleep(129.0)
        low, begun = throttle.limit, len(server.begun)
        await asyncio.sleep(200.0)
        high = throttle.limit
        await asyncio.gather(*tasks)
        return low, high, begun

    low, high, begun = run_virtually(scene())
    assert low < 4
    assert high > 20
    assert begun < 1000, "few are sent while the server takes none"


def test_the_limit_shrinks_once_per_round_trip():
    """Eight requests begun together and all rate-limited say one thing: a quarter off, 8 to 6."""

    async def scene():
        throttle = Throttle(max_concurrency=8, max_wait_s=0)

        async def limited(_: int) -> None:
            await asyncio.sleep(0.5)
            raise TryAgainError("429", rate_limited=True)

        await asyncio.gather(*(throttle.send(limited) for _ in range(8)), return_exceptions=True)
        return throttle.limit

    assert run_virtually(scene()) == 6.0


def test_retry_after_holds_up_everyone():
    """At 1 s the server asks for 30 s; nothing begins before 31 s, and then everything does."""

    async def scene():
        throttle = Throttle(max_concurrency=4)
        begun: list[float] = []

        async def attempt(number: int) -> None:
            begun.append(now())
            await asyncio.sleep(1.0)
            if len(begun) <= 4 and number == 0:
                raise TryAgainError("429", rate_limited=True, retry_after_s=30)

        await asyncio.gather(*(throttle.send(attempt) for _ in range(20)))
        return begun

    begun = run_virtually(scene())
    assert begun[:4] == [0.0] * 4
    assert min(begun[4:]) == 31.0
    assert len(begun) == 24


def test_a_very_long_retry_after_ends_the_request_instead():
    """The server asks for a day, 15 minutes are allowed: the request fails at once, and is not tried again."""

    async def scene():
        tries = 0

        async def attempt(_: int) -> None:
            nonlocal tries
            tries += 1
            raise TryAgainError("429", rate_limited=True, retry_after_s=86_400)

        with pytest.raises(TryAgainError):
            await Throttle(max_wait_s=900).send(attempt)
        return tries, now()

    tries, took = run_virtually(scene())
    assert (tries, took) == (2, 900.0)


def test_requests_per_minute_are_evenly_spaced():
    """60 a minute: one each second, however many wait and however fast the replies are."""

    async def scene():
        throttle, server = Throttle(requests_per_minute=60), Server(1000, latency=0.1)
        await asyncio.gather(*(throttle.send(server.attempt) for _ in range(10)))
        return server.begun

    assert run_virtually(scene()) == pytest.approx([float(second) for second in range(10)])


def test_a_failing_server_lowers_no_limit_and_holds_up_nobody_else():
    async def scene():
        throttle = Throttle(max_concurrency=8)
        ends: dict[str, float] = {}

        async def fails_twice(number: int) -> None:
            if number < 2:
                raise TryAgainError("500")

        async def fine(_: int) -> None:
            await asyncio.sleep(0.1)

        async def timed(name: str, attempt) -> None:
            await throttle.send(attempt)
            ends[name] = now()

        await asyncio.gather(timed("failing", fails_twice), *(timed(f"fine {number}", fine) for number in range(7)))
        return throttle.limit, ends

    limit, ends = run_virtually(scene())
    assert limit >= 8
    failing = ends.pop("failing")
    assert set(ends.values()) == {0.1}
    # Waits of 0.5 s and 1 s on average, each between half and one and a half of it.
    assert 0.75 <= failing <= 2.25


def test_tries_are_counted_for_failures_only():
    """Three rate limits and three failures in turn: with four tries allowed, the request is answered."""

    async def scene():
        async def attempt(number: int) -> int:
            if number < 6:
                raise TryAgainError("x", rate_limited=number % 2 == 0)
            return number

        return await Throttle(max_tries=4).send(attempt)

    assert run_virtually(scene()) == 6


def test_the_last_failure_is_raised_after_the_last_try():
    async def scene():
        seen = []

        async def attempt(number: int) -> None:
            seen.append(number)
            raise TryAgainError(f"failure {number}")

        with pytest.raises(TryAgainError, match="failure 2"):
            await Throttle(max_tries=3).send(attempt)
        return seen

    assert run_virtually(scene()) == [0, 1, 2]


def test_who_came_first_goes_first_also_when_trying_again():
    """One at a time: the first request fails once; once its wait is over it goes before all that came after it."""

    async def scene():
        throttle, order = Throttle(max_concurrency=1, backoff_s=0.5), []

        def attempt_of(name: int):
            async def attempt(number: int) -> None:
                order.append(name)
                await asyncio.sleep(1.0)
                if name == 0 and number == 0:
                    raise TryAgainError("500")

            return attempt

        await asyncio.gather(*(throttle.send(attempt_of(name)) for name in range(4)))
        return order

    assert run_virtually(scene()) == [0, 1, 0, 2, 3]


def test_permission_of_a_cancelled_request_goes_to_the_next():
    async def scene():
        throttle, server = Throttle(max_concurrency=1), Server(10)
        tasks = [asyncio.ensure_future(throttle.send(server.attempt)) for _ in range(5)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for number in (0, 1, 3):
            tasks[number].cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        return [isinstance(one, asyncio.CancelledError) for one in done], throttle.in_flight

    assert run_virtually(scene()) == ([True, True, False, True, False], 0)


def test_nothing_is_lost_under_random_cancellation_and_failure():
    """Whatever happens, all permissions come back: afterwards the throttle lets requests in as before."""

    async def scene(seed: int):
        chance = random.Random(seed)
        throttle = Throttle(max_concurrency=5, max_tries=3)

        async def attempt(_: int) -> None:
            await asyncio.sleep(chance.random())
            if chance.random() < 0.4:
                raise TryAgainError("x", rate_limited=chance.random() < 0.5, retry_after_s=chance.choice([None, 1.0]))

        tasks = [asyncio.ensure_future(throttle.send(attempt)) for _ in range(60)]
        for task in chance.sample(tasks, 25):
            await asyncio.sleep(chance.random() * 0.3)
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert throttle.in_flight == 0
        server = Server(10)
        return await throttle.send(server.attempt)

    for seed in range(20):
        assert run_virtually(scene(seed)) == 0
