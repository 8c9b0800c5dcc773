"""A download that broke off is resumed, and only with the file that it began with."""

from pathlib import Path

import pytest

from convert.weights.download import Store
from tests.convert.support.downloads import HALF, assert_fetches, fetch_error, new_store, source_at
from tests.convert.support.file_server import (
    CONTENT,
    ETAG,
    Exchange,
    GoodFile,
    Handler,
    Server,
    stalling,
    status,
)


@pytest.mark.parametrize("pinned", [True, False])
@pytest.mark.parametrize("etag", [ETAG, None, 'W/"one"'])
def test_broken_connection_is_resumed_in_the_same_run(
    server: Server, store: Store, etag: str | None, pinned: bool
) -> None:
    source = source_at(server.serve("/net.pth", GoodFile(etag=etag, sends=[HALF])), pinned=pinned)
    assert_fetches(store, source)
    # without a hash or a strong tag a beginning of another file would go unnoticed: start again
    resume = f"bytes={HALF}-" if pinned or etag == '"one"' else None
    assert server.requests == [("/net.pth", None), ("/net.pth", resume)]


def test_a_later_run_resumes(server: Server, tmp_path: Path) -> None:
    good = GoodFile(sends=[3000, 0])
    source = source_at(server.serve("/net.pth", good))
    text = fetch_error(new_store(tmp_path), source)
    assert text.endswith(
        "ended after 3000 of 10240 bytes; the first 3000 bytes are kept: run again to go on"
    )
    assert_fetches(new_store(tmp_path), source)
    assert [byte_range for _, byte_range in server.requests] == [None, "bytes=3000-", "bytes=3000-"]


def test_announced_length_that_never_comes(server: Server, store: Store) -> None:
    source = source_at(server.serve("/net.pth", GoodFile(announce=2 * len(CONTENT), ranges=False)))
    assert "ended after 10240 of 20480 bytes" in fetch_error(store, source)
    server.serve("/net.pth", GoodFile())
    assert_fetches(store, source)


@pytest.mark.parametrize(
    ("handler", "message"),
    [
        (stalling, "silent for 0.5 s; the first 5000 bytes are kept"),
        (GoodFile(chunk_s=0.02), "slower than 32 kB/s; given up"),
    ],
)
def test_stalled_and_slow_downloads_are_given_up_and_resumed_later(
    server: Server, tmp_path: Path, handler: Handler, message: str
) -> None:
    source = source_at(server.serve("/net.pth", handler))
    assert message in fetch_error(new_store(tmp_path, hurried=True), source)
    server.serve("/net.pth", GoodFile())
    assert_fetches(new_store(tmp_path), source)
    assert server.requests[-1][1] is not None


def test_server_without_ranges_sends_all_again(server: Server, store: Store) -> None:
    source = source_at(server.serve("/net.pth", GoodFile(ranges=False, sends=[HALF])))
    assert_fetches(store, source)
    assert server.requests[-1] == ("/net.pth", f"bytes={HALF}-")


def test_changed_file_is_downloaded_from_its_start(server: Server, tmp_path: Path) -> None:
    other = bytes(len(CONTENT))
    source = source_at(
        server.serve("/net.pth", GoodFile(other, '"zero"', sends=[HALF, 0])), pinned=False
    )
    fetch_error(new_store(tmp_path), source)
    server.serve("/net.pth", GoodFile())
    assert_fetches(new_store(tmp_path), source)


def test_beginning_of_another_file_is_discarded(server: Server, tmp_path: Path) -> None:
    """Send the rest of another file: the server ignores If-Range."""
    other = bytes(len(CONTENT))
    for pinned, path in ((True, "/pinned"), (False, "/unpinned")):
        source = source_at(
            server.serve(path, GoodFile(other, '"zero"', sends=[HALF, 0])), pinned=pinned
        )
        fetch_error(new_store(tmp_path), source)
        server.serve(path, GoodFile(ignores_if_range=True))
        if not pinned:
            assert "has changed since its first" in fetch_error(new_store(tmp_path), source)
        else:  # without an ETag only the hash shows it
            server.serve(path, GoodFile(etag=None, ignores_if_range=True))
        assert_fetches(new_store(tmp_path), source)
        (directory,) = [p for p in new_store(tmp_path).root.iterdir() if p.is_dir()]
        for left in new_store(tmp_path).root.iterdir():
            if left != directory:
                left.unlink()
        for file in directory.iterdir():
            file.unlink()
        directory.rmdir()


@pytest.mark.parametrize("range_", ["bytes 0-10239/10240", "bytes 5000-", "", "bytes */10240"])
def test_other_range_than_requested_is_refused(server: Server, tmp_path: Path, range_: str) -> None:
    source = source_at(server.serve("/net.pth", GoodFile(send=3000, ranges=False)))
    fetch_error(new_store(tmp_path), source)

    def wrong(exchange: Exchange) -> None:
        exchange.head(206, Content_Range=range_, Content_Length=len(CONTENT))
        exchange.wfile.write(CONTENT)

    server.serve("/net.pth", wrong)
    assert "asked from byte 3000, Content-Range is" in fetch_error(new_store(tmp_path), source)


def test_beginning_longer_than_the_file_is_discarded(server: Server, tmp_path: Path) -> None:
    source = source_at(server.serve("/net.pth", GoodFile(CONTENT * 2, sends=[len(CONTENT) + 1, 0])))
    fetch_error(new_store(tmp_path), source)
    server.serve("/net.pth", status(416))
    assert "shorter than the 10241 bytes kept of it; run again" in fetch_error(
        new_store(tmp_path), source
    )
    server.serve("/net.pth", GoodFile())
    assert_fetches(new_store(tmp_path), source)
