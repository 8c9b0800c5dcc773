"""Downloads from a server that does wrong what servers do wrong."""

import io
import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from convert.errors import CheckpointError
from convert.sources import Source
from convert.weights.download import Network, Store
from tests.convert.support.downloads import (
    HALF,
    MD5,
    SHA256,
    assert_fetches,
    fetch_error,
    new_store,
    source_at,
)
from tests.convert.support.file_server import (
    CONTENT,
    Exchange,
    GoodFile,
    Handler,
    Server,
    dripping_headers,
    redirect,
    silent,
    status,
)


def test_file_is_downloaded_once_and_verified_at_each_use(server: Server, store: Store) -> None:
    source = source_at(server.serve("/a/net.pth", GoodFile()))
    fetched = store.fetch(source)
    assert (fetched.path.name, fetched.address) == ("net.pth", source.address)
    assert_fetches(store, source)
    assert_fetches(replace(store, network=None), source)
    assert server.requests == [("/a/net.pth", None)]


@pytest.mark.parametrize(
    "pins",
    [
        {},
        {"sha256": SHA256, "size_bytes": len(CONTENT)},
        {"sha256_prefix": SHA256[:8]},
        {"md5": MD5},
    ],
)
def test_first_download_is_recorded_whatever_is_pinned(
    server: Server, store: Store, pins: dict[str, str]
) -> None:
    address = server.serve("/net.pth", GoodFile())
    store.fetch(Source(address, "MIT", **pins))  # type: ignore[arg-type]  # one of many fields
    (record,) = store.root.glob("*.json")
    content = json.loads(record.read_text())
    assert content["address"] == address
    file = content["files"]["net.pth"]
    assert (file["sha256"], file["size_bytes"]) == (SHA256, len(CONTENT))


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

    for path, handler in (("/chunked", chunked), ("/closed", until_closed)):
        assert_fetches(store, source_at(server.serve(path, handler)))
    assert_fetches(store, source_at(server.address("/chunked"), pinned=False))


def test_file_without_length_and_hash_is_refused(server: Server, store: Store) -> None:
    def cut_off_in_its_headers(exchange: Exchange) -> None:
        exchange.wfile.write(b"HTTP/1.1 200 OK\r\nServer: x\r\n")

    source = source_at(server.serve("/net.pth", cut_off_in_its_headers), pinned=False)
    assert "neither a length nor a hash says when the file is complete" in fetch_error(
        store, source
    )


def test_two_runs_at_once_download_once(server: Server, tmp_path: Path) -> None:
    source = source_at(server.serve("/net.pth", GoodFile(CONTENT[:20], chunk_s=0.01)), pinned=False)
    threads = [threading.Thread(target=new_store(tmp_path).fetch, args=(source,)) for _ in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # on a busy machine the first run may resume a stalled download; the second sends no request
    assert len([path for path, part in server.requests if part is None]) == 1


@pytest.mark.parametrize(
    ("pins", "message"),
    [
        ({"sha256": SHA256}, f"sha256 .{{64}} found; {SHA256} expected"),
        ({"sha256_prefix": SHA256[:8]}, f"found; one that begins with {SHA256[:8]} expected"),
        ({"md5": MD5}, f"md5 .{{32}} found; {MD5} expected"),
        ({"size_bytes": len(CONTENT) + 1}, f"{len(CONTENT)} bytes announced; 10241 expected"),
    ],
)
def test_wrong_bytes_are_refused_and_discarded(
    server: Server, store: Store, pins: dict[str, str], message: str
) -> None:
    wrong = bytes(len(CONTENT))
    source = Source(server.serve("/net.pth", GoodFile(content=wrong)), "MIT", **pins)  # type: ignore[arg-type]  # as above
    with pytest.raises(CheckpointError, match=message) as caught:
        store.fetch(source)
    assert type(caught.value) is CheckpointError
    assert list(store.root.glob("*/net.pth")) == []
    if "size_bytes" not in pins:
        server.serve("/net.pth", GoodFile())
        assert_fetches(store, source)


def test_length_that_is_too_short_is_noticed(server: Server, store: Store) -> None:
    hashed = source_at(server.serve("/net.pth", GoodFile(announce=HALF)))
    sized = replace(hashed, size_bytes=len(CONTENT))
    for source, message in (
        (hashed, "sha256 "),
        (sized, f"{HALF} bytes announced; 10240 expected"),
    ):
        assert message in fetch_error(store, source, CheckpointError)
    server.serve("/net.pth", GoodFile())
    for source in (hashed, sized):
        store.fetch(source)


def test_no_more_than_expected_is_written(server: Server, store: Store) -> None:
    def endless(exchange: Exchange) -> None:
        exchange.head(Connection="close")
        while True:
            exchange.wfile.write(CONTENT)

    source = replace(source_at(server.serve("/net.pth", endless)), size_bytes=len(CONTENT))
    assert f"more than {len(CONTENT)} bytes came" in fetch_error(store, source, CheckpointError)


@pytest.mark.parametrize(
    ("handler", "message"),
    [
        (status(404), "status 404, nothing is there"),
        (status(403), "status 403, it refuses"),
        (status(401), "status 401, it wants a login"),
        (status(429), "status 429, too many requests"),
        (status(500), "status 500, Internal Server Error"),
        (status(204), "status 204, No Content"),
        (
            status(200, b"<html>", "text/html; charset=utf-8"),
            "server sent a web page, not the file",
        ),
        (
            lambda exchange: exchange.head(Content_Encoding="gzip"),
            "server sent Content-Encoding: gzip; expected the raw file",
        ),
        (silent, "no answer for 0.5 s"),
        (dripping_headers, "no complete answer within 1.5 s"),
        (lambda exchange: None, "no answer (Remote end closed connection without response)"),
        (lambda exchange: exchange.wfile.write(b"hello\r\n\r\n") and None, "no answer (hello"),
    ],
)
def test_failed_download_is_one_clear_sentence(
    server: Server, tmp_path: Path, handler: Handler, message: str
) -> None:
    source = source_at(server.serve("/net.pth", handler))
    hurried = handler in (silent, dripping_headers)
    assert message in fetch_error(new_store(tmp_path, hurried=hurried), source)
    server.serve("/net.pth", GoodFile())
    assert_fetches(new_store(tmp_path), source)


def test_redirects_are_followed_up_to_five(server: Server, store: Store) -> None:
    server.serve("/0", GoodFile())
    for number in range(6):
        server.serve(
            f"/{number + 1}", redirect(f"../{number}", (301, 302, 303, 307, 308)[number % 5])
        )
    assert_fetches(store, source_at(server.address("/5")))
    assert "more than 5 redirects" in fetch_error(
        new_store(store.root / "b"), source_at(server.address("/6"))
    )


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("/net.pth", "more than 5 redirects"),
        ("", "more than 5 redirects"),
        ("https://127.0.0.1/net.pth", "redirected to 'https://127.0.0.1/net.pth'; allowed: http"),
        ("file:///etc/passwd", "redirected to 'file:///etc/passwd'; allowed: http"),
    ],
)
def test_redirects_that_are_refused(
    server: Server, store: Store, location: str, message: str
) -> None:
    assert message in fetch_error(store, source_at(server.serve("/net.pth", redirect(location))))


def test_http_is_refused_by_default(server: Server, tmp_path: Path) -> None:
    store = Store(tmp_path / "cache", Network(), io.StringIO())
    assert "allowed: https://" in fetch_error(
        store, source_at(server.serve("/net.pth", GoodFile()))
    )
    assert server.requests == []


def test_https_in_capitals_is_encrypted_too(server: Server, tmp_path: Path) -> None:
    store = Store(tmp_path / "cache", Network(), io.StringIO())
    plain = server.serve("/net.pth", GoodFile())
    assert "no answer" in fetch_error(store, source_at(plain.replace("http:", "HTTPS:")))
    assert server.requests == []
