"""Count what is no body: the head of a message, its trailers and the lines around its chunks."""

from dataclasses import dataclass

from serve.http.limits import Limits, Refusal

CHUNK_BYTES = 12  # of the two lines around a chunk, without an extension
LINE_BYTES = 32  # the end of a request line: it holds the protocol
FOREIGN = (b"RTSP/", b"ICE/")  # protocols that the parser takes for HTTP


@dataclass(slots=True)
class Overhead:
    """Count what a message has besides its body, as far as it is parsed."""

    size_bytes: int = 0
    fields: int = 0  # of the head and of the trailers
    chunks: int = 0
    body_bytes: int = 0  # of chunks
    has_begun: bool = False  # else these are empty lines before it
    line: bytes = b""  # the end of the request line, as far as it has arrived
    has_line: bool = False

    def add(self, data: bytes | memoryview) -> None:
        """Count bytes that are no body of a known length; keep the end of the request line."""
        self.size_bytes += len(data)
        if self.has_line:
            return
        text = self.line + data
        if not self.line:
            text = text.lstrip(b"\r\n")  # empty lines before it
        end = text.find(b"\n")
        self.has_line = end >= 0
        text = text[:end] if self.has_line else text
        self.line = text[-LINE_BYTES:]

    def refuse_protocol(self) -> Refusal | None:
        """Return why the request line is refused; None for HTTP."""
        protocol = self.line.rstrip().rpartition(b" ")[2]
        if not protocol.startswith(FOREIGN):
            return None
        name = protocol[:20].decode("ascii", "replace")
        return Refusal(400, f"protocol {name}; allowed: HTTP/1.0 and HTTP/1.1")

    def refuse(self, limits: Limits) -> Refusal | None:
        """Return why the message is refused; None within the limits."""
        if self.fields > limits.head_fields:
            return Refusal(431, f"{self.fields} header fields; allowed: {limits.head_fields}")
        # chunks of one byte cost six bytes and a call for each byte of body
        allowed = min(
            limits.head_bytes + CHUNK_BYTES * self.chunks,
            limits.chunk_overhead_bytes + self.body_bytes,
        )
        if self.size_bytes <= allowed:
            return None
        if not self.has_begun:
            return Refusal(400, f"{self.size_bytes} bytes of empty lines; allowed: none")
        if self.chunks:
            return Refusal(
                431,
                f"{self.size_bytes} bytes around {self.body_bytes} bytes of body in "
                f"{self.chunks} chunks; allowed: {allowed}; send larger chunks",
            )
        return Refusal(
            431, f"{self.size_bytes} bytes of header fields; allowed: {limits.head_bytes}"
        )
