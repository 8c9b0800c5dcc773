"""artifacts/routing.json on disk: read, written whole under a lock, and watched."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from runtime.errors import ArtifactError
from serve.routing.table import Routing, parse_routing, routing_text

ROUTING = "routing.json"
LOCK = Path(".work", "routing.lock")  # .work is no model
MOST_BYTES = 2**20

Stamp = tuple[int, int, int] | None  # of the file as it is; None: absent


@dataclass(frozen=True, slots=True)
class RoutingFile:
    """The routing.json of a directory of artifacts."""

    artifacts: Path

    @property
    def path(self) -> Path:
        """Return the path of the file."""
        return self.artifacts / ROUTING

    def stamp(self) -> Stamp:
        """Return what differs after each change of the file."""
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_ino, status.st_size

    def read(self) -> Routing:
        """Return the content; without a file no model has a route.

        Raises:
            ArtifactError: it cannot be read, is too long, or wrong.
        """
        try:
            with self.path.open("rb") as stream:
                data = stream.read(MOST_BYTES + 1)
        except FileNotFoundError:
            return Routing()
        except OSError as error:
            raise ArtifactError(f"{self.path} cannot be read: {error.strerror}") from error
        if len(data) > MOST_BYTES:
            raise ArtifactError(f"{self.path} has more than {MOST_BYTES} bytes; allowed: that many")
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            raise ArtifactError(f"{self.path} is not UTF-8: {error}") from error
        return parse_routing(text, str(self.path))

    def change(self, edit: Callable[[Routing], Routing]) -> Routing:
        """Read, edit and write the file; a second writer waits.

        Raises:
            ArtifactError: it is wrong or cannot be written, or the edit is refused.
        """
        try:
            with self._locked():
                routing = edit(self.read())
                self._write(routing)
        except OSError as error:
            raise ArtifactError(f"{self.path} cannot be written: {error.strerror}") from error
        return routing

    @contextmanager
    def _locked(self) -> Iterator[None]:
        path = self.artifacts / LOCK
        path.parent.mkdir(exist_ok=True)
        with path.open("w") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield

    def _write(self, routing: Routing) -> None:
        """Write a temporary file, flush it, and rename it: readers see the old text or the new."""
        temporary = self.artifacts / LOCK.parent / f"{ROUTING}.tmp"
        with temporary.open("w", encoding="utf-8") as stream:
            stream.write(routing_text(routing))
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, self.path)
