"""uvicorn with the connections of this package."""

import asyncio
from dataclasses import replace
from functools import partial
from typing import cast

from serve.http.connection import Connection
from serve.http.limits import Limits
from serve.http.listener import MAX_CONNECTIONS
from serve.http.registry import Connections
from serve.settings import Settings

BACKLOG = 32  # connections accepted in one turn of the event loop, before any can be closed


def limits_of(settings: Settings, *, connections: int = MAX_CONNECTIONS) -> Limits:
    """Return the limits that the settings ask for."""
    limits = Limits(
        timeout_s=settings.timeout_s, keep_alive_s=settings.keep_alive_s, connections=connections
    )
    return replace(
        limits,
        unfinished_head_bytes=limits.unfinished_head_bytes // settings.workers,
        unread_answer_bytes=limits.unread_answer_bytes // settings.workers,
    )


def protocol_of(connections: Connections) -> type[asyncio.Protocol]:
    """Return what `uvicorn.Config(http=...)` takes: a factory of connections."""
    return cast(type[asyncio.Protocol], partial(Connection, connections))
