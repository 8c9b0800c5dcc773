"""The cache verifies files at each use and refuses those that have changed."""

import hashlib
import io
from dataclasses import replace
from pathlib import Path

import pytest

from convert.errors import CheckpointError, SourceError
from convert.weights.download import Store, cache_directory
from tests.convert.support.downloads import (
    SHA256,
    assert_fetches,
    fetch_error,
    new_store,
    source_at,
)
from tests.convert.support.file_server import (
    CONTENT,
    GoodFile,
    Server,
)


def test_damaged_file_is_downloaded_again(server: Server, store: Store) -> None:
    source = source_at(server.serve("/net.pth", GoodFile()), pinned=False)
    path = store.fetch(source).path
    path.write_bytes(CONTENT[:-1] + b"x")
    with pytest.raises(SourceError, match=rf"net\.pth: sha256 .* {SHA256} expected, and SLIPWAY_"):
        replace(store, network=None).fetch(source)
    assert_fetches(store, source)
    assert len(server.requests) == 2


def test_published_file_that_changed_is_refused_with_both_hashes(
    server: Server, store: Store
) -> None:
    source = source_at(server.serve("/net.pth", GoodFile()), pinned=False)
    path = store.fetch(source).path
    path.unlink()
    other = bytes(len(CONTENT))
    server.serve("/net.pth", GoodFile(other))
    with pytest.raises(CheckpointError) as caught:
        store.fetch(source)
    assert hashlib.sha256(other).hexdigest() in str(caught.value)
    assert f"{SHA256} expected" in str(caught.value)
    (record,) = store.root.glob("*.json")
    assert str(record) in str(caught.value)
    record.unlink()
    assert store.fetch(source).path.read_bytes() == other


def test_broken_record_is_refused(server: Server, store: Store) -> None:
    source = source_at(server.serve("/net.pth", GoodFile()))
    store.fetch(source)
    (record,) = store.root.glob("*.json")
    for content in (
        "",
        "[]",
        '{"files": 1}',
        '{"address": "", "revision": null, "files": {"a": {"b": 1}}}',
    ):
        record.write_text(content)
        with pytest.raises(CheckpointError, match="no record of a download"):
            store.fetch(source)


def test_offline_store_sends_no_request_and_creates_nothing(server: Server, store: Store) -> None:
    source = source_at(server.serve("/net.pth", GoodFile()))
    offline = replace(store, network=None)
    offline.probe([source])
    with pytest.raises(SourceError, match="not cached, and SLIPWAY_OFFLINE is set"):
        offline.fetch(source)
    assert (server.requests, store.root.exists()) == ([], False)


def test_full_disk_and_unusable_cache_folder(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = source_at(server.serve("/net.pth", GoodFile()))
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("", (), {"free": 10})())
    assert "10240 bytes to come, 10 free" in fetch_error(new_store(tmp_path), source)
    (tmp_path / "file").touch()
    with pytest.raises(SourceError, match=r"file.*: Not a directory"):
        new_store(tmp_path / "file").fetch(source)


def test_cache_folder_follows_xdg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    home = tmp_path / ".cache/slipway/weights"
    assert cache_directory({}) == cache_directory({"XDG_CACHE_HOME": "relative"}) == home
    assert cache_directory({"XDG_CACHE_HOME": "/var/c"}) == Path("/var/c/slipway/weights")
    assert Store.from_environment({"SLIPWAY_OFFLINE": "1"}).network is None
    assert Store.from_environment({"SLIPWAY_OFFLINE": "0"}).network is not None


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_one_line_on_a_terminal_and_sparse_in_a_log(
    server: Server, store: Store, tmp_path: Path
) -> None:
    source = source_at(server.serve("/net.pth", GoodFile()))
    store.fetch(source)
    assert isinstance(store.stream, io.StringIO)
    assert store.stream.getvalue() == f"net.pth: from {source.address}\n"
    terminal = Terminal()
    replace(store, root=tmp_path / "other", stream=terminal).fetch(source)
    assert terminal.getvalue().endswith("net.pth: 0.0 of 0.0 MB (100%)\r\n")
