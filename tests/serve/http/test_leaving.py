"""A client that leaves ends the work of its request, whichever server runs the application."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from starlette.requests import Request

from serve.http.leaving import has_left, leaving_by, leaving_of


class Connected:
    """A client that leaves when the test says so."""

    has_left = False

    def __init__(self) -> None:
        self.act: Callable[[], None] | None = None

    def on_leaving(self, act: Callable[[], None] | None) -> None:
        self.act = act


def request_of(client: Connected) -> Request[Any]:
    scope = {"type": "http", "extensions": {"slipway.leaving": {"client": client}}}
    return Request(scope, _never)


async def _never() -> Any:
    raise AssertionError("the connection tells: nobody has to ask")


def test_a_connection_calls_the_function_within_the_block_alone() -> None:
    client, calls = Connected(), list[str]()
    with leaving_of(request_of(client))(lambda: calls.append("left")):
        assert client.act is not None
        client.act()
    assert client.act is None
    assert calls == ["left"]


def test_a_client_that_left_before_the_block_is_told_at_once() -> None:
    client, calls = Connected(), list[str]()
    client.has_left = True
    with leaving_of(request_of(client))(lambda: calls.append("left")):
        assert calls == ["left"]


def test_has_left_asks_the_connection() -> None:
    client = Connected()
    scope = request_of(client).scope
    assert not has_left(scope)
    client.has_left = True
    assert has_left(scope)
    assert not has_left({"type": "http"})


@pytest.mark.parametrize(("kind", "count"), [("http.disconnect", 1), ("http.request", 0)])
def test_another_server_is_asked_for_its_next_message(kind: str, count: int) -> None:
    async def receive() -> dict[str, str]:
        return {"type": kind}

    async def scenario() -> None:
        calls = list[str]()
        with leaving_by(receive, partial(calls.append, "left")):
            await asyncio.sleep(0.01)
        assert calls == ["left"] * count

    asyncio.run(scenario())
