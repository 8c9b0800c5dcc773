"""Clients that do not read their answers, or read them slowly."""

import time
from contextlib import ExitStack

from tests.serve.troubles.conftest import Starter
from tests.serve.troubles.support import kernel, memory
from tests.serve.troubles.support.growth import trouble
from tests.serve.troubles.support.scale import KB, MB, Scale
from tests.serve.troubles.support.table import Figures
from tests.serve.troubles.support.wire import Client, ask, post

TIMEOUT_S = 3
HELD_MB = 48  # more than before, once the clients are gone
KERNEL_BYTES = 512 * KB  # that the kernel keeps for one client
ROW_BYTES = 16 * 16 * 3  # an image of background_u2netp; its alpha takes 1024 bytes, 4/3 of it
RAW = "Inference-Header-Content-Length: 0"
ROUTE = "/v2/models/background_u2netp/infer"


def large_request(size: int) -> bytes:
    """Return a request of `size` bytes, whose answer is 4/3 of that."""
    return post(ROUTE, bytes(size // ROW_BYTES * ROW_BYTES), RAW)


def test_clients_that_never_read(start: Starter, scale: Scale, figures: Figures) -> None:
    server = start(settings={"TIMEOUT": str(TIMEOUT_S)})
    request = large_request(scale.body_bytes)
    with trouble(server, figures) as measured, ExitStack() as stack:
        clients = [
            stack.enter_context(Client(server.port, receive_bytes=4096))
            for _ in range(scale.answer_readers)
        ]
        for client in clients:
            client.send(request)
        time.sleep(TIMEOUT_S / 2)
        in_kernel = kernel.waiting_to_be_sent(server.port)
        end = time.monotonic() + 3 * TIMEOUT_S
        while time.monotonic() < end and kernel.waiting_to_be_sent(server.port) > 0:
            time.sleep(0.1)
        unfinished = kernel.waiting_to_be_sent(server.port)
    held_mb = memory.rss_mb(server.pid) - measured.before_mb
    figures.equal("connections kept for clients that do not read", unfinished, 0)
    per_client = in_kernel / scale.answer_readers / KB
    figures.at_most("kept in the kernel for one client", per_client, KERNEL_BYTES / KB, "kB")
    figures.at_most("memory held when they are gone", held_mb, HELD_MB, "MB")


def test_a_slow_reader_gets_all(start: Starter, scale: Scale, figures: Figures) -> None:
    server = start(settings={"TIMEOUT": str(TIMEOUT_S)})
    size = 3 * MB
    pause_s = 0.2 if scale.soak else 0.05  # 64 kB each: 330 kB/s, or 1.3 MB/s
    with trouble(server, figures), Client(server.port, receive_bytes=32768) as client:
        client.send(large_request(size))
        received = 0
        while data := client.socket.recv(65536):
            received += len(data)
            if received >= size // ROW_BYTES * 1032:
                break
            time.sleep(pause_s * len(data) / 65536)
    expected = size // ROW_BYTES * 1032  # 16 x 16 floats and a range of two
    figures.at_least("share of the answer", min(1.0, received / expected), 1.0)


def test_json_of_large_tensors_is_refused(start: Starter, scale: Scale, figures: Figures) -> None:
    """JSON makes 6 characters or more of a byte; the sentence says how to ask for binary."""
    server = start()
    size = 10 * MB // ROW_BYTES * ROW_BYTES
    rows = size // ROW_BYTES
    header = (
        b'{"inputs":[{"name":"image","datatype":"UINT8","shape":[%d,16,16,3],"parameters":'
        b'{"binary_data_size":%d}}]}' % (rows, size)
    )
    pixels = bytes(range(1, 256)) * (size // 255 + 1)
    with trouble(server, figures, growth_mb=96):
        answer = ask(
            server.port,
            post(ROUTE, header + pixels[:size], f"Inference-Header-Content-Length: {len(header)}"),
        )
    assert answer is not None
    figures.one_of("status", answer.status, (400, 413))
    figures.equal("says how to ask for binary", "binary" in answer.error, True)
