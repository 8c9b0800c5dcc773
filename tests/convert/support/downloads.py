"""Helpers of the download tests: a file, a store on the network of a test, and its errors."""

import hashlib
import io
from pathlib import Path

import pytest

from convert.errors import CheckpointError, SourceError
from convert.sources import Source
from convert.weights.download import Network, Store
from tests.convert.support.file_server import CONTENT

SHA256 = hashlib.sha256(CONTENT).hexdigest()
MD5 = hashlib.md5(CONTENT).hexdigest()
HALF = len(CONTENT) // 2


def new_store(tmp_path: Path, *, hurried: bool = False) -> Store:
    """Return a store as another run of the converter has it.

    A hurried one gives up soon: for servers that stall, since tests run on busy machines.
    """
    stall_s, answer_s = (0.5, 1.5) if hurried else (10.0, 10.0)
    network = Network(connect_s=5.0, stall_s=stall_s, answer_s=answer_s, schemes=("http",))
    return Store(tmp_path / "cache", network, io.StringIO())


def source_at(address: str, *, pinned: bool = True) -> Source:
    """Return a source whose file is CONTENT, with its SHA-256 if `pinned`."""
    return Source(address, licence="MIT", sha256=SHA256 if pinned else None)


def fetch_error(store: Store, source: Source, kind: type[CheckpointError] = SourceError) -> str:
    """Fetch a source that fails; return the one line of its error.

    Check that no file is left that could be taken for a checkpoint.
    """
    with pytest.raises(CheckpointError) as caught:
        store.fetch(source)
    assert type(caught.value) is kind
    text = str(caught.value)
    assert "\n" not in text
    assert [p for p in store.root.glob("*/*") if ".partial" not in p.parent.name] == []
    assert list(store.root.glob("*.json")) == []
    return text


def assert_fetches(store: Store, source: Source) -> None:
    """Check that a fetch brings the whole file and leaves nothing else."""
    path = store.fetch(source).path
    assert path.read_bytes() == CONTENT
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    assert list(store.root.glob("*.partial*")) == []
