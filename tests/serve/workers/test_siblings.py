"""A request that another worker passed on, and one that only claims to be."""

import asyncio
from typing import Any

from starlette.types import Receive, Scope, Send

from serve.workers.siblings import EXTENSION, FromSiblings

FIELDS = [(b"x-slipway-client", b"10.0.0.1"), (b"x-slipway-root", b"/root")]


def seen_by_application(**scope: Any) -> Scope:
    """Return the scope that the application gets."""
    seen: Scope = {}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.update(scope)

    async def nothing(*_: object) -> Any:
        return None

    asyncio.run(FromSiblings(app)({"type": "http", "headers": FIELDS, **scope}, nothing, nothing))
    return seen


def test_a_worker_names_the_client_of_what_it_passes_on() -> None:
    scope = seen_by_application(client=None, server=None)
    assert scope["client"] == ("10.0.0.1", 0)
    assert scope["root_path"] == "/root"
    assert EXTENSION in scope["extensions"]


def test_a_client_of_the_port_is_no_worker() -> None:
    scope = seen_by_application(client=("192.0.2.1", 5000), server=("127.0.0.1", 8000))
    assert scope["client"] == ("192.0.2.1", 5000)


def test_a_client_that_reset_its_connection_before_it_was_accepted_is_no_worker() -> None:
    scope = seen_by_application(client=None, server=("127.0.0.1", 8000))
    assert scope["client"] is None
    assert "root_path" not in scope
    assert "extensions" not in scope
