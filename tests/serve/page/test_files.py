"""The files of the page over HTTP: sizes, validators, headers, prefixes, and the switch."""

import gzip
import re
from ipaddress import ip_network
from pathlib import Path

import httpx
import pytest

from serve.page.files import INDEX, STATIC, TEXTS, read_static_files
from serve.page.panels import panels_of
from serve.page.routes import has_current, takes_gzip
from serve.settings import Settings
from tests.serve.conftest import Serve
from tests.support.artifacts import EMBEDDING, write_artifact

PROJECT = Path(__file__).parents[3]
LIMIT_BYTES = 60_000  # of all texts, by gzip
COLOURS = re.compile(r"--[a-z-]+: #[0-9a-f]{6};")


@pytest.fixture(scope="module")
def one_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("artifacts")
    write_artifact(root, EMBEDDING)
    return root


def test_the_texts_are_small() -> None:
    files = read_static_files()
    texts = [file for file in files.values() if file.compressed is not None]
    assert len(texts) > 10
    assert sum(len(file.compressed or b"") for file in texts) <= LIMIT_BYTES


def test_file_names_are_unique_so_that_each_file_is_served() -> None:
    assert len(read_static_files()) == sum(path.is_file() for path in STATIC.rglob("*"))


def test_the_colours_are_those_of_the_report() -> None:
    report = PROJECT / "convert" / "commands" / "report" / "style.css"
    page = STATIC / "style.css"
    colours, of_report = (COLOURS.findall(path.read_text("utf-8")) for path in (page, report))
    assert len(colours) > 20
    assert colours == of_report


@pytest.mark.parametrize("path", sorted(STATIC.rglob("*.*")), ids=lambda path: path.name)
def test_no_file_names_another_origin_or_has_a_script_or_style_within(path: Path) -> None:
    if path.suffix not in TEXTS:
        return
    text = path.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")  # a name, no address
    assert "//" not in re.sub(r"(^|\s)// .*", "", text), "an address"
    assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|\beval\(", text)
    if path.suffix == ".html":
        assert not re.search(r"<style|\son[a-z]+=|\sstyle=|<script(?![^>]*\ssrc=)", text)


def test_the_page_and_each_file_that_it_names(client: httpx.Client) -> None:
    response = client.get("/")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    named = re.findall(r'(?:src|href)="(page/[^"]+)"', response.text)
    assert len(named) == 3
    for name in named:
        assert client.get(f"/{name}").status_code == 200, name


def test_compressed_only_for_clients_that_ask(client: httpx.Client) -> None:
    content = (STATIC / "style.css").read_bytes()
    for encoding, compressed in (("gzip", True), ("identity", False), ("gzip;q=0", False)):
        headers = {"Accept-Encoding": encoding}
        with client.stream("GET", "/page/style.css", headers=headers) as response:
            raw = b"".join(response.iter_raw())
        assert (response.headers.get("content-encoding") == "gzip") is compressed
        assert response.headers["vary"] == "Accept-Encoding"
        assert (gzip.decompress(raw) if compressed else raw) == content


def test_a_file_that_the_browser_has_is_not_sent_again(client: httpx.Client) -> None:
    tag = client.get("/page/main.js").headers["etag"]
    again = client.get("/page/main.js", headers={"If-None-Match": f'"other", {tag}'})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == tag
    assert client.get("/", headers={"If-None-Match": tag}).status_code == 200


def test_policy_and_caching(client: httpx.Client) -> None:
    for path in ("/", "/page/main.js", "/page/people.jpg"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        assert "unsafe" not in policy
        assert headers["cache-control"] == "no-cache"
        assert headers["x-content-type-options"] == "nosniff"
    assert client.get("/page/facts").headers["cache-control"] == "no-store"


def test_other_names_are_404(client: httpx.Client) -> None:
    for name in ("nothing.js", "..%2Ffiles.py", "%2e%2e/files.py", "files.py"):
        response = client.get(f"/page/{name}")
        assert response.status_code == 404
        assert "error" in response.json()


def test_switched_off(serve: Serve, one_model: Path) -> None:
    client = serve(Settings(artifacts=one_model, page=False))
    assert client.get("/").status_code == 404
    assert client.get("/page/main.js").status_code == 404
    assert client.get("/health").status_code == 200


def test_prefixes_of_a_proxy(serve: Serve, one_model: Path) -> None:
    trusted = (ip_network("127.0.0.0/8"),)
    client = serve(Settings(artifacts=one_model, trusted_proxies=trusted))
    prefix = {"X-Forwarded-Prefix": "/emotion"}
    assert client.get("/", headers=prefix).status_code == 200
    assert client.get("/page/main.js", headers=prefix).status_code == 200


def test_facts_name_the_models_of_each_panel(client: httpx.Client) -> None:
    facts = client.get("/page/facts").json()
    served = {name: panel["served"] for name, panel in facts["panels"].items()}
    assert served == {
        "faces": True, "voice": False, "gait": False, "similarity": True, "cutout": True,
        "text": False,
    }  # fmt: skip
    assert facts["panels"]["faces"]["models"] == ["face_emotion_xception"]
    assert facts["models"]["face_emotion_xception"]["state"] == "ready"
    assert facts["limits"]["upload_bytes"] == Settings().max_upload_bytes


def test_panels_of_voters_detectors_and_texts() -> None:
    ids = ("face_detector_blazeface", "face_emotion_arcface", "face_emotion_xception", "notes")
    panels = panels_of({"notes": "sentence-similarity"}, ids, Settings())
    assert panels["faces"].models == ("face_emotion_arcface", "face_detector_blazeface")
    assert panels["text"].models == ("notes",)
    assert panels["cutout"].to_json() == {
        "served": True, "models": (), "needs": ("background_u2netp",),
    }  # fmt: skip
    assert not panels_of({}, ("face_detector_yunet",), Settings())["faces"].to_json()["served"]


@pytest.mark.parametrize(
    ("header", "expected"),
    [("", False), ("gzip", True), ("br, GZIP ; q=0.5", True), ("gzip;q=0.0", False), ("br", False)],
)
def test_accept_encoding(header: str, expected: bool) -> None:
    assert takes_gzip(header) is expected


def test_if_none_match() -> None:
    assert has_current('W/"a", W/"b"', 'W/"b"')
    assert has_current("*", 'W/"b"')
    assert not has_current("", 'W/"b"')


def test_a_model_that_failed_is_named_with_its_reason(serve: Serve, tmp_path: Path) -> None:
    write_artifact(tmp_path, EMBEDDING)
    broken = write_artifact(tmp_path, EMBEDDING, version=2)
    (broken / "float.onnx").write_bytes(b"broken")
    facts = serve(Settings(artifacts=tmp_path)).get("/page/facts").json()
    assert facts["models"]["image_embedding_mobilenetv2"]["refused"].keys() == {"2"}
    assert INDEX in read_static_files()
