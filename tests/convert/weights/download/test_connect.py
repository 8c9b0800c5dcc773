"""Hosts that do not answer cost a few seconds, once."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from convert.weights.download import Store, http
from convert.weights.download.connect import connect
from tests.convert.support.downloads import fetch_error, source_at
from tests.convert.support.file_server import Server


@pytest.fixture
def mute_port() -> Iterator[int]:
    """Give a port that drops packets: nothing accepts, and its queue is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port: int = listener.getsockname()[1]
        queued = []
        for _ in range(4):
            queued.append(socket.socket())
            queued[-1].setblocking(False)
            queued[-1].connect_ex(("127.0.0.1", port))
        time.sleep(0.05)
        yield port
        for client in queued:
            client.close()


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


def test_connect_gives_up_before_the_kernel_does(mute_port: int) -> None:
    with pytest.raises(TimeoutError) as caught:
        connect("127.0.0.1", mute_port, 0.3)
    assert caught.value.errno is None  # ETIMEDOUT would be the kernel's, after two minutes


def test_refused_connection_is_an_error_at_once(closed_port: int) -> None:
    with pytest.raises(ConnectionRefusedError):
        connect("127.0.0.1", closed_port, 0.3)


def test_connect_takes_the_address_that_answers(
    server: Server, mute_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses = [
        (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port))
        for port in (mute_port, server.server_port)
    ]
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: addresses)
    with connect("two.example", 80, 5.0) as connection:
        assert connection.getpeername()[1] == server.server_port


def test_name_lookup_that_hangs_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    gave_up = threading.Event()

    def hang(*_: object, **__: object) -> list[object]:
        gave_up.wait(30)  # a `connect` that waited for it would find no address
        return []

    monkeypatch.setattr("socket.getaddrinfo", hang)
    with pytest.raises(TimeoutError):
        connect("slow.example", 80, 0.2)
    gave_up.set()


def test_mute_host_is_tried_once_in_a_run(
    mute_port: int, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert store.network is not None
    store.network.connect_s = 0.8
    hosts = []

    def count(host: str, port: int, timeout_s: float) -> socket.socket:
        hosts.append(host)
        return connect(host, port, timeout_s)

    monkeypatch.setattr(http, "connect", count)
    texts = {
        fetch_error(store, source_at(f"http://127.0.0.1:{mute_port}/{name}")) for name in "abc"
    }
    assert texts == {"127.0.0.1 did not answer within 0.8 s"}
    assert hosts == ["127.0.0.1"]


def test_probe_tries_all_hosts_at_the_same_time(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert store.network is not None
    hosts = [f"{name}.example" for name in "abc"]
    all_trying = threading.Barrier(len(hosts), timeout=30)

    def mute(host: str, port: int, timeout_s: float) -> socket.socket:
        all_trying.wait()  # breaks, and fails the test, if one is tried after another
        raise TimeoutError

    monkeypatch.setattr(http, "connect", mute)
    sources = [source_at(f"http://{host}/net.pth") for host in hosts]
    store.probe(sources)
    assert sorted(store.network.unreachable) == hosts
    for source in sources:
        assert fetch_error(store, source).endswith(".example did not answer within 5 s")


def test_host_that_refuses_or_has_no_address(
    store: Store, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = fetch_error(store, source_at(f"http://127.0.0.1:{closed_port}/a"))
    assert text == "127.0.0.1 cannot be reached (Connection refused)"

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr("socket.getaddrinfo", unknown)
    text = fetch_error(store, source_at("http://nobody.example/a"))
    assert text == "nobody.example cannot be reached (Name or service not known)"
