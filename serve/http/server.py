"""uvicorn with the connections of this package."""

import asyncio
from functools import partial
from typing import cast

from serve.http.connection import Connection
from serve.http.registry import Connections


def protocol_of(connections: Connections) -> type[asyncio.Protocol]:
    """Return what `uvicorn.Config(http=...)` takes: a factory of connections."""
    return cast(type[asyncio.Protocol], partial(Connection, connections))
