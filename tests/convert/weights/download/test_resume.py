"""A download that broke off goes on, and only with the file that it began with."""

import time
from pathlib import Path

import pytest

from convert.weights.download import Store
from tests.convert.support.downloads import HALF, new_store, refusal, source, succeeds
from tests.convert.support.file_server import (
    CONTENT,
    ETAG,
    Exchange,
    Good,
    Server,
    Way,
    stalling,
    status,
)


@pytest.mark.parametrize("pinned", [True, False])
@pytest.mark.parametrize("etag", [ETAG, None, 'W/"one"'])
def test_broken_connection_is_gone_on_with_in_the_same_run(
    server: Server, store: Store, etag: str | None, pinned: bool
) -> None:
    wanted = source(server.serve("/net.pth", Good(etag=etag, times=[HALF])), pinned=pinned)
    succeeds(store, wanted)
    # without a hash or a strong tag a wrong joint would not be noticed: from the beginning
    joint = f"bytes={HALF}-" if pinned or etag == '"one"' else None
    assert server.asked == [("/net.pth", None), ("/net.pth", joint)]


def test_a_later_run_goes_on(server: Server, tmp_path: Path) -> None:
    good = Good(times=[3000, 0])
    wanted = source(server.serve("/net.pth", good))
    text = refusal(new_store(tmp_path), wanted)
    assert text.endswith(
        "ended after 3000 of 10240 bytes; the first 3000 bytes are kept: run again to go on"
    )
    succeeds(new_store(tmp_path), wanted)
    assert [asked for _, asked in server.asked] == [None, "bytes=3000-", "bytes=3000-"]


def test_announced_length_that_never_comes(server: Server, store: Store) -> None:
    wanted = source(server.serve("/net.pth", Good(announce=2 * len(CONTENT), ranges=False)))
    assert "ended after 10240 of 20480 bytes" in refusal(store, wanted)
    server.serve("/net.pth", Good())
    succeeds(store, wanted)


@pytest.mark.parametrize(
    ("way", "says"),
    [
        (stalling, "silent for 0.5 s; the first 5000 bytes are kept"),
        (Good(chunk_s=0.02), "slower than 32 kB/s; given up"),
    ],
)
def test_standstill_and_drip_are_given_up_in_time(
    server: Server, tmp_path: Path, way: Way, says: str
) -> None:
    wanted = source(server.serve("/net.pth", way))
    start = time.monotonic()
    assert says in refusal(new_store(tmp_path, hurried=True), wanted)
    assert time.monotonic() - start < 10
    server.serve("/net.pth", Good())
    succeeds(new_store(tmp_path), wanted)
    assert server.asked[-1][1] is not None


def test_server_without_ranges_sends_all_again(server: Server, store: Store) -> None:
    wanted = source(server.serve("/net.pth", Good(ranges=False, times=[HALF])))
    succeeds(store, wanted)
    assert server.asked[-1] == ("/net.pth", f"bytes={HALF}-")


def test_changed_file_is_fetched_from_the_beginning(server: Server, tmp_path: Path) -> None:
    other = bytes(len(CONTENT))
    wanted = source(server.serve("/net.pth", Good(other, '"zero"', times=[HALF, 0])), pinned=False)
    refusal(new_store(tmp_path), wanted)
    server.serve("/net.pth", Good())
    succeeds(new_store(tmp_path), wanted)


def test_beginning_that_the_file_does_not_continue_is_dropped(
    server: Server, tmp_path: Path
) -> None:
    """By a server that sends the rest of another file, whatever If-Range says."""
    other = bytes(len(CONTENT))
    for pinned, path in ((True, "/pinned"), (False, "/unpinned")):
        wanted = source(server.serve(path, Good(other, '"zero"', times=[HALF, 0])), pinned=pinned)
        refusal(new_store(tmp_path), wanted)
        server.serve(path, Good(ignores_if_range=True))
        if not pinned:
            assert "has changed since its first" in refusal(new_store(tmp_path), wanted)
        else:  # no tag tells: the hash does
            server.serve(path, Good(etag=None, ignores_if_range=True))
        succeeds(new_store(tmp_path), wanted)
        (directory,) = [p for p in new_store(tmp_path).root.iterdir() if p.is_dir()]
        for left in new_store(tmp_path).root.iterdir():
            if left != directory:
                left.unlink()
        for file in directory.iterdir():
            file.unlink()
        directory.rmdir()


@pytest.mark.parametrize("range_", ["bytes 0-10239/10240", "bytes 5000-", "", "bytes */10240"])
def test_range_that_was_not_asked_for_is_refused(
    server: Server, tmp_path: Path, range_: str
) -> None:
    wanted = source(server.serve("/net.pth", Good(send=3000, ranges=False)))
    refusal(new_store(tmp_path), wanted)

    def wrong(exchange: Exchange) -> None:
        exchange.head(206, Content_Range=range_, Content_Length=len(CONTENT))
        exchange.wfile.write(CONTENT)

    server.serve("/net.pth", wrong)
    assert "asked from byte 3000, Content-Range is" in refusal(new_store(tmp_path), wanted)


def test_more_kept_than_there_is_is_dropped(server: Server, tmp_path: Path) -> None:
    wanted = source(server.serve("/net.pth", Good(CONTENT * 2, times=[len(CONTENT) + 1, 0])))
    refusal(new_store(tmp_path), wanted)
    server.serve("/net.pth", status(416))
    assert "ends before what was kept of it; run again" in refusal(new_store(tmp_path), wanted)
    server.serve("/net.pth", Good())
    succeeds(new_store(tmp_path), wanted)
