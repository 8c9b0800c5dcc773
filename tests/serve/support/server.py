"""A real server on a loopback port, in a thread of the test, with httpx as its client."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import uvicorn

from serve.app import create_app
from serve.http.registry import Connections
from serve.http.server import limits_of, protocol_of
from serve.repository.load_version import Load
from serve.repository.models import ModelRepository
from serve.repository.opening import open_repository
from serve.repository.status import ModelState
from serve.settings import Settings


@contextmanager
def running(settings: Settings, load: Load | None = None) -> Iterator[httpx.Client]:
    """Serve `settings.artifacts` until the block ends; each model is then loaded or refused."""
    repository = open_repository(settings, load=load)
    connections = Connections(limits_of(settings))
    config = uvicorn.Config(
        create_app(settings, repository, connections=connections),
        port=0,
        http=protocol_of(connections),
        ws="none",
        lifespan="on",
        log_config=None,
        timeout_graceful_shutdown=5,  # a test that fails may leave a connection open
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started or _is_loading(repository):
            assert thread.is_alive()
            time.sleep(0.005)
        port = server.servers[0].sockets[0].getsockname()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()


def _is_loading(repository: ModelRepository) -> bool:
    return any(repository.status(name).state is ModelState.LOADING for name in repository.ids)
