"""Requests that are sent when their time comes, whether or not others have an answer."""

import asyncio
import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from serve.commands.simulation.arrivals import Arrival

HEAD_END = b"\r\n\r\n"
TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Answered:
    """A request as it really was."""

    sent: Arrival  # when it was sent, and the seconds that it had a slot
    latency_s: float
    status: int


def send_all(url: str, path: str, arrivals: Sequence[Arrival]) -> list[Answered]:
    """Send requests to a stub server and return what came of each, in the order of arrivals."""
    return asyncio.run(_send_all(url, path, arrivals))


async def _send_all(url: str, path: str, arrivals: Sequence[Arrival]) -> list[Answered]:
    client = _Client(url, path)
    start_s = time.perf_counter()
    tasks = []
    for arrival in arrivals:
        await asyncio.sleep(max(0.0, start_s + arrival.time_s - time.perf_counter()))
        tasks.append(asyncio.create_task(client.send(arrival, start_s)))
    async with asyncio.timeout(TIMEOUT_S):
        answers = await asyncio.gather(*tasks)
    client.close()
    return answers


def _slot_s(timing: str) -> float:
    """Return the seconds of all stages but the queue."""
    stages = dict(re.findall(r"(\w+);dur=([\d.]+)", timing))
    return sum(float(text) for name, text in stages.items() if name != "queue") / 1000


class _Client:
    def __init__(self, url: str, path: str) -> None:
        self._parts, self._path = urlsplit(url), path
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def send(self, arrival: Arrival, start_s: float) -> Answered:
        host, port = self._parts.hostname, self._parts.port
        connection = self._idle.pop() if self._idle else await asyncio.open_connection(host, port)
        reader, writer = connection
        sent_s = time.perf_counter()
        writer.write(self._request(arrival))
        head = await reader.readuntil(HEAD_END)
        first, *lines = head.decode().lower().split("\r\n")
        fields = dict(line.split(": ", 1) for line in lines if line)
        await reader.readexactly(int(fields["content-length"]))
        latency_s = time.perf_counter() - sent_s
        self._idle.append(connection)
        status = int(first.split()[1])
        took_s = _slot_s(fields["server-timing"]) if status == 200 else arrival.service_s
        return Answered(Arrival(sent_s - start_s, arrival.model, took_s), latency_s, status)

    def close(self) -> None:
        for _, writer in self._idle:
            writer.close()

    def _request(self, arrival: Arrival) -> bytes:
        inputs = [
            {"name": name, "datatype": datatype, "shape": [1, 2], "data": [value, value]}
            for name, datatype, value in (
                ("values", "FP32", arrival.service_s),
                ("counts", "INT64", 1),
            )
        ]
        body = json.dumps({"inputs": inputs, "outputs": [{"name": "quotients"}]})
        head = f"POST {self._path} HTTP/1.1\r\nHost: stub\r\nContent-Type: application/json\r\n"
        return f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()
