"""References, credentials and manifests: what is read, and what is refused."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from runtime.errors import ArtifactError, InputError
from runtime.transport.authorization import parse_challenge
from runtime.transport.contents import Item
from runtime.transport.credentials import find_credentials
from runtime.transport.oci_manifest import manifest_of, parse_manifest
from runtime.transport.reference import parse_reference

HEX = "a" * 64
ITEM = Item("model/1/manifest.json", HEX, 10)


@pytest.mark.parametrize(
    "text",
    [
        "oci://registry.example/zoo",
        "oci://registry.example:5000/a/b_c/d-e:v1.0",
        f"oci://localhost/zoo@sha256:{HEX}",
        f"oci://[::1]:5000/zoo:tag@sha256:{HEX}",
    ],
)
def test_a_reference_reads_as_it_is_written(text: str) -> None:
    assert str(parse_reference(text)) == text


def test_a_digest_counts_more_than_a_tag() -> None:
    assert parse_reference(f"oci://h/z:tag@sha256:{HEX}").version == f"sha256:{HEX}"
    assert parse_reference("oci://h/z").version == "latest"
    assert parse_reference("oci://docker.io/me/zoo").host == "registry-1.docker.io"


@pytest.mark.parametrize(
    "text",
    [
        "registry.example/zoo",
        "oci://registry.example",
        "oci://registry.example/Zoo",
        "oci://registry.example/../zoo",
        "oci://me:secret@registry.example/zoo",
        "oci://registry.example/zoo@sha256:abc",
        "oci://registry.example/zoo?x=1",
        "oci://h/" + "a" * 600,
        "oci://h/z\n",
    ],
)
def test_other_references_are_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"allowed: oci://REGISTRY"):
        parse_reference(text)


def docker_config(folder: Path, content: Any) -> dict[str, str]:
    (folder / "config.json").write_text(json.dumps(content))
    return {"DOCKER_CONFIG": str(folder)}


def test_credentials_come_from_the_environment_or_from_docker(tmp_path: Path) -> None:
    auth = base64.b64encode(b"me:se:cret").decode()
    environ = docker_config(tmp_path, {"auths": {"registry.example": {"auth": auth}}})
    credentials = find_credentials("registry.example", environ)
    assert credentials is not None
    assert (credentials.user, credentials.password) == ("me", "se:cret")
    assert "cret" not in repr(credentials)
    assert find_credentials("other.example", environ) is None
    variables = {"SLIPWAY_REGISTRY_USER": "you", "SLIPWAY_REGISTRY_PASSWORD": "x"}
    chosen = find_credentials("registry.example", {**environ, **variables})
    assert chosen is not None
    assert chosen.user == "you"
    assert find_credentials("registry.example", {"HOME": str(tmp_path / "absent")}) is None


def test_half_credentials_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="SLIPWAY_REGISTRY_PASSWORD is not set"):
        find_credentials("h", {"SLIPWAY_REGISTRY_USER": "you"})
    with pytest.raises(ArtifactError, match="credential helpers are not asked"):
        find_credentials("h", docker_config(tmp_path, {"auths": {"h": {}}}))
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ArtifactError, match="cannot be read"):
        find_credentials("h", {"DOCKER_CONFIG": str(tmp_path)})


def test_a_challenge_has_scheme_and_parameters() -> None:
    header = 'Bearer realm="https://auth.example/token",service="s",scope="repository:a:pull,push"'
    scheme, parameters = parse_challenge(header)
    assert scheme == "bearer"
    assert parameters == {
        "realm": "https://auth.example/token",
        "service": "s",
        "scope": "repository:a:pull,push",
    }


def changed(**layer: Any) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(manifest_of([ITEM]))
    content["layers"][0].update(layer)
    return content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "allowed: application/vnd.slipway"),
        ({"config": {"mediaType": "application/vnd.oci.image.config.v1+json"}}, "has a config of"),
        ({**changed(), "layers": {}}, "no list of layers"),
        ({**changed(), "layers": []}, "no version of a model"),
        (changed(mediaType="application/vnd.oci.image.layer.v1.tar"), "is of another type"),
        (changed(digest="md5:1"), "lacks its digest"),
        (changed(size="10"), "lacks its digest"),
        (changed(size=-1), "has -1 bytes"),
        (changed(size=5 << 20), "has 5242880 bytes; allowed: 4194304"),
        (changed(annotations={}), "lacks its digest"),
        (changed(annotations={"org.opencontainers.image.title": "../../x"}), "holds '../../x'"),
        ({**changed(), "layers": [changed()["layers"][0]] * 2}, "twice"),
        ({**changed(), "layers": [changed()["layers"][0]] * 10_001}, "10001 files"),
    ],
)
def test_other_manifests_are_refused(content: Any, message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        parse_manifest(json.dumps(content).encode(), "here", 1000)


def test_a_manifest_reads_as_it_is_written() -> None:
    assert parse_manifest(manifest_of([ITEM]), "here", 10) == [ITEM]
    with pytest.raises(ArtifactError, match="allowed: 9"):
        parse_manifest(manifest_of([ITEM]), "here", 9)
    for data in (b"{", b"[" * 100_000, b"\xff"):
        with pytest.raises(ArtifactError):
            parse_manifest(data, "here", 10)
