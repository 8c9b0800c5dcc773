"""Send one request over and over from several clients: the load of `benchmarks.serving`.

    python -m benchmarks.serving.load < JOB

JOB is a `Job` as JSON. The clients keep their connections, and each sends a request as soon as it
has the answer to the one before. They read as little of HTTP as they need: the load generator
shares the CPUs with the server that it measures.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from benchmarks.children import PROJECT
from benchmarks.errors import BenchmarkError

HEAD_END = b"\r\n\r\n"
GRACE_S = 60  # for answers that are on the way when the time is over


@dataclass(frozen=True, slots=True)
class Job:
    """A load: what is sent, where to, by how many clients, for how long."""

    url: str  # http://host:port/path
    file: str  # path of the body
    clients: int
    seconds: float
    headers: Mapping[str, str] = field(default_factory=dict)
    prefix: str = ""  # of the body, before the file


@dataclass(frozen=True, slots=True)
class Load:
    """The answers of a load. Latencies are in ms."""

    requests: int
    wall_s: float
    p50_ms: float
    p95_ms: float
    p99_ms: float

    @property
    def per_s(self) -> float:
        """Return the answers per second."""
        return self.requests / self.wall_s


def run_load(job: Job) -> Load:
    """Run a load in a process of its own.

    Raises:
        BenchmarkError: an answer was not 200 or did not come, or the server closed a connection.
    """
    limit_s = job.seconds + GRACE_S
    try:
        process = subprocess.run(
            [sys.executable, "-m", "benchmarks.serving.load"],
            cwd=PROJECT,
            input=json.dumps(asdict(job)),
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise BenchmarkError(f"the load on {job.url} took longer than {limit_s:g} s") from error
    if process.returncode != 0:
        raise BenchmarkError(f"the load on {job.url} failed: {process.stderr.strip()[-500:]}")
    return Load(**json.loads(process.stdout))


def build_request(job: Job) -> bytes:
    """Return the bytes of the request."""
    parts = urlsplit(job.url)
    body = job.prefix.encode() + Path(job.file).read_bytes()
    headers = {
        "Host": parts.netloc,
        "Content-Type": "application/octet-stream",
        "Content-Length": str(len(body)),
        **job.headers,
    }
    lines = [f"POST {parts.path} HTTP/1.1", *(f"{name}: {headers[name]}" for name in headers)]
    return "\r\n".join(lines).encode() + HEAD_END + body


def body_size(head: bytes) -> int:
    """Return the Content-Length of an answer.

    Raises:
        BenchmarkError: the status is not 200, or the answer has no Content-Length.
    """
    lines = head.decode("latin-1").split("\r\n")
    fields = dict(line.lower().split(":", 1) for line in lines[1:] if ":" in line)
    if " 200" not in lines[0] or "content-length" not in fields:
        raise BenchmarkError(f"answered {lines[0]!r}; expected 200 with a Content-Length")
    return int(fields["content-length"])


async def send_all(job: Job) -> Load:
    """Run the clients in this process."""
    request = build_request(job)
    start = time.perf_counter()
    end = start + job.seconds
    clients = (_send(job.url, request, end) for _ in range(job.clients))
    latencies = [one for client in await asyncio.gather(*clients) for one in client]
    wall_s = time.perf_counter() - start
    if not latencies:
        raise BenchmarkError(f"{job.url} answered nothing within {job.seconds:g} s")
    p50, p95, p99 = (float(ms) for ms in np.percentile(latencies, (50, 95, 99)) * 1000)
    return Load(len(latencies), wall_s, p50, p95, p99)


async def _send(url: str, request: bytes, end: float) -> list[float]:
    """Send requests until the time `end` and return their latencies in seconds."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    latencies = []
    while (begin := time.perf_counter()) < end:
        writer.write(request)
        head = await reader.readuntil(HEAD_END)
        await reader.readexactly(body_size(head))
        latencies.append(time.perf_counter() - begin)
    writer.close()
    return latencies


if __name__ == "__main__":
    print(json.dumps(asdict(asyncio.run(send_all(Job(**json.load(sys.stdin)))))))
