"""Servers that share answers in a real Redis, which is then killed, stalled, full or wrong."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import httpx
import numpy as np
import pytest

from serve.settings import Settings
from tests.serve.support.server import running
from tests.support.artifacts import EMBEDDING, write_artifact
from tests.support.images import png
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer, answering, redis_server

EMBED = "/v1/models/image_embedding_mobilenetv2"
PICTURES = [
    png(np.random.default_rng(seed).integers(0, 256, (16, 16, 3), np.uint8)) for seed in range(40)
]
ANSWERS, TROUBLE_S = 20, 0.5  # of the load in each trouble, at least
TIMEOUT_S = 60  # a broken server fails the test after this instead of hanging it


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis"), free_port()) as server:
        yield server


@pytest.fixture(scope="module")
def instances(
    tmp_path_factory: pytest.TempPathFactory, redis: RedisServer
) -> Iterator[list[httpx.Client]]:
    root = tmp_path_factory.mktemp("artifacts")
    write_artifact(root, EMBEDDING)
    # without room of its own, a server asks Redis for each request
    settings = Settings(artifacts=root, redis_url=redis.url, cache_mib=0)
    with ExitStack() as stack:
        yield [stack.enter_context(running(settings)) for _ in range(2)]


def test_instances_share_answers(instances: list[httpx.Client], redis: RedisServer) -> None:
    first, second = instances
    for picture in PICTURES:  # a busy machine may let a call of a request be late
        answer = first.post(EMBED, content=picture)
        again = second.post(EMBED, content=picture)
        assert again.content == answer.content
        if again.headers["x-cache"] == "hit":
            break
    assert (answer.headers["x-cache"], again.headers["x-cache"]) == ("miss", "hit")
    assert "server-timing" not in again.headers  # not even decoded
    assert redis.keys() >= 1


@dataclass
class Load:
    """Count the answers under load."""

    expected: dict[int, bytes]
    statuses: Counter[int] = field(default_factory=Counter)
    wrong: int = 0
    lost: int = 0

    def ask(self, client: httpx.Client, index: int) -> None:
        try:
            response = client.post(EMBED, content=PICTURES[index % len(PICTURES)])
        except httpx.HTTPError:
            self.lost += 1
            return
        self.statuses[response.status_code] += 1
        self.wrong += response.content != self.expected[index % len(PICTURES)]

    def go_on(self) -> None:
        """Wait for more answers, for some time."""
        end_s, enough = time.monotonic() + TIMEOUT_S, self.statuses[200] + ANSWERS
        time.sleep(TROUBLE_S)
        while self.statuses[200] < enough:
            assert time.monotonic() < end_s, self.statuses
            time.sleep(0.01)


@contextmanager
def load_on(client: httpx.Client) -> Iterator[Load]:
    """Ask for pictures until the block ends."""
    headers = {"Cache-Control": "no-store"}
    load = Load(
        {i: client.post(EMBED, content=p, headers=headers).content for i, p in enumerate(PICTURES)}
    )
    end = threading.Event()

    def work(first: int) -> None:
        with httpx.Client(base_url=client.base_url, timeout=60) as own:
            index = first
            while not end.is_set():
                load.ask(own, index)
                index += 3

    threads = [threading.Thread(target=work, args=(first,)) for first in range(3)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        end.set()
        for thread in threads:
            thread.join()


def test_no_trouble_of_redis_costs_a_request(
    instances: list[httpx.Client], redis: RedisServer
) -> None:
    with load_on(instances[0]) as load:
        load.go_on()
        redis.command("CONFIG", "SET", "maxmemory", "1")
        load.go_on()
        redis.command("CONFIG", "SET", "maxmemory", "0")
        redis.stall()
        load.go_on()
        redis.kill()
        load.go_on()
        with answering(redis.port, b"\x00garbage\r\n" * 100):
            load.go_on()
        redis.start()
        load.go_on()
    assert (load.lost, load.wrong, set(load.statuses)) == (0, 0, {200})
