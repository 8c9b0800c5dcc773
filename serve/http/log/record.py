"""The line of a request, as text or JSON."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

import orjson

from serve.http.log.trace import Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRecord:
    """A request that ended. Nothing in it is a client's text.

    `request_id` may come from the client; it has at most 64 letters, digits and `. _ : -`.
    """

    time_s: float  # since 1970, of the end
    request_id: str
    method: str
    route: str  # its template; "unknown" for a path that is none
    status: int | None  # None: the client left before there was an answer
    bytes_in: int
    bytes_out: int
    total_ms: float
    stages_ms: Mapping[str, float]  # receive, queue, decode, preprocess, run, postprocess, write
    trace: Trace | None = None  # that the client began
    reason: str = ""  # why the request was refused, in one word
    model: str = ""
    version: str = ""
    left: bool = False  # the client left before the end of the answer

    def text(self) -> str:
        """Return the line for people."""
        words = [
            timestamp(self.time_s),
            self.method,
            self.route,
            str(self.status or "-"),
            f"{self.total_ms:.1f}ms",
            *(f"{name}={value:.1f}ms" for name, value in self.stages_ms.items()),
            f"in={self.bytes_in}",
            f"out={self.bytes_out}",
            *([f"model={self.model}/{self.version}".rstrip("/")] if self.model else []),
            *([f"reason={self.reason}"] if self.reason else []),
            f"id={self.request_id}",
            *([f"trace={self.trace.id}"] if self.trace else []),
            *(["left"] if self.left else []),
        ]
        return " ".join(words)

    def json(self) -> str:
        """Return the line for programs."""
        content = {
            "time": timestamp(self.time_s),
            "request_id": self.request_id,
            "trace_id": self.trace.id if self.trace else None,
            "parent_id": self.trace.parent if self.trace else None,
            "span_id": self.trace.span if self.trace else None,
            "method": self.method,
            "route": self.route,
            "status": self.status,
            "reason": self.reason or None,
            "model": self.model or None,
            "version": self.version or None,
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
            "ms": round(self.total_ms, 3),
            "stages_ms": dict(self.stages_ms),
            "left": self.left,
        }
        return orjson.dumps(content).decode()


def timestamp(time_s: float) -> str:
    """Return a time in UTC with milliseconds: 2026-11-29T22:06:22.123Z."""
    seconds = int(time_s)
    return f"{_second_text(seconds)}.{int(1000 * (time_s - seconds)):03}Z"


@lru_cache(maxsize=2)
def _second_text(seconds: int) -> str:
    """Return a second in UTC, without the Z; many lines of the log have the same one."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"


def message_json(time_s: float, level: str, message: str) -> str:
    """Return a line for programs that is about no request."""
    content = {"time": timestamp(time_s), "level": level, "message": message}
    return orjson.dumps(content).decode()
