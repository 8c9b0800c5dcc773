"""Limits of a transfer: bytes, seconds, and whether anybody still waits for it."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from runtime.errors import CancelledError, UnavailableError

MIB = 1 << 20
CHUNK_BYTES = MIB  # that are read, hashed and written at once
MOST_BYTES = 64 << 30  # of all files of one artifact
MOST_FILES = 10_000
MANIFEST_BYTES = 4 * MIB  # of an OCI manifest, as the specification has it; of a manifest.json
ALL_MANIFESTS_BYTES = 64 * MIB  # of the manifest.json of all versions, where these alone are read


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that one transfer may take."""

    seconds: float = 3600.0
    idle_s: float = 30.0  # without a byte
    size_bytes: int = MOST_BYTES
    pauses_s: tuple[float, ...] = (0.1, 0.5, 2.0)  # between attempts in a row without progress
    is_cancelled: Callable[[], bool] = lambda: False
    begin_s: float = field(default_factory=time.monotonic)

    def check(self) -> None:
        """Check that the transfer may go on.

        Raises:
            CancelledError: nobody waits for it.
            UnavailableError: it takes too long.
        """
        if self.is_cancelled():
            raise CancelledError("the transfer was stopped")
        if time.monotonic() - self.begin_s > self.seconds:
            raise UnavailableError(
                f"the transfer is not done after {self.seconds:g} s; allowed: that many seconds. "
                "What has arrived is kept, and the next transfer goes on from there"
            )
