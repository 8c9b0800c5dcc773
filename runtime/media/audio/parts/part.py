"""A part of a sound file."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a sound file, as a file of its own."""

    data: bytes
    claimed_s: float | None = None  # its length by the original header; None: that tells none
