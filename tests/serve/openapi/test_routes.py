"""GET /openapi.json and /docs."""

import gzip
import hashlib
import re
from collections.abc import Iterator

import httpx
import pytest

from serve.openapi.routes import VIEWER
from serve.settings import Settings
from tests.serve.support.server import running
from tests.support.artifacts import CLASSIFIER, write_artifact

MOST_BYTES = 1_000_000  # of the viewer and its licences


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    root = tmp_path_factory.mktemp("artifacts")
    write_artifact(root, CLASSIFIER)
    proxies = Settings().trusted_proxies
    with running(Settings(artifacts=root, base_path="/emotion", trusted_proxies=proxies)) as client:
        yield client


def test_the_document_is_kept_by_its_etag(client: httpx.Client) -> None:
    first = client.get("/emotion/openapi.json")
    assert first.json()["openapi"] == "3.1.0"
    assert first.json()["servers"] == [{"url": "/emotion"}]
    headers = {"If-None-Match": first.headers["etag"]}
    again = client.get("/emotion/openapi.json", headers=headers)
    assert (again.status_code, again.content) == (304, b"")
    other = client.get("/emotion/openapi.json", headers={"If-None-Match": '"other"'})
    assert (other.status_code, other.content) == (200, first.content)


def test_the_document_is_compressed_if_the_client_likes(client: httpx.Client) -> None:
    plain = client.get("/emotion/openapi.json", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    with client.stream("GET", "/emotion/openapi.json") as response:
        raw = b"".join(response.iter_raw())
    assert gzip.decompress(raw) == plain.content
    assert response.headers["etag"] == plain.headers["etag"]


def test_the_page_asks_this_origin_alone(client: httpx.Client) -> None:
    page = client.get("/emotion/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    addresses = re.findall(r'(?:src|href|spec-url)="(?!data:)([^"]*)"', page.text)
    assert len(addresses) == 3
    for address in addresses:
        assert client.get(page.url.join(address)).status_code == 200
        assert "//" not in address
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self';")
    assert "http" not in policy


def test_the_viewer_is_the_published_file(client: httpx.Client) -> None:
    answers = [
        client.get("/emotion/docs/redoc.standalone.js", headers={"Accept-Encoding": encoding})
        for encoding in ("gzip", "identity")
    ]
    assert [answer.headers.get("content-encoding") for answer in answers] == ["gzip", None]
    assert answers[0].content == answers[1].content
    digest = hashlib.sha256(answers[0].content).hexdigest()
    assert digest in (VIEWER / "README.md").read_text(encoding="utf-8")


def test_the_viewer_comes_with_its_licences(client: httpx.Client) -> None:
    for name in ("LICENSE.txt", "redoc.standalone.js.LICENSE.txt"):
        assert "MIT" in client.get(f"/emotion/docs/{name}").text
    assert sum(path.stat().st_size for path in VIEWER.iterdir()) <= MOST_BYTES


def test_other_files_are_not_there(client: httpx.Client) -> None:
    answer = client.get("/emotion/docs/README.md")
    assert answer.status_code == 404
    assert answer.json()["error"].startswith("no file 'README.md'; known: redoc.standalone.js")
