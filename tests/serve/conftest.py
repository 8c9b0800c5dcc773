"""Servers of the tests and their clients."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from serve.settings import Settings
from tests.serve.support.server import running

Serve = Callable[[Settings], httpx.Client]  # starts a server and returns its client


@pytest.fixture(scope="session")
def client(artifacts: Path) -> Iterator[httpx.Client]:
    """Return a client of a server with the default settings and every tiny model."""
    with running(Settings(artifacts=artifacts)) as client:
        yield client


@pytest.fixture
def serve(artifacts: Path) -> Iterator[Serve]:
    """Return a function that starts a server with the settings that it is called with."""
    with ExitStack() as stack:
        yield lambda settings: stack.enter_context(running(settings))
