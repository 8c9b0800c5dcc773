"""The smallest server of the same answers: no checks, no limits, no routes. What HTTP costs here.

python -m benchmarks.peers.adapters.bare_http_app PORT THREADS
"""

import asyncio
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httptools

from benchmarks.peers.adapters.mobilenet import MobileNet
from runtime.engine.allocator import tune_allocator

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"


class Connection(asyncio.Protocol):
    """One connection: parsed by httptools, answered in a thread."""

    def __init__(self, model: MobileNet, pool: ThreadPoolExecutor) -> None:
        """Wait for requests, which follow each other."""
        self.model, self.pool, self.body = model, pool, list[bytes]()
        self.on_body = self.body.append
        self.parser = httptools.HttpRequestParser(self)

    def connection_made(self, transport: Any) -> None:
        """Keep the way back."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Parse what has arrived."""
        self.parser.feed_data(data)

    def on_message_complete(self) -> None:
        """Answer the request."""
        form = b"".join(self.body)
        self.body.clear()
        running = asyncio.get_running_loop().run_in_executor(self.pool, self.answer, form)
        running.add_done_callback(lambda done: self.transport.write(done.result()))

    def answer(self, form: bytes) -> bytes:
        """Return the embedding of the only file of a form."""
        body = self.model.answer(form.partition(b"\r\n\r\n")[2].rpartition(b"\r\n--")[0])
        return HEAD % (len(body), body)


async def serve(port: int, threads: int) -> None:
    """Serve until the process ends."""
    model, pool = MobileNet(os.environ["PEER_MODEL"]), ThreadPoolExecutor(threads)
    start = asyncio.get_running_loop().create_server
    await (await start(lambda: Connection(model, pool), "127.0.0.1", port)).serve_forever()


if __name__ == "__main__":
    tune_allocator()
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2])))
