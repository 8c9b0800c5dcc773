"""Large answers in pieces: flow control, the budget, clients that do not read."""

import asyncio
from typing import Any

import pytest

from serve.errors import OverloadedError
from serve.http.budget import STALL_S, ByteBudget
from serve.http.connection import ABORT
from serve.http.pieces import PIECE_BYTES, Pieces

START = {"type": "http.response.start", "status": 200, "headers": []}


def application(size: int) -> Pieces:
    async def answer(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send({"type": "http.response.body", "body": b"x" * size})

    return Pieces(answer)


def scope_of(budget: ByteBudget, aborted: list[bool]) -> dict[str, Any]:
    """Return the scope of a request; an abort is noted in the list."""
    abort = {ABORT: {"abort": lambda: aborted.append(True)}}
    state = {"budget": budget}
    return {
        "type": "http",
        "method": "GET",
        "client": ("a", 1),
        "state": state,
        "extensions": abort,
    }


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES, 1_000_000])
def test_pieces_are_the_body_and_its_bytes_are_counted_meanwhile(size: int) -> None:
    budget = ByteBudget(2_000_000)
    messages: list[Any] = []
    used: list[int] = []

    async def send(message: Any) -> None:
        messages.append(message)
        used.append(budget.used_bytes)

    asyncio.run(application(size)(scope_of(budget, []), None, send))  # type: ignore[arg-type]
    start, *bodies = messages
    assert start == START
    assert b"".join(message["body"] for message in bodies) == b"x" * size
    assert max(len(message["body"]) for message in bodies) <= PIECE_BYTES
    assert [message.get("more_body", False) for message in bodies] == [
        *[True] * (len(bodies) - 1),
        False,
    ]
    assert max(used) == (size if size > PIECE_BYTES else 0)
    assert budget.used_bytes == 0


def test_a_client_that_does_not_read_is_reset_when_others_need_the_room() -> None:
    async def scenario() -> None:
        budget = ByteBudget(1_000_000)
        aborted: list[bool] = []
        never = asyncio.Event()
        sent: list[Any] = []

        async def unread(message: Any) -> None:
            await never.wait()

        async def read(message: Any) -> None:
            sent.append(message)

        scope = scope_of(budget, aborted)
        first = asyncio.create_task(application(900_000)(scope, None, unread))  # type: ignore[arg-type]
        await asyncio.sleep(0.01)
        await application(200_000)(scope_of(budget, []), None, read)  # type: ignore[arg-type]
        assert sent[0]["status"] == 503  # nothing stalls for long enough
        assert (b"retry-after", b"1") in sent[0]["headers"]
        assert b"900000 bytes are in memory" in sent[1]["body"]
        assert not aborted
        await asyncio.sleep(STALL_S)
        sent.clear()
        await application(200_000)(scope_of(budget, []), None, read)  # type: ignore[arg-type]
        assert sent[0]["status"] == 200
        await asyncio.wait_for(first, 20)
        assert aborted == [True]
        assert budget.used_bytes == 0

    asyncio.run(scenario())


def test_under_another_server_an_error_ends_an_answer_that_gives_way() -> None:
    async def scenario() -> None:
        budget = ByteBudget(1_000_000)

        async def unread(message: Any) -> None:
            await asyncio.Event().wait()

        scope = scope_of(budget, [])
        del scope["extensions"]
        first = asyncio.create_task(application(900_000)(scope, None, unread))  # type: ignore[arg-type]
        await asyncio.sleep(STALL_S + 0.1)
        with budget.open("b", lambda: None) as account:
            budget.grow(account, 900_000)
            with pytest.raises(OverloadedError, match="does not read its answer"):
                await asyncio.wait_for(first, 20)

    asyncio.run(scenario())
