"""The cache of downloaded weights, verified at each use.

    <cache>/slipway/weights/<name>-<digest>/          the files, renamed to here when complete
                            <name>-<digest>.partial*/ an unfinished download, by revision
                            <name>-<digest>.json      revision and hashes of the first download
                            <name>-<digest>.lock

It is the user's cache folder, not `checkpoints/`: files that the user places there are used as
they are, whereas these are verified, shared by every checkout, and may be deleted at any time.
The record lies outside the folder of the files: who deletes the files does not accept others.
"""

import glob
import hashlib
import json
import shutil
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TextIO

from convert.errors import CheckpointError, SourceError
from convert.files import locked, sha256, write_json_atomic
from convert.sources import AnySource, Expected, Source
from convert.weights.download.http import Network
from convert.weights.download.plan import HUB, Plan, Record, plan
from convert.weights.download.progress import progress_line
from convert.weights.download.transfer import transfer

OFFLINE = "SLIPWAY_OFFLINE"


@dataclass(frozen=True, slots=True)
class Fetched:
    """Weights on this machine, and where they were published."""

    path: Path  # the file, or the directory
    address: str  # with the revision, if the host has revisions


def cache_directory(environ: Mapping[str, str]) -> Path:
    """Return `slipway/weights` in XDG_CACHE_HOME, or in ~/.cache.

    Raises:
        SourceError: there is no home directory.
    """
    xdg = Path(environ.get("XDG_CACHE_HOME", ""))
    try:
        base = xdg if xdg.is_absolute() else Path("~/.cache").expanduser()
    except RuntimeError as error:
        raise SourceError(f"no place for downloads: {error}; set XDG_CACHE_HOME") from error
    return base / "slipway" / "weights"


@dataclass(frozen=True, slots=True)
class Store:
    """A cache that downloads each source once."""

    root: Path
    network: Network | None = field(default_factory=Network)  # None: offline
    stream: TextIO = field(default_factory=lambda: sys.stderr)  # for progress
    hub: str = HUB

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Store":
        """Make the store that XDG_CACHE_HOME and SLIPWAY_OFFLINE=1 ask for."""
        offline = environ.get(OFFLINE, "") not in ("", "0")
        return cls(cache_directory(environ), None if offline else Network())

    def probe(self, sources: Iterable[AnySource]) -> None:
        """Try the hosts of all sources that are not cached, at once; see `Network.probe`."""
        if self.network is not None:
            missing = [source for source in sources if not self._directory(source).is_dir()]
            self.network.probe([self._host_address(source) for source in missing])

    def cached(self, source: AnySource) -> Fetched | None:
        """Return the cached weights without verifying them; None if `fetch` would download.

        Raises:
            CheckpointError: the record of the download cannot be read.
        """
        record = self._record(source)
        directory = self._directory(source)
        if record is None or not all((directory / name).is_file() for name in record.files):
            return None
        return self._fetched(source, record)

    def unreachable_reason(self, source: AnySource) -> str | None:
        """Return why `fetch` could not download; None if the host accepts a connection."""
        if self.network is None:
            return f"not cached, and {OFFLINE} is set"
        return self.network.unreachable_reason(self._host_address(source))

    def fetch(self, source: AnySource) -> Fetched:
        """Return the weights of a source: cached and verified, or downloaded now.

        Raises:
            SourceError: not reached, not published there, or the cache cannot be written.
            CheckpointError: other files than the pinned or recorded ones.
        """
        if self.network is None and not self._directory(source).is_dir():
            raise SourceError(f"{source.address}: not cached, and {OFFLINE} is set")
        try:
            # a second conversion waits here, and finds the files afterwards
            with locked(self._beside(source, ".lock")):
                return self._fetch(source)
        except OSError as error:
            reason = error.strerror or error
            raise SourceError(f"{error.filename or self.root}: {reason}") from error

    def _fetch(self, source: AnySource) -> Fetched:
        record = self._record(source)
        damage = self._damage(source, record)
        if record is not None and damage is None:
            return self._fetched(source, record)
        if self.network is None:
            raise SourceError(f"{damage or 'its record is missing'}, and {OFFLINE} is set")
        download = plan(source, record, self.network, self.hub)
        # by revision: files of two revisions never meet in one directory
        partial = self._beside(source, f".partial{(download.revision or '')[:12]}")
        for item in download.items:
            path = partial / item.name
            path.parent.mkdir(parents=True, exist_ok=True)
            with progress_line(item.name, item.address, self.stream) as progress:
                try:
                    transfer(self.network, item.address, path, item.expected, progress)
                except SourceError:
                    raise
                except CheckpointError as error:
                    raise CheckpointError(f"{error}{self._advice(source, record)}") from error
        record = record or self._write_record(source, download, partial)
        directory = self._directory(source)
        shutil.rmtree(directory, ignore_errors=True)
        partial.rename(directory)
        for stale in self.root.glob(f"{glob.escape(directory.name)}.partial*"):
            shutil.rmtree(stale)
        return self._fetched(source, record)

    def _damage(self, source: AnySource, record: Record | None) -> str | None:
        """Return how the cached files differ from their record and from the recipe's pins.

        None if they do not, or if there is no record.
        """
        directory = self._directory(source)
        if record is None or not directory.is_dir():
            return None if record is None else "deleted"
        pins = {source.name: source.expected} if isinstance(source, Source) else source.expected
        for name, recorded in record.files.items():
            path = directory / name
            for expected in (recorded, pins.get(name, Expected())):
                mismatch = expected.mismatch(path) if path.is_file() else "missing"
                if mismatch:
                    return f"{path}: {mismatch}"
        return None

    def _advice(self, source: AnySource, record: Record | None) -> str:
        if record is None:
            return ""
        path = self._beside(source, ".json")
        return f"; first download: {path} (remove it to take what is published now)"

    def _fetched(self, source: AnySource, record: Record) -> Fetched:
        directory = self._directory(source)
        path = directory / source.name if isinstance(source, Source) else directory
        return Fetched(path, record.address)

    def _record(self, source: AnySource) -> Record | None:
        """Read the record of the first download; None if there was none.

        Raises:
            CheckpointError: it cannot be read.
        """
        path = self._beside(source, ".json")
        if not path.exists():
            return None
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            files = {str(name): Expected(**values) for name, values in content["files"].items()}
            return Record(str(content["address"]), content["revision"], files)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(
                f"{path}: no record of a download ({error!r}); remove it"
            ) from error

    def _write_record(self, source: AnySource, download: Plan, partial: Path) -> Record:
        """Record the revision, hashes and sizes of a first download."""
        files = {
            item.name: Expected(
                sha256=sha256(partial / item.name), size_bytes=(partial / item.name).stat().st_size
            )
            for item in download.items
        }
        address = source.address
        if not isinstance(source, Source):
            address = replace(source, revision=download.revision).address
        record = Record(address, download.revision, files)
        write_json_atomic(self._beside(source, ".json"), asdict(record))
        return record

    def _host_address(self, source: AnySource) -> str:
        return source.address if isinstance(source, Source) else self.hub

    def _directory(self, source: AnySource) -> Path:
        """Return the folder of a source; its name depends on all that decides on the files."""
        name = source.name if isinstance(source, Source) else source.repository.replace("/", "--")
        # "package": part of the name since the first release; without it caches would move
        identity = {**asdict(source), "licence": None, "package": None}
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        return self.root / f"{name}-{digest[:12]}"

    def _beside(self, source: AnySource, ending: str) -> Path:
        directory = self._directory(source)
        return directory.with_name(directory.name + ending)
