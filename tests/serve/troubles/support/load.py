"""Many clients at once, each asking for an answer that is known."""

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.serve.troubles.support.wire import HOST, Answer, Client, ask, post

_RUN = re.compile(r"\brun;dur=([\d.]+)")  # milliseconds
RAW = "Content-Type: application/octet-stream"


@dataclass(frozen=True, slots=True)
class Question:
    """A request, and the result of its answer."""

    request: bytes
    result: Any


def questions(port: int, path: str, bodies: Sequence[bytes]) -> list[Question]:
    """Ask an idle server for the right results, one body after the other."""
    catalogue = []
    for body in bodies:
        request = post(path, body, RAW)
        answer = ask(port, request)
        assert answer is not None
        assert answer.status == 200, answer.body
        catalogue.append(Question(request, result_of(answer)))
    return catalogue


def result_of(answer: Answer) -> Any:
    """Return what must be equal in two answers to one question."""
    if not answer.headers.get("content-type", "").startswith("application/json"):
        return answer.body
    content = answer.json()
    return content["outputs"][0]["data"] if "outputs" in content else content["result"]


@dataclass(slots=True)
class Tally:
    """Outcomes of many requests."""

    right: int = 0
    wrong: int = 0  # 200 with the answer to another question, or a broken one
    refused: int = 0  # 429 or 503 with Retry-After
    other: list[str] = field(default_factory=list)  # any other status
    lost: int = 0  # sent in full, then closed without an answer
    gave_up: int = 0  # the client left
    latencies_s: list[float] = field(default_factory=list)  # of the right ones
    runs_s: list[float] = field(default_factory=list)  # of those, as Server-Timing tells

    def add(self, question: Question, answer: Answer | None, seconds: float) -> None:
        """Count one answer; None if the connection ended before it was complete."""
        if answer is None:
            self.lost += 1
        elif answer.status == 200:
            right = result_of(answer) == question.result
            self.right += right
            self.wrong += not right
            self.latencies_s.append(seconds)
            timing = _RUN.search(answer.headers.get("server-timing", ""))
            self.runs_s += [float(timing[1]) / 1000] if timing else []
        elif answer.status in (429, 503) and answer.headers.get("retry-after", "").isdigit():
            self.refused += 1
        else:
            self.other.append(f"{answer.status} {answer.error[:60]}")

    def quantile_s(self, share: float) -> float:
        """Return the latency that `share` of the right answers do not exceed; 60 without any."""
        ordered = sorted(self.latencies_s)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 60.0


async def ask_once(port: int, question: Question, tally: Tally, *, patience_s: float) -> None:
    """Ask on a connection of its own; leave after `patience_s`."""
    begin = time.monotonic()
    try:
        async with asyncio.timeout(patience_s):
            reader, writer = await asyncio.open_connection(HOST, port, limit=2**26)
            try:
                writer.write(question.request)
                answer = await read_answer(reader)
            finally:
                writer.transport.abort()
    except TimeoutError:
        tally.gave_up += 1
    except OSError:
        tally.lost += 1
    else:
        tally.add(question, answer, time.monotonic() - begin)


async def read_answer(reader: asyncio.StreamReader) -> Answer | None:
    """Read one answer with Content-Length; None if the server closes before its end."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines if line)
        headers: Mapping[str, str] = {name.lower(): text.strip() for name, _, text in pairs}
        version, status, *_ = first.split(" ")
        # 204 and 304 have neither a body nor its length
        length = 0 if status in ("204", "304") else int(headers["content-length"])
        body = await reader.readexactly(length)
    except asyncio.IncompleteReadError:
        return None
    return Answer(int(status), version, headers, body)


async def arrivals(
    port: int, catalogue: Sequence[Question], *, rate: float, seconds: float, patience_s: float
) -> Tally:
    """Let clients arrive at a rate per second, whether the server keeps up or not."""
    tally, begin = Tally(), time.monotonic()
    async with asyncio.TaskGroup() as clients:
        for index in range(int(rate * seconds)):
            await asyncio.sleep(max(0.0, begin + index / rate - time.monotonic()))
            question = catalogue[index % len(catalogue)]
            clients.create_task(ask_once(port, question, tally, patience_s=patience_s))
    return tally


async def closed_loop(
    port: int, catalogue: Sequence[Question], *, clients: int, seconds: float
) -> Tally:
    """Let clients ask one question after the other, each on new connections."""
    tally, end = Tally(), time.monotonic() + seconds

    async def client(number: int) -> None:
        index = number
        while time.monotonic() < end:
            await ask_once(port, catalogue[index % len(catalogue)], tally, patience_s=60)
            index += clients

    async with asyncio.TaskGroup() as group:
        for number in range(clients):
            group.create_task(client(number))
    return tally


def keep_alive_client(port: int, catalogue: Sequence[Question], tally: Tally, end: float) -> None:
    """Ask on one connection until the server ends it, or until a time; then connect anew.

    A request that was sent in full while the server had not announced the end is accepted.
    """
    index = 0
    while time.monotonic() < end:
        try:
            client = Client(port)
        except OSError:
            return  # the server listens no more
        with client:
            goes_on = True
            while goes_on and time.monotonic() < end:
                question = catalogue[index % len(catalogue)]
                index += 1
                begin = time.monotonic()
                try:
                    client.send(question.request)
                    answer = client.answer()
                except OSError:
                    answer = None
                tally.add(question, answer, time.monotonic() - begin)
                says = "" if answer is None else answer.headers.get("connection", "")
                goes_on = answer is not None and says.lower() != "close"
