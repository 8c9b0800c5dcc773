"""Hosts that do not answer cost a few seconds, once."""

import socket
import time
from collections.abc import Iterator

import pytest

from convert.weights.download import Store
from convert.weights.download.dial import dial
from tests.convert.support.downloads import refusal, source
from tests.convert.support.file_server import (
    Server,
)


@pytest.fixture
def mute() -> Iterator[int]:
    """A port on which packets are dropped: nobody accepts, and the queue is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port: int = listener.getsockname()[1]
        waiting = []
        for _ in range(4):
            waiting.append(socket.socket())
            waiting[-1].setblocking(False)
            waiting[-1].connect_ex(("127.0.0.1", port))
        time.sleep(0.05)
        yield port
        for each in waiting:
            each.close()


def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


def test_dial_is_bounded(mute: int) -> None:
    start = time.monotonic()
    with pytest.raises(TimeoutError):
        dial("127.0.0.1", mute, 0.3)
    assert 0.2 < time.monotonic() - start < 2
    with pytest.raises(ConnectionRefusedError):
        dial("127.0.0.1", closed_port(), 0.3)


def test_dial_takes_the_address_that_answers(
    server: Server, mute: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses = [
        (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port))
        for port in (mute, server.server_port)
    ]
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: addresses)
    with dial("two.example", 80, 5.0) as connected:
        assert connected.getpeername()[1] == server.server_port


def test_resolver_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(*_: object, **__: object) -> list[object]:
        time.sleep(1.5)
        return []

    monkeypatch.setattr("socket.getaddrinfo", hang)
    start = time.monotonic()
    with pytest.raises(TimeoutError):
        dial("slow.example", 80, 0.2)
    assert time.monotonic() - start < 1.0


def test_mute_host_costs_one_wait_in_a_run(mute: int, store: Store) -> None:
    assert store.network is not None
    store.network.connect_s = 0.8
    start = time.monotonic()
    texts = {refusal(store, source(f"http://127.0.0.1:{mute}/{name}")) for name in "abc"}
    assert time.monotonic() - start < 2.0
    assert texts == {"127.0.0.1 did not answer within 0.8 s"}


def test_mute_hosts_together_cost_one_wait(
    mute: int, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert store.network is not None
    store.network.connect_s = 0.8
    hosts = [f"{name}.example" for name in "abc"]
    addresses = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", mute))]
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: addresses)
    sources = [source(f"http://{host}/net.pth") for host in hosts]
    start = time.monotonic()
    store.probe(sources)
    for each in sources:
        refusal(store, each)
    assert time.monotonic() - start < 2.0
    assert sorted(store.network.unreachable) == hosts


def test_host_that_refuses_or_has_no_address(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    text = refusal(store, source(f"http://127.0.0.1:{closed_port()}/a"))
    assert text == "127.0.0.1 cannot be reached (Connection refused)"

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr("socket.getaddrinfo", unknown)
    text = refusal(store, source("http://nobody.example/a"))
    assert text == "nobody.example cannot be reached (Name or service not known)"
