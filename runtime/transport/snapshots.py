"""Snapshots of pulled artifacts: a directory for each manifest, in a cache of bounded size.

<cache>/<digest>/<model>/<version>/...   a snapshot; .pulled.json in it is written last
<cache>/references/<hash>.json           which digest a tag had when it was last asked for
"""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from runtime.errors import ArtifactError, UnavailableError
from runtime.transport.contents import Item
from runtime.transport.limits import MIB
from runtime.transport.reference import Reference
from runtime.transport.registry import Registry
from runtime.transport.stage import Report
from runtime.transport.transfer import pull, resolve

DONE = ".pulled.json"
_HEX = 64


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A directory of artifacts that stays as it is while this process holds its lock."""

    directory: Path
    digest: str
    descriptor: int  # of the lock; forked processes share it

    def release(self) -> None:
        """Let others remove the directory."""
        os.close(self.descriptor)


@dataclass(frozen=True, slots=True)
class Cache:
    """The directory of the snapshots."""

    directory: Path
    size_bytes: int  # that all snapshots may take

    def obtain(self, registry: Registry, report: Report) -> Snapshot:
        """Return the snapshot of a reference: pulled, or from the cache.

        A digest that is in the cache is not asked for. A tag is; if the registry is not reached,
        the digest that it had before is taken.

        Args:
            registry: of the reference.
            report: takes lines of the log.

        Raises:
            ArtifactError: the artifact is refused, is too large, or cannot be written.
            UnavailableError: the registry is not reached, and the cache does not hold the artifact.
        """
        reference = registry.reference
        if (snapshot := self._hold(reference.digest)) is not None:
            report(f"{reference} is in {self.directory}")
            return snapshot
        report(f"pulling {reference}")
        try:
            digest, items = resolve(registry)
            if (snapshot := self._hold(digest)) is None:
                snapshot = self._pull(registry, digest, items, report)
            self._note(reference, digest)
        except UnavailableError as error:
            if (snapshot := self._hold(self._noted(reference))) is None:
                raise
            report(f"{error}; serving {snapshot.digest} from {self.directory}")
        else:
            report(f"pulled {reference.at(digest)}")
        return snapshot

    def find(self, reference: Reference) -> Snapshot | None:
        """Return what a start would serve without the registry; None if the cache has nothing."""
        return self._hold(reference.digest or self._noted(reference))

    def _path(self, digest: str) -> Path:
        return self.directory / digest.removeprefix("sha256:")

    def _hold(self, digest: str) -> Snapshot | None:
        """Return a complete snapshot, locked so that nobody evicts it; None if there is none."""
        path = self._path(digest)
        try:
            descriptor = os.open(path / DONE, os.O_RDONLY) if digest else -1
        except OSError:
            return None
        if descriptor < 0:
            return None
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        if not (path / DONE).exists():  # evicted just before
            os.close(descriptor)
            return None
        with suppress(OSError):  # the last one that was used is evicted last; may be read-only
            os.utime(path / DONE)
        return Snapshot(path, digest, descriptor)

    def _pull(
        self, registry: Registry, digest: str, items: Sequence[Item], report: Report
    ) -> Snapshot:
        path = self._path(digest)
        size = sum(item.size_bytes for item in items)
        if size > self.size_bytes:
            raise ArtifactError(
                f"{registry.reference} has {size} bytes; the cache {self.directory} may have "
                f"{self.size_bytes // MIB} MiB"
            )
        report(f"{len(items)} files, {size / MIB:.1f} MiB, into {self.directory}")
        self._evict(path, self.size_bytes - size, report)
        donors = list(self._snapshots())
        pull(registry, digest, items, path, report, donors)
        try:
            text = json.dumps({"reference": str(registry.reference), "digest": digest})
            _write(path / DONE, text)
        except OSError as error:
            raise ArtifactError(f"{path / DONE} cannot be written: {error.strerror}") from error
        snapshot = self._hold(digest)
        if snapshot is None:
            raise ArtifactError(f"{path} was removed while it was read")
        return snapshot

    def _snapshots(self) -> Iterator[Path]:
        """Yield the snapshots, also incomplete ones."""
        with suppress(OSError):
            for path in self.directory.iterdir():
                if len(path.name) == _HEX and path.is_dir():
                    yield path

    def _evict(self, own: Path, most_bytes: int, report: Report) -> None:
        """Remove snapshots that no process serves, the longest unused first, until few remain."""
        others = sorted((path for path in self._snapshots() if path != own), key=_last_used)
        for number, path in enumerate(others):
            if _size_of(others[number:]) <= most_bytes:
                return
            if _remove(path):
                report(f"removed {path}, to make room")

    def _note(self, reference: Reference, digest: str) -> None:
        """Remember which digest a tag has; without it a restart needs the registry."""
        with suppress(OSError):
            path = self._reference_path(reference)
            path.parent.mkdir(exist_ok=True)
            _write(path, json.dumps({"reference": str(reference), "digest": digest}))

    def _noted(self, reference: Reference) -> str:
        try:
            content = json.loads(self._reference_path(reference).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return ""
        digest = content.get("digest", "") if isinstance(content, dict) else ""
        return digest if isinstance(digest, str) and len(digest) == len("sha256:") + _HEX else ""

    def _reference_path(self, reference: Reference) -> Path:
        name = hashlib.sha256(str(reference).encode()).hexdigest()
        return self.directory / "references" / f"{name}.json"


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.rename(path)


def _last_used(path: Path) -> float:
    try:
        return (path / DONE).stat().st_mtime
    except OSError:
        return 0.0  # incomplete


def _size_of(paths: Sequence[Path]) -> int:
    """Return the bytes of some directories; files that several share count once."""
    sizes: dict[int, int] = {}
    for path in paths:
        for file in path.rglob("*"):
            with suppress(OSError):
                status = file.lstat()
                sizes[status.st_ino] = status.st_size
    return sum(sizes.values())


def _remove(path: Path) -> bool:
    """Remove a snapshot unless a process serves it or pulls it."""
    name = DONE if (path / DONE).exists() else ".work/pull.lock"
    try:
        descriptor = os.open(path / name, os.O_RDONLY)
    except OSError:
        shutil.rmtree(path, ignore_errors=True)
        return not path.exists()
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if name == DONE:
            (path / DONE).unlink()  # first: from here on nobody takes it for complete
        shutil.rmtree(path, ignore_errors=True)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return not path.exists()
