"""The downloader against a server that does everything wrong that servers do."""

import io
import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from convert.errors import CheckpointError
from convert.sources import Source
from convert.weights.download import Network, Store
from tests.convert.support.downloads import HALF, MD5, SHA256, new_store, refusal, source, succeeds
from tests.convert.support.file_server import (
    CONTENT,
    Exchange,
    Good,
    Server,
    Way,
    dripping_headers,
    redirect,
    silent,
    status,
)


def test_file_is_fetched_once_and_verified_ever_after(server: Server, store: Store) -> None:
    wanted = source(server.serve("/a/net.pth", Good()))
    fetched = store.fetch(wanted)
    assert (fetched.path.name, fetched.address) == ("net.pth", wanted.address)
    succeeds(store, wanted)
    succeeds(replace(store, network=None), wanted)
    assert server.asked == [("/a/net.pth", None)]


@pytest.mark.parametrize(
    "pins",
    [
        {},
        {"sha256": SHA256, "size_bytes": len(CONTENT)},
        {"sha256_prefix": SHA256[:8]},
        {"md5": MD5},
    ],
)
def test_whatever_is_pinned_the_first_download_is_recorded(
    server: Server, store: Store, pins: dict[str, str]
) -> None:
    address = server.serve("/net.pth", Good())
    store.fetch(Source(address, "MIT", **pins))  # type: ignore[arg-type]  # one of many fields
    (record,) = store.root.glob("*.json")
    known = json.loads(record.read_text())
    assert known["address"] == address
    found = known["files"]["net.pth"]
    assert (found["sha256"], found["size_bytes"]) == (SHA256, len(CONTENT))


def test_length_need_not_be_announced(server: Server, store: Store) -> None:
    def chunked(exchange: Exchange) -> None:
        exchange.head(Transfer_Encoding="chunked")
        for start in range(0, len(CONTENT), 1000):
            part = CONTENT[start : start + 1000]
            exchange.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
        exchange.wfile.write(b"0\r\n\r\n")

    def until_closed(exchange: Exchange) -> None:
        exchange.head(Connection="close")
        exchange.wfile.write(CONTENT)

    for path, way in (("/chunked", chunked), ("/closed", until_closed)):
        succeeds(store, source(server.serve(path, way)))
    succeeds(store, source(server.address("/chunked"), pinned=False))


def test_without_length_and_hash_nobody_knows_whether_it_is_whole(
    server: Server, store: Store
) -> None:
    def cut_off_in_its_headers(exchange: Exchange) -> None:
        exchange.wfile.write(b"HTTP/1.1 200 OK\r\nServer: x\r\n")

    wanted = source(server.serve("/net.pth", cut_off_in_its_headers), pinned=False)
    assert "no length and no hash tell when the file is whole" in refusal(store, wanted)


def test_two_at_once_fetch_once(server: Server, tmp_path: Path) -> None:
    wanted = source(server.serve("/net.pth", Good(CONTENT[:20], chunk_s=0.01)), pinned=False)
    threads = [threading.Thread(target=new_store(tmp_path).fetch, args=(wanted,)) for _ in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # on a busy machine a stalled transfer may go on where it was; the second one asks for nothing
    assert len([path for path, part in server.asked if part is None]) == 1


@pytest.mark.parametrize(
    ("pins", "says"),
    [
        ({"sha256": SHA256}, f"sha256 .{{64}} found; {SHA256} expected"),
        ({"sha256_prefix": SHA256[:8]}, f"found; one that begins with {SHA256[:8]} expected"),
        ({"md5": MD5}, f"md5 .{{32}} found; {MD5} expected"),
        ({"size_bytes": len(CONTENT) + 1}, f"{len(CONTENT)} bytes announced; 10241 expected"),
    ],
)
def test_wrong_bytes_are_refused_and_discarded(
    server: Server, store: Store, pins: dict[str, str], says: str
) -> None:
    wrong = bytes(len(CONTENT))
    wanted = Source(server.serve("/net.pth", Good(content=wrong)), "MIT", **pins)  # type: ignore[arg-type]  # as above
    with pytest.raises(CheckpointError, match=says) as caught:
        store.fetch(wanted)
    assert type(caught.value) is CheckpointError
    assert list(store.root.glob("*/net.pth")) == []
    if "size_bytes" not in pins:
        server.serve("/net.pth", Good())
        succeeds(store, wanted)


def test_length_that_is_too_short_is_noticed(server: Server, store: Store) -> None:
    hashed = source(server.serve("/net.pth", Good(announce=HALF)))
    sized = replace(hashed, size_bytes=len(CONTENT))
    for wanted, says in ((hashed, "sha256 "), (sized, f"{HALF} bytes announced; 10240 expected")):
        assert says in refusal(store, wanted, CheckpointError)
    server.serve("/net.pth", Good())
    for wanted in (hashed, sized):
        store.fetch(wanted)


def test_no_more_than_expected_is_written(server: Server, store: Store) -> None:
    def endless(exchange: Exchange) -> None:
        exchange.head(Connection="close")
        while True:
            exchange.wfile.write(CONTENT)

    wanted = replace(source(server.serve("/net.pth", endless)), size_bytes=len(CONTENT))
    assert f"more than {len(CONTENT)} bytes came" in refusal(store, wanted, CheckpointError)


@pytest.mark.parametrize(
    ("way", "says"),
    [
        (status(404), "status 404, nothing is there"),
        (status(403), "status 403, it refuses"),
        (status(401), "status 401, it wants a login"),
        (status(429), "status 429, too many requests"),
        (status(500), "status 500, Internal Server Error"),
        (status(204), "status 204, No Content"),
        (status(200, b"<html>", "text/html; charset=utf-8"), "a web page came, not the file"),
        (lambda exchange: exchange.head(Content_Encoding="gzip"), "came as gzip"),
        (silent, "no answer for 0.5 s"),
        (dripping_headers, "no complete answer within 3 s"),
        (lambda exchange: None, "no answer (Remote end closed connection without response)"),
        (lambda exchange: exchange.wfile.write(b"hello\r\n\r\n") and None, "no answer (hello"),
    ],
)
def test_no_file_is_said_in_a_sentence(server: Server, tmp_path: Path, way: Way, says: str) -> None:
    wanted = source(server.serve("/net.pth", way))
    hurried = way in (silent, dripping_headers)
    assert says in refusal(new_store(tmp_path, hurried=hurried), wanted)
    server.serve("/net.pth", Good())
    succeeds(new_store(tmp_path), wanted)


def test_redirects_are_followed_up_to_five(server: Server, store: Store) -> None:
    server.serve("/0", Good())
    for number in range(6):
        server.serve(
            f"/{number + 1}", redirect(f"../{number}", (301, 302, 303, 307, 308)[number % 5])
        )
    succeeds(store, source(server.address("/5")))
    assert "more than 5 redirects" in refusal(
        new_store(store.root / "b"), source(server.address("/6"))
    )


@pytest.mark.parametrize(
    ("location", "says"),
    [
        ("/net.pth", "more than 5 redirects"),
        ("", "more than 5 redirects"),
        ("https://127.0.0.1/net.pth", "redirected to 'https://127.0.0.1/net.pth'; allowed: http"),
        ("file:///etc/passwd", "redirected to 'file:///etc/passwd'; allowed: http"),
    ],
)
def test_redirects_that_are_not_followed(
    server: Server, store: Store, location: str, says: str
) -> None:
    assert says in refusal(store, source(server.serve("/net.pth", redirect(location))))


def test_only_https_is_fetched_unless_told(server: Server, tmp_path: Path) -> None:
    store = Store(tmp_path / "cache", Network(), io.StringIO())
    assert "allowed: https://" in refusal(store, source(server.serve("/net.pth", Good())))
    assert server.asked == []


def test_https_is_encrypted_in_whatever_case_it_is_written(server: Server, tmp_path: Path) -> None:
    store = Store(tmp_path / "cache", Network(), io.StringIO())
    plain = server.serve("/net.pth", Good())
    assert "no answer" in refusal(store, source(plain.replace("http:", "HTTPS:")))
    assert server.asked == []
