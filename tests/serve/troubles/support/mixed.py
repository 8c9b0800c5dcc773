"""Clients of all kinds at once: those that ask rightly, wrongly, slowly, and those that leave."""

import asyncio
import random
import socket
import struct
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace

from tests.serve.troubles.support.catalogue import (
    RARE,
    Catalogue,
    Exchange,
    Key,
    is_close,
    row_of,
    with_fields,
)
from tests.serve.troubles.support.load import read_answer
from tests.serve.troubles.support.wire import HOST, Answer, head

KINDS = ("valid", "invalid", "aborted", "slow", "job")
SHARES = (64.5, 20.0, 10.0, 5.0, 0.5)  # of the kinds, in percent
RUN_SHARE = 0.04  # of valid, aborted and slow requests that a model runs for
CLIENTS = 200  # at once
PATIENCE_S = 60.0  # of a client
IDLE_S = 20.0  # that a connection waits in the pool; the server keeps it for longer
FAULTS = 40  # sentences that are kept
PIECES = 8  # of a slow request
SLOW_S = 2.0  # of a slow request at most
JOB_S = 60.0  # until a job ends
AHEAD_BYTES = 2**22
SLOW_READ_BYTES = 8192  # more than the head of an answer; the rest stays in the kernel
JOB_PAUSE_S = 0.05
LEAVES_JOB = 0.2  # share of jobs that are deleted at once
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time
SENT = "slipway-mixed-"  # the begin of the request ids


@dataclass(slots=True)
class Outcomes:
    """Count what became of the requests."""

    requests: Counter[str] = field(default_factory=Counter)  # by kind
    keys: Counter[Key] = field(default_factory=Counter)  # right answers to valid ones
    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)  # by operation
    right: Counter[str] = field(default_factory=Counter)  # by kind
    refused: Counter[Key] = field(default_factory=Counter)  # 429 or 503 with Retry-After
    lost: int = 0  # sent in full, then closed without an answer
    faults: list[str] = field(default_factory=list)
    fault_count: int = 0
    latencies_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def blame(self, sentence: str) -> None:
        """Count a fault; the first ones are kept."""
        self.fault_count += 1
        if len(self.faults) < FAULTS:
            self.faults.append(sentence)

    def judge(self, kind: str, exchange: Exchange, identity: str, answer: Answer | None) -> bool:
        """Count an answer; None if the connection ended before it was complete.

        Returns:
            Whether it is the right one.
        """
        if answer is None:
            self.lost += 1
            self.blame(f"{kind} {' '.join(exchange.key)}: no answer to {exchange.request[:60]!r}")
            return False
        self.statuses[" ".join(exchange.key), answer.status] += 1
        if answer.headers.get("x-request-id") != identity and kind != "invalid":
            self.blame(f"{kind} {' '.join(exchange.key)}: the answer to another request")
            return False
        if answer.status not in exchange.statuses and _is_stated(answer):
            self.refused[exchange.key] += 1
            return False
        fault = exchange.fault(answer)
        if fault:
            self.blame(f"{kind} {fault}")
            return False
        self.right[kind] += 1
        if kind != "invalid":
            self.keys[exchange.key] += 1
        return True


def _is_stated(answer: Answer) -> bool:
    """Return whether the server says that it has no room now, why, and when to come again."""
    retry = answer.headers.get("retry-after", "").isdigit()
    return answer.status in (429, 503) and retry and bool(answer.error)


class Connections:
    """Connections that are used again."""

    def __init__(self, port: int) -> None:
        """Open none yet."""
        self._port = port
        self._idle: list[tuple[float, asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(self, request: bytes, *, again: bool) -> Answer | None:
        """Send a request and return its answer.

        Args:
            request: to be sent at once.
            again: use a connection of the pool, and put it back.
        """
        reader, writer = await self._take() if again else await self.open()
        answer = None
        try:
            writer.write(request)
            answer = await read_answer(reader)
        except ConnectionError:
            pass
        finally:
            if again and answer is not None and answer.headers.get("connection") != "close":
                self._idle.append((time.monotonic(), reader, writer))
            else:
                writer.transport.abort()
        return answer

    async def open(
        self, ahead_bytes: int = AHEAD_BYTES
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a connection; twice `ahead_bytes` are read before somebody asks for them."""
        return await asyncio.open_connection(HOST, self._port, limit=ahead_bytes)

    async def _take(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while self._idle:
            since, reader, writer = self._idle.pop()
            if time.monotonic() - since < IDLE_S and not reader.at_eof():
                return reader, writer
            writer.transport.abort()
        return await self.open()

    def close(self) -> None:
        """Close all idle connections."""
        for _, _, writer in self._idle:
            writer.transport.abort()


class Mixture:
    """Requests of all kinds in random order."""

    def __init__(self, port: int, catalogue: Catalogue, *, seed: int = 0) -> None:
        """Send none yet.

        Args:
            port: of the server.
            catalogue: of the requests.
            seed: of what is drawn.
        """
        self.outcomes = Outcomes()
        self._catalogue, self._random = catalogue, random.Random(seed)
        self._connections = Connections(port)
        self._keys = list(catalogue.plain)
        self._weights = [RARE.get(key, 1.0) for key in self._keys]
        # each valid request once, then whichever is drawn
        self._first = [one for entries in catalogue.plain.values() for one in entries]
        self._first += {(one.key, one.model): one for one in catalogue.runs}.values()
        self._random.shuffle(self._first)
        self._first_jobs = list({one.key: one for one in catalogue.jobs}.values())

    async def run(self, count: int, rate: float) -> None:
        """Let requests arrive at random times, `rate` per second, until `count` were sent.

        A machine that does other work may be slower: then they wait for clients that left.
        """
        begin, due, places = time.monotonic(), 0.0, asyncio.Semaphore(CLIENTS)
        async with asyncio.TaskGroup() as clients:
            while self.outcomes.requests.total() < count:
                due += self._random.expovariate(rate)
                await asyncio.sleep(max(0.0, begin + due - time.monotonic()))
                await places.acquire()
                (kind,) = self._random.choices(KINDS, SHARES)
                client = clients.create_task(self._client(kind))
                client.add_done_callback(lambda _: places.release())
        self._connections.close()

    async def _client(self, kind: str) -> None:
        """Be one client; what breaks in it is a fault, and ends no other."""
        exchange = self._draw(kind)
        identity = f"{SENT}{self.outcomes.requests.total()}"
        self.outcomes.requests[kind] += 1
        try:
            async with asyncio.timeout(PATIENCE_S):
                if kind == "aborted":
                    await self._abort(exchange)
                elif kind == "slow":
                    await self._ask_slowly(exchange, identity)
                elif kind == "job":
                    await self._ask_for_job(exchange, identity)
                else:
                    await self._ask(kind, exchange, identity)
        except (OSError, TimeoutError) as error:
            self.outcomes.blame(f"{kind} {' '.join(exchange.key)}: {error!r}")

    def _draw(self, kind: str) -> Exchange:
        if kind == "invalid":
            return self._random.choice(self._catalogue.invalid)
        if kind == "job" and self._first_jobs:
            return self._first_jobs.pop()
        if kind == "job":
            return self._random.choice(self._catalogue.jobs)
        if kind == "valid" and self._first:
            return self._first.pop()
        if self._random.random() < RUN_SHARE:
            return self._random.choice(self._catalogue.runs)
        (key,) = self._random.choices(self._keys, self._weights)
        return self._random.choice(self._catalogue.plain[key])

    async def _ask(self, kind: str, exchange: Exchange, identity: str) -> bool:
        begin = time.monotonic()
        request = with_fields(exchange.request, f"X-Request-Id: {identity}")
        again = kind == "valid" and self._random.random() < 0.7
        answer = await self._connections.ask(request, again=again)
        right = self.outcomes.judge(kind, exchange, identity, answer)
        if (
            right
            and exchange.model
            and answer is not None
            and answer.headers.get("x-cache") != "hit"
        ):
            name = f"{exchange.key[1]} {exchange.model}"
            self.outcomes.latencies_s[name].append(time.monotonic() - begin)
        return right

    async def _abort(self, exchange: Exchange) -> None:
        """Close, in order or by a reset, somewhere in the request, the wait or the answer."""
        reader, writer = await self._connections.open()
        try:
            size = len(exchange.request)
            whole = self._random.random() < 0.5
            writer.write(exchange.request[: size if whole else self._random.randrange(size)])
            if whole and self._random.random() < 0.5:
                async with asyncio.timeout(5):
                    await reader.read(self._random.randrange(1, 4096))
            else:
                await asyncio.sleep(self._random.random() * 0.05)
        except (OSError, TimeoutError):
            pass  # the server may close first
        finally:
            if self._random.random() < 0.5:
                connection = writer.get_extra_info("socket")
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            writer.transport.abort()

    async def _ask_slowly(self, exchange: Exchange, identity: str) -> None:
        """Send the request in pieces with pauses, and read the answer late."""
        request = with_fields(exchange.request, f"X-Request-Id: {identity}")
        cuts = sorted(self._random.randrange(len(request)) for _ in range(PIECES - 1))
        pause_s = self._random.random() * SLOW_S / (2 * PIECES)
        reader, writer = await self._connections.open(SLOW_READ_BYTES)
        try:
            for begin, end in zip([0, *cuts], [*cuts, len(request)], strict=True):
                writer.write(request[begin:end])
                await asyncio.sleep(pause_s)
            await asyncio.sleep(SLOW_S / 2 * self._random.random())  # the answer waits
            answer = await read_answer(reader)
        except ConnectionError:
            answer = None
        finally:
            writer.transport.abort()
        self.outcomes.judge("slow", exchange, identity, answer)

    async def _ask_for_job(self, exchange: Exchange, identity: str) -> None:
        """Have a job accepted, ask how far it is, fetch its answer and, mostly, delete it."""
        request = with_fields(exchange.request, f"X-Request-Id: {identity}")
        answer = await self._connections.ask(request, again=True)
        if not self.outcomes.judge("job", replace(exchange, result=None), identity, answer):
            return
        assert answer is not None
        path, end = answer.headers["location"], time.monotonic() + JOB_S
        if self._random.random() < LEAVES_JOB:
            await self._follow("DELETE", path, "", 204)
            return
        state: Answer | None = answer
        while state is not None and time.monotonic() < end:
            await asyncio.sleep(JOB_PAUSE_S)
            state = await self._follow("GET", path, "", 200)
            if state is not None and state.json()["state"] not in ("queued", "running"):
                break
        result = await self._follow("GET", path, "/result", 200)
        if result is not None and not is_close(row_of(exchange.key, result), exchange.result):
            self.outcomes.blame(f"job {' '.join(exchange.key)}: another answer than its own")
        await self._follow("DELETE", path, "", 204)

    async def _follow(self, method: str, path: str, part: str, status: int) -> Answer | None:
        """Ask about a job; return the answer if it is the right one."""
        exchange = Exchange(
            (method, f"/v1/jobs/{{job}}{part}"), head(method, path + part), frozenset((status,))
        )
        identity = f"{SENT}{self.outcomes.requests.total()}"
        self.outcomes.requests["job"] += 1
        request = with_fields(exchange.request, f"X-Request-Id: {identity}")
        answer = await self._connections.ask(request, again=True)
        return answer if self.outcomes.judge("job", exchange, identity, answer) else None
