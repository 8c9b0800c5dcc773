"""artifacts/routing.json on disk: read, written whole under a lock, and watched."""

import fcntl
import os
import stat
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
            # a pipe would be waited for without end
            with open(self.path, "rb", opener=_open_at_once) as stream:
                if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                    raise ArtifactError(f"{self.path} is no file; allowed: a file of JSON")
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
        try:
            return parse_routing(text, str(self.path))
        except ArtifactError as error:  # JSON may hold half of a surrogate pair: it has no UTF-8
            message = str(error).encode(errors="backslashreplace").decode()
            raise ArtifactError(message) from error

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


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)
