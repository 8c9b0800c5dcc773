"""The shares of clients in the memory of bodies and answers."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from typing import Any

import pytest

from serve.errors import OverloadedError
from serve.http import budget as module
from serve.http.budget import Account, ByteBudget, client_of


def on_loop(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(scenario())


def opened(stack: ExitStack, budget: ByteBudget, client: str, size: int) -> Account:
    """Return an account of a client with bytes; it ends with the stack."""
    account = stack.enter_context(budget.open(client, lambda: None))
    budget.grow(account, size)
    return account


def test_the_limit_holds_for_all_and_bytes_are_freed() -> None:
    async def scenario() -> None:
        budget = ByteBudget(100)
        with ExitStack() as stack:
            opened(stack, budget, "a", 60)
            second = opened(stack, budget, "a", 0)
            with pytest.raises(OverloadedError, match=r"of 60 bytes .*: 100 bytes"):
                budget.grow(second, 41)
            budget.grow(second, 40)
        assert budget.used_bytes == 0

    on_loop(scenario)


def test_what_gave_way_is_taken_from_the_sum_once() -> None:
    async def scenario() -> None:
        budget = ByteBudget(100)
        with ExitStack() as stack:
            opened(stack, budget, "a", 80)  # the client with most gives way
            opened(stack, budget, "b", 40)
            assert budget.used_bytes == 40
        assert budget.used_bytes == 0

    on_loop(scenario)


def test_one_alone_may_have_more_than_the_limit() -> None:
    async def scenario() -> None:
        budget = ByteBudget(100)
        with ExitStack() as stack:
            first = opened(stack, budget, "a", 80)
            budget.grow(first, 80)
            with pytest.raises(OverloadedError):
                opened(stack, budget, "a", 1)

    on_loop(scenario)


def test_the_longest_stall_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        budget = ByteBudget(100)
        with ExitStack() as stack:
            accounts = [opened(stack, budget, "a", 30) for _ in range(3)]
            now = asyncio.get_running_loop().time()
            for account, stall_s in zip(accounts, (2.0, 3.0, 0.5), strict=True):
                account.progress_s = now - stall_s
            opened(stack, budget, "a", 30)
            assert [account.is_lost for account in accounts] == [False, True, False]
            with pytest.raises(OverloadedError):
                budget.grow(accounts[1], 1)
            accounts[0].is_moving = False  # its body is complete: it is answered
            with pytest.raises(OverloadedError):
                opened(stack, budget, "a", 30)
            assert not accounts[0].is_lost

    on_loop(scenario)


def test_the_client_with_most_gives_way_to_one_with_less() -> None:
    async def scenario() -> None:
        budget = ByteBudget(100)
        with ExitStack() as stack:
            large = [opened(stack, budget, "a", 30) for _ in range(3)]
            opened(stack, budget, "b", 30)
            assert [account.is_lost for account in large] == [False, False, True]
            other = opened(stack, budget, "c", 10)
            with pytest.raises(OverloadedError):  # "a" has 60, and "c" would have 60 too
                budget.grow(other, 50)
            assert not large[1].is_lost

    on_loop(scenario)


def test_a_few_bytes_are_no_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        budget = ByteBudget(100)
        with ExitStack() as stack:
            account = opened(stack, budget, "a", 10)
            account.progress_s = 0
            assert not account.move(module.PROGRESS_BYTES - 1)
            assert account.progress_s == 0
            assert account.move(1)
            assert account.progress_s > 0

    on_loop(scenario)


def test_what_gives_way_is_told_at_once() -> None:
    async def scenario() -> None:
        budget = ByteBudget(100)
        ended = []
        with budget.open("a", lambda: ended.append("first")) as first:
            budget.grow(first, 100)
            first.progress_s -= 10
            with budget.open("a", lambda: ended.append("second")) as second:
                budget.grow(second, 50)
                assert ended == ["first"]
                assert budget.used_bytes == 50

    on_loop(scenario)


@pytest.mark.parametrize("client", [None, ("192.0.2.1", 80)])
def test_the_client_is_its_address(client: tuple[str, int] | None) -> None:
    assert client_of({"client": client}) == ("192.0.2.1" if client else "")


@pytest.mark.parametrize(("size", "calls"), [(module.RELEASE_BYTES - 4, 0), (2**30, 1)])
def test_memory_goes_back_to_the_system_after_a_burst(
    monkeypatch: pytest.MonkeyPatch, size: int, calls: int
) -> None:
    released: list[bool] = []
    monkeypatch.setattr(module, "release_free_memory", lambda: released.append(True))
    monkeypatch.setattr(module, "RELEASE_S", 0.01)

    async def scenario() -> None:
        budget = ByteBudget(2**31)
        with ExitStack() as outer:
            opened(outer, budget, "a", 1)  # an answer that nobody reads
            for _ in range(2):
                with ExitStack() as stack:
                    opened(stack, budget, "a", size // 2)
                    opened(stack, budget, "a", size // 2)
                await asyncio.sleep(0)
            computing = opened(outer, budget, "a", 1)
            computing.is_moving = False
            await asyncio.sleep(0.05)
            assert not released  # memory that the next run uses again
            computing.is_moving = True
            with ExitStack() as stack:
                opened(stack, budget, "a", 1)
            await asyncio.sleep(0.05)
            assert len(released) == calls
            with ExitStack() as stack:
                opened(stack, budget, "a", 1)
                opened(outer, budget, "a", size - 10)
            await asyncio.sleep(0.05)  # as often as much is in memory
        await asyncio.sleep(0.05)

    on_loop(scenario)
    assert len(released) == 3 * calls
