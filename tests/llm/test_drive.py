"""The event loop behind ordinary code: order, windows, errors, nested use."""

from __future__ import annotations

import asyncio

import pytest

from turnwise.llm.drive import run_all, run_one


def test_results_come_in_the_order_of_the_items_whatever_finishes_first():
    async def work(number: int) -> int:
        await asyncio.sleep(0.002 * (5 - number % 5))
        return number * 10

    assert list(run_all(work, range(40), window=7)) == [number * 10 for number in range(40)]


@pytest.mark.parametrize("lockstep", [False, True])
def test_never_more_items_are_begun_than_the_window_holds(lockstep):
    drawn: list[int] = []
    yielded = 0
    most = 0

    def items():
        for number in range(100):
            drawn.append(number)
            yield number

    async def work(number: int) -> int:
        await asyncio.sleep(0)
        return number

    for _ in run_all(work, items(), window=8, lockstep=lockstep):
        most = max(most, len(drawn) - yielded)
        yielded += 1
    assert yielded == 100
    assert most <= 8


def test_the_first_error_in_order_is_raised_and_the_rest_is_cancelled():
    cancelled: list[int] = []

    async def work(number: int) -> int:
        if number == 2:
            raise ValueError("number 2")
        try:
            await asyncio.sleep(0 if number < 2 else 60)
        except asyncio.CancelledError:
            cancelled.append(number)
            raise
        return number

    results = run_all(work, range(6), window=6)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="number 2"):
        next(results)
    run_one(asyncio.sleep(0.01))
    assert cancelled == [3, 4, 5]


def test_it_works_inside_a_running_event_loop_as_in_a_notebook():
    async def work(number: int) -> int:
        return number + 1

    async def cell() -> list[int]:
        return list(run_all(work, [1, 2]))

    assert asyncio.run(cell()) == [2, 3]


def test_lockstep_begins_the_next_items_only_when_all_begun_ones_are_done():
    active: set[int] = set()
    together: list[set[int]] = []

    async def work(number: int) -> int:
        active.add(number)
        await asyncio.sleep(0.001 * number)
        together.append(set(active))
        active.discard(number)
        return number

    assert list(run_all(work, range(6), window=3, lockstep=True)) == list(range(6))
    assert all(one <= {0, 1, 2} or one <= {3, 4, 5} for one in together)
