"""Weights that were fetched: where they lie, and that they are still what they were.

    <cache>/slipway/weights/<name>-<digest>/          the files, renamed to here when all are whole
                            <name>-<digest>.partial*/ what has come of them so far, by revision
                            <name>-<digest>.json      revision and hashes of the first download
                            <name>-<digest>.lock

The user's cache folder, not `checkpoints/`: that holds what the user placed, which is taken as it
is, whereas these are verified at each use, shared by every checkout, and may be deleted any time.
The record lies beside the files: deleting them does not make other files acceptable.
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
from convert.weights.download.plan import HUB, Plan, Record, installed, plan
from convert.weights.download.progress import shown
from convert.weights.download.transfer import transfer

OFFLINE = "SLIPWAY_OFFLINE"


@dataclass(frozen=True, slots=True)
class Fetched:
    """Weights at hand."""

    path: Path  # the file, or the directory
    address: str  # with the revision, where the host has revisions


def cache_directory(environ: Mapping[str, str]) -> Path:
    """`slipway/weights` in XDG_CACHE_HOME, or in ~/.cache.

    Raises:
        SourceError: there is no home directory.
    """
    given = Path(environ.get("XDG_CACHE_HOME", ""))
    try:
        base = given if given.is_absolute() else Path("~/.cache").expanduser()
    except RuntimeError as error:
        raise SourceError(f"no place for downloads: {error}; set XDG_CACHE_HOME") from error
    return base / "slipway" / "weights"


@dataclass(frozen=True, slots=True)
class Store:
    """Fetches sources, each once."""

    root: Path
    network: Network | None = field(default_factory=Network)  # None: nothing new is fetched
    stream: TextIO = field(default_factory=lambda: sys.stderr)
    hub: str = HUB

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Store":
        """As the user has it: XDG_CACHE_HOME, SLIPWAY_OFFLINE=1, HTTPS_PROXY and NO_PROXY."""
        offline = environ.get(OFFLINE, "") not in ("", "0")
        return cls(cache_directory(environ), None if offline else Network())

    def probe(self, sources: Iterable[AnySource]) -> None:
        """Learn at once which hosts of what is not yet here do not answer."""
        if self.network is not None:
            missing = [s for s in sources if not (self._directory(s).is_dir() or installed(s))]
            self.network.probe([s.address if isinstance(s, Source) else self.hub for s in missing])

    def kept(self, source: AnySource) -> Fetched | None:
        """What is here already, not verified; None: `fetch` would fetch it.

        Raises:
            CheckpointError: its record cannot be read.
        """
        folder = installed(source)
        if folder is not None:
            return _of_package(folder, source)
        record = self._record(source)
        directory = self._directory(source)
        if record is None or not all((directory / name).is_file() for name in record.files):
            return None
        return self._fetched(source, record)

    def unreachable(self, source: AnySource) -> str | None:
        """Why `fetch` would reach nobody; None: the host answers."""
        if self.network is None:
            return f"not here, and {OFFLINE} is set"
        return self.network.silence(source.address if isinstance(source, Source) else self.hub)

    def fetch(self, source: AnySource) -> Fetched:
        """The weights of a source: kept from an earlier time, or fetched now.

        Raises:
            SourceError: not reached, not there, or no place to keep it.
            CheckpointError: other files than the pinned or recorded ones.
        """
        folder = installed(source)
        if folder is not None:
            return _of_package(folder, source)
        if self.network is None and not self._directory(source).is_dir():
            raise SourceError(f"{source.address}: not here, and {OFFLINE} is set")
        try:
            # a second conversion waits, and finds the files here
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
        planned = plan(source, record, self.network, self.hub)
        # files of two revisions never meet in one directory
        partial = self._beside(source, f".partial{(planned.revision or '')[:12]}")
        for item in planned.items:
            path = partial / item.name
            path.parent.mkdir(parents=True, exist_ok=True)
            with shown(item.name, item.address, self.stream) as progress:
                try:
                    transfer(self.network, item.address, path, item.expected, progress)
                except SourceError:
                    raise
                except CheckpointError as error:
                    raise CheckpointError(f"{error}{self._advice(source, record)}") from error
        record = record or self._recorded(source, planned, partial)
        directory = self._directory(source)
        shutil.rmtree(directory, ignore_errors=True)
        partial.rename(directory)
        for stale in self.root.glob(f"{glob.escape(directory.name)}.partial*"):
            shutil.rmtree(stale)
        return self._fetched(source, record)

    def _damage(self, source: AnySource, record: Record | None) -> str | None:
        """What is wrong with the kept files; None: nothing, or there are none."""
        directory = self._directory(source)
        if record is None or not directory.is_dir():
            return None if record is None else "deleted"
        pinned = {source.name: source.expected} if isinstance(source, Source) else source.expected
        for name, known in record.files.items():
            path = directory / name
            for expected in (known, pinned.get(name, Expected())):
                refusal = expected.refusal(path) if path.is_file() else "missing"
                if refusal:
                    return f"{path}: {refusal}"
        return None

    def _advice(self, source: AnySource, record: Record | None) -> str:
        if record is None:
            return ""
        beside = self._beside(source, ".json")
        return f"; first download: {beside} (remove it to take what is published now)"

    def _fetched(self, source: AnySource, record: Record) -> Fetched:
        directory = self._directory(source)
        path = directory / source.name if isinstance(source, Source) else directory
        return Fetched(path, record.address)

    def _record(self, source: AnySource) -> Record | None:
        path = self._beside(source, ".json")
        if not path.exists():
            return None
        try:
            read = json.loads(path.read_text(encoding="utf-8"))
            files = {str(name): Expected(**known) for name, known in read["files"].items()}
            return Record(str(read["address"]), read["revision"], files)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(
                f"{path}: no record of a download ({error!r}); remove it"
            ) from error

    def _recorded(self, source: AnySource, planned: Plan, partial: Path) -> Record:
        files = {
            item.name: Expected(
                sha256=sha256(partial / item.name), size_bytes=(partial / item.name).stat().st_size
            )
            for item in planned.items
        }
        address = source.address
        if not isinstance(source, Source):
            address = replace(source, revision=planned.revision).address
        record = Record(address, planned.revision, files)
        write_json_atomic(self._beside(source, ".json"), asdict(record))
        return record

    def _directory(self, source: AnySource) -> Path:
        name = source.name if isinstance(source, Source) else source.repository.replace("/", "--")
        identity = {**asdict(source), "licence": None, "package": None}
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        return self.root / f"{name}-{digest[:12]}"

    def _beside(self, source: AnySource, ending: str) -> Path:
        directory = self._directory(source)
        return directory.with_name(directory.name + ending)


def _of_package(folder: Path, source: AnySource) -> Fetched:
    return Fetched(folder, f"Python package {folder.parent.name}, {source.address}")
