"""A real server on a loopback port, in a thread; httpx as the client."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
import uvicorn
from numpy.typing import NDArray

from serve.app import create_app
from serve.catalog.catalog import load_catalog
from serve.http.connections import BoundedProtocol
from serve.settings import Settings

Serve = Callable[[Settings], httpx.Client]  # starts a server and gives its client


@contextmanager
def running(settings: Settings) -> Iterator[httpx.Client]:
    """Serve `settings.artifacts` until the block ends."""
    catalog = load_catalog(settings.artifacts, threads=1, allow_seeded=settings.allow_seeded)
    config = uvicorn.Config(
        create_app(settings, catalog),
        port=0,
        http=BoundedProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        timeout_graceful_shutdown=5,  # a test that fails may leave a connection open
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.005)
        port = server.servers[0].sockets[0].getsockname()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="session")
def client(artifacts: Path) -> Iterator[httpx.Client]:
    """A client of a server with the default settings and every tiny model."""
    with running(Settings(artifacts=artifacts)) as client:
        yield client


@pytest.fixture
def serve(artifacts: Path) -> Iterator[Serve]:
    """Starts a server with the settings given."""
    with ExitStack() as stack:
        yield lambda settings: stack.enter_context(running(settings))


def png(image: NDArray[np.uint8]) -> bytes:
    """An (H, W, 3) uint8 RGB image as a PNG file."""
    return cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()


def solid(red: int, green: int, blue: int, *, height: int = 20, width: int = 30) -> bytes:
    """A PNG of one colour."""
    return png(np.full((height, width, 3), (red, green, blue), np.uint8))


def half_white(*, height: int = 32, width: int = 48) -> NDArray[np.uint8]:
    """(H, W, 3) uint8: black, its right half white."""
    image = np.zeros((height, width, 3), np.uint8)
    image[:, width // 2 :] = 255
    return image
