"""The signature of a version: whose it is, of what, and what is refused."""

from pathlib import Path

import pytest

from runtime import load
from runtime.artifact import signature
from runtime.artifact.manifest import read_manifest
from runtime.artifact.signature import SIGNATURE, TrustedKeys, key_text, parse_public_keys
from runtime.errors import ArtifactError
from runtime.transport.contents import check_version, list_contents
from tests.support.artifacts import CLASSIFIER, edit_manifest, write_artifact
from tests.support.signing import OTHER, TRUSTED, public, sign, signature_of

KEYS = TrustedKeys((public(TRUSTED),))


@pytest.fixture
def version(tmp_path: Path) -> Path:
    return write_artifact(tmp_path, CLASSIFIER)


def check(directory: Path, keys: TrustedKeys = KEYS) -> None:
    keys.check(directory, (directory / "manifest.json").read_bytes())


def test_a_signed_version_loads(version: Path) -> None:
    sign(version)
    assert load(version, trusted=KEYS).manifest.id == version.parent.name
    sign(version, OTHER, TRUSTED)  # one of the keys suffices
    check(version)


def test_nothing_has_to_be_signed_without_keys(version: Path) -> None:
    (version / SIGNATURE).write_text("nonsense")
    check(version, TrustedKeys())
    load(version)


def test_a_version_without_a_signature_is_refused(version: Path) -> None:
    with pytest.raises(ArtifactError, match=r"is not signed; allowed: manifest\.sig by a trusted"):
        load(version, trusted=KEYS)


def test_another_signer_is_refused_and_named(version: Path) -> None:
    sign(version, OTHER)
    with pytest.raises(ArtifactError, match="which is not trusted") as refusal:
        load(version, trusted=KEYS)
    assert key_text(public(OTHER)) in str(refusal.value)


def test_another_manifest_is_refused_before_it_is_parsed(version: Path) -> None:
    sign(version)
    edit_manifest(version, {"calibration": "changed"})
    with pytest.raises(ArtifactError, match="one of them was changed"):
        load(version, trusted=KEYS)
    (version / "manifest.json").write_text("{")
    with pytest.raises(ArtifactError, match="one of them was changed"):
        load(version, trusted=KEYS)


def test_a_file_that_the_signed_manifest_does_not_name_is_refused(version: Path) -> None:
    sign(version)
    path = version / "float.onnx"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ArtifactError, match="sha256"):
        load(version, trusted=KEYS)


def test_a_signature_for_another_purpose_is_none(version: Path) -> None:
    manifest = (version / "manifest.json").read_bytes()
    (version / SIGNATURE).write_text(str(signature_of(manifest, context=b"")))
    with pytest.raises(ArtifactError, match="one of them was changed"):
        check(version)


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        "rsa {key} {signature}",
        "ed25519 {signature} {key}",
        "ed25519 {key} {signature} more",
        "ed25519 {key} !",
        "ed25519 \xe9 {signature}",
    ],
)
def test_a_malformed_signature_is_refused(text: str, version: Path) -> None:
    line = str(signature_of(b"")).split()
    filled = text.format(key=line[1], signature=line[2])
    (version / SIGNATURE).write_text(f"{signature_of(b'')}\n{filled}", encoding="latin-1")
    with pytest.raises(ArtifactError, match="line 2 is wrong; allowed: ed25519"):
        check(version)


def test_a_signature_without_end_is_refused(version: Path) -> None:
    (version / SIGNATURE).write_text("\n" * 20_000)
    with pytest.raises(ArtifactError, match="more than 16384 bytes"):
        check(version)


def test_public_keys_are_read() -> None:
    keys = (public(TRUSTED), public(OTHER))
    assert parse_public_keys(" , ".join(map(key_text, keys))) == keys
    assert parse_public_keys("") == ()
    for text in ("AAAA", "!", key_text(b"x" * 64)):
        with pytest.raises(ArtifactError, match="allowed: 32 bytes in base64"):
            parse_public_keys(text)


def test_the_library_is_asked_for_only_with_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signature, "is_installed", lambda: False)
    TrustedKeys().check_library()
    with pytest.raises(ArtifactError, match=r"pip install --require-hashes -r requirements/sign"):
        KEYS.check_library()


def test_a_signature_travels_with_its_version(version: Path) -> None:
    folder = f"{version.parent.name}/1"
    assert f"{folder}/{SIGNATURE}" not in [item.name for item in list_contents(version)]
    sign(version)
    items = list_contents(version)
    assert f"{folder}/{SIGNATURE}" in [item.name for item in items]
    check_version(version, items, "here")
    assert read_manifest(version)
