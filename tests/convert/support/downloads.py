"""What tests of the downloader share: its file, a store on a test's network, what a refusal is."""

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
    """As in another run; only one that is to give up is hurried: tests run on busy machines."""
    stall_s, answer_s = (0.5, 3.0) if hurried else (10.0, 10.0)
    network = Network(connect_s=5.0, stall_s=stall_s, answer_s=answer_s, schemes=("http",))
    return Store(tmp_path / "cache", network, io.StringIO())


def source(address: str, *, pinned: bool = True) -> Source:
    return Source(address, licence="MIT", sha256=SHA256 if pinned else None)


def refusal(store: Store, wanted: Source, kind: type[CheckpointError] = SourceError) -> str:
    """One clear sentence, and nothing that could be taken for a checkpoint."""
    with pytest.raises(CheckpointError) as caught:
        store.fetch(wanted)
    assert type(caught.value) is kind
    text = str(caught.value)
    assert "\n" not in text
    assert [p for p in store.root.glob("*/*") if ".partial" not in p.parent.name] == []
    assert list(store.root.glob("*.json")) == []
    return text


def succeeds(store: Store, wanted: Source) -> None:
    """A later run brings the whole file, and leaves nothing else."""
    path = store.fetch(wanted).path
    assert path.read_bytes() == CONTENT
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    assert list(store.root.glob("*.partial*")) == []
