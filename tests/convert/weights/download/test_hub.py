"""Repositories of the Hugging Face hub: the commit and files of the first download are binding."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from convert.errors import CheckpointError, SourceError
from convert.sources import Expected, HubSource
from convert.weights.download import Store
from tests.convert.support.downloads import new_store
from tests.convert.support.file_server import GoodFile, Handler, Server, not_found, status

COMMIT, NEXT = "a" * 40, "b" * 40
FILES = {"config.json": b'{"a": 1}', "model.safetensors": b"weights" * 100}
REPOSITORY = HubSource(
    "owner/name",
    licence="MIT",
    files=("config.json",),
    one_of=("model.safetensors", "pytorch_model.bin"),
    optional=("preprocessor_config.json", "1_Pooling/config.json"),
)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def publish(
    server: Server, files: dict[str, bytes], *, commit: str = COMMIT, revision: str = ""
) -> dict[str, Any]:
    """Serve a repository at a commit; return the answer of the hub's API."""
    for name, content in files.items():
        server.serve(f"/owner/name/resolve/{commit}/{name}", GoodFile(content))
    siblings: list[dict[str, Any]] = []
    for name, content in files.items():
        large = {"sha256": sha256(content), "size": len(content), "pointerSize": 130}
        lfs = {"lfs": large} if len(content) > 100 else {}
        siblings.append({"rfilename": name, "blobId": "", "size": len(content), **lfs})
    answer = {"sha": commit, "siblings": siblings, "private": False}
    server.serve(f"/api/models/owner/name{revision}?blobs=true", answering(answer))
    return answer


def answering(answer: object) -> Handler:
    return status(200, json.dumps(answer).encode(), "application/json; charset=utf-8")


def hub_store(server: Server, tmp_path: Path) -> Store:
    return replace(new_store(tmp_path), hub=server.address(""))


def content_of(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


def test_repository_becomes_a_folder_at_a_recorded_revision(server: Server, tmp_path: Path) -> None:
    store = hub_store(server, tmp_path)
    publish(server, {**FILES, "README.md": b"", "1_Pooling/config.json": b"{}"})
    fetched = store.fetch(REPOSITORY)
    assert content_of(fetched.path) == {**FILES, "1_Pooling/config.json": b"{}"}
    assert fetched.address == f"https://huggingface.co/owner/name/tree/{COMMIT}"
    count = len(server.requests)
    assert store.fetch(REPOSITORY) == fetched
    assert replace(store, network=None).fetch(REPOSITORY) == fetched
    assert len(server.requests) == count
    (record,) = store.root.glob("*.json")
    content = json.loads(record.read_text())
    assert content["revision"] == COMMIT
    assert {name: file["sha256"] for name, file in content["files"].items()} == {
        name: sha256(data) for name, data in content_of(fetched.path).items()
    }


def test_recorded_revision_is_used_after_main_has_moved(server: Server, tmp_path: Path) -> None:
    store = hub_store(server, tmp_path)
    publish(server, FILES)
    directory = store.fetch(REPOSITORY).path
    publish(server, {**FILES, "config.json": b"{}"}, commit=NEXT)
    (directory / "config.json").unlink()
    assert content_of(store.fetch(REPOSITORY).path) == FILES


def test_file_that_changed_at_its_revision_is_refused_with_both_hashes(
    server: Server, tmp_path: Path
) -> None:
    store = hub_store(server, tmp_path)
    publish(server, FILES)
    directory = store.fetch(REPOSITORY).path
    (directory / "config.json").write_bytes(b"damaged")
    other = b'{"a": 2}'
    publish(server, {**FILES, "config.json": other})
    with pytest.raises(CheckpointError) as caught:
        store.fetch(REPOSITORY)
    assert not isinstance(caught.value, SourceError)
    for content in (other, FILES["config.json"]):
        assert sha256(content) in str(caught.value)
    assert (directory / "config.json").read_bytes() == b"damaged"  # and was refused
    with pytest.raises(CheckpointError):
        store.fetch(REPOSITORY)


def test_large_file_must_have_the_hash_that_the_hub_states(server: Server, tmp_path: Path) -> None:
    store = hub_store(server, tmp_path)
    publish(server, FILES)
    wrong = GoodFile(b"WEIGHTS" * 100)
    server.serve(f"/owner/name/resolve/{COMMIT}/model.safetensors", wrong)
    with pytest.raises(CheckpointError, match=f"{sha256(FILES['model.safetensors'])} expected"):
        store.fetch(REPOSITORY)
    assert list(store.root.glob("*.json")) == []


def test_pinned_hash_is_checked_at_the_first_download(server: Server, tmp_path: Path) -> None:
    publish(server, FILES)
    pinned = replace(REPOSITORY, expected={"config.json": Expected(sha256=sha256(b"other"))})
    with pytest.raises(CheckpointError, match=f"{sha256(b'other')} expected"):
        hub_store(server, tmp_path).fetch(pinned)


def test_half_a_repository_is_no_download(server: Server, tmp_path: Path) -> None:
    store = hub_store(server, tmp_path)
    publish(server, {**FILES, "preprocessor_config.json": b"{}"})
    server.serve(f"/owner/name/resolve/{COMMIT}/model.safetensors", status(500))
    with pytest.raises(SourceError, match="status 500"):
        store.fetch(REPOSITORY)
    assert [path.name for path in store.root.iterdir() if path.suffix == ".json"] == []
    # meanwhile main has moved: nothing of the first revision may come with the second
    publish(server, {"config.json": b'{"b": 1}', "pytorch_model.bin": b"x"}, commit=NEXT)
    fetched = store.fetch(REPOSITORY)
    assert content_of(fetched.path) == {"config.json": b'{"b": 1}', "pytorch_model.bin": b"x"}
    assert fetched.address.endswith(NEXT)
    assert list(store.root.glob("*.partial*")) == []


def test_named_revision_is_requested(server: Server, tmp_path: Path) -> None:
    publish(server, FILES, revision="/revision/v1.0")
    fetched = hub_store(server, tmp_path).fetch(replace(REPOSITORY, revision="v1.0"))
    assert content_of(fetched.path) == FILES
    assert server.requests[0][0] == "/api/models/owner/name/revision/v1.0?blobs=true"


@pytest.mark.parametrize(
    ("handler", "message"),
    [
        (not_found, "status 404, nothing is there"),
        (status(401), "status 401, it wants a login"),
        (status(200, b"<html>", "text/html"), "server sent a web page"),
        (status(200, b"{"), "not JSON"),
        (answering([]), "not the answer of a hub"),
        (answering({"sha": COMMIT}), "not the answer of a hub: KeyError('siblings')"),
        (answering({"sha": "main", "siblings": []}), "revision 'main' is no commit"),
        (
            answering({"sha": COMMIT, "siblings": [{"rfilename": "config.json"}]}),
            "no model.safetensors; it has config.json",
        ),
    ],
)
def test_no_such_repository(server: Server, tmp_path: Path, handler: Handler, message: str) -> None:
    server.serve("/api/models/owner/name?blobs=true", handler)
    with pytest.raises(SourceError) as caught:
        hub_store(server, tmp_path).fetch(REPOSITORY)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
