"""Count what is no body: the head of a message, its trailers and the lines around its chunks."""

from dataclasses import dataclass

from serve.http.limits import Limits, Refusal

CHUNK_BYTES = 12  # of the two lines around a chunk, without an extension


@dataclass(slots=True)
class Overhead:
    """Count what a message has besides its body, as far as it is parsed."""

    size_bytes: int = 0
    fields: int = 0  # of the head and of the trailers
    chunks: int = 0
    has_begun: bool = False  # else these are empty lines before it

    def refuse(self, limits: Limits) -> Refusal | None:
        """Return why the message is refused; None within the limits."""
        if self.fields > limits.head_fields:
            return Refusal(431, f"{self.fields} header fields; allowed: {limits.head_fields}")
        if self.size_bytes <= limits.head_bytes + CHUNK_BYTES * self.chunks:
            return None
        if not self.has_begun:
            return Refusal(400, f"{self.size_bytes} bytes of empty lines; allowed: none")
        return Refusal(
            431, f"{self.size_bytes} bytes of header fields; allowed: {limits.head_bytes}"
        )
