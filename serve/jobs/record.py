"""A job as it is stored: who sent it, and its answer once it has one."""

from dataclasses import dataclass
from typing import Self

from starlette.responses import Response

RECORD_BYTES = 2048  # of a job besides its body and answer, about
LEAST_BYTES = 1024  # that are counted for a body or answer: the message of an error finds room


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer that a client would have got, had it waited."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    @classmethod
    def of(cls, response: Response) -> Self:
        """Return the answer that a response sends."""
        return cls(response.status_code, tuple(response.raw_headers), bytes(response.body))

    def response(self) -> Response:
        """Return the response once more."""
        response = Response(self.body, self.status)
        response.raw_headers = list(self.headers)
        return response

    @property
    def size_bytes(self) -> int:
        """Return the bytes of the headers and the body."""
        return len(self.body) + sum(len(name) + len(value) for name, value in self.headers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One job."""

    id: str
    client: str  # the owner of its API key, or its address where there are none
    submitted_s: float  # since 1970
    body_bytes: int  # of its request
    key: str | None = None  # Idempotency-Key
    fingerprint: str | None = None  # of the request, where it has a key
    has_begun: bool = False  # whether it runs
    answer: Answer | None = None  # None: it waits or runs
    ended_s: float | None = None  # since 1970

    @property
    def size_bytes(self) -> int:
        """Return the bytes that the job takes: its body until it has ended, then its answer."""
        payload_bytes = self.answer.size_bytes if self.answer else self.body_bytes
        return RECORD_BYTES + max(LEAST_BYTES, payload_bytes)
