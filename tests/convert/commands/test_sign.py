"""`convert sign` makes keys and signatures; `convert verify` checks them."""

import stat
from pathlib import Path

import pytest

from convert.__main__ import main
from convert.commands.verify.sequence import _signature
from runtime.artifact.signature import TrustedKeys, parse_public_keys, read_signatures
from tests.support.artifacts import CLASSIFIER, EMBEDDING, edit_manifest, write_artifact


def new_key(path: Path, capsys: pytest.CaptureFixture[str]) -> bytes:
    capsys.readouterr()
    assert main(["sign", "--new-key", str(path)]) == 0
    (key,) = parse_public_keys(capsys.readouterr().out.strip())
    return key


def verdicts(directory: Path, *signers: bytes) -> list[tuple[str, str]]:
    return [(check.verdict, check.text) for check in _signature(directory, signers)]


def test_every_version_is_signed_and_verified(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, secret = tmp_path / "artifacts", tmp_path / "secret"
    one, two = write_artifact(root, CLASSIFIER), write_artifact(root, EMBEDDING)
    assert verdicts(one) == []
    key = new_key(secret, capsys)
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert [verdict for verdict, _ in verdicts(one, key)] == ["failed"]
    assert main(["sign", "--key", str(secret), str(root)]) == 0
    for directory in (one, two):
        TrustedKeys((key,)).check(directory, (directory / "manifest.json").read_bytes())
        assert [verdict for verdict, _ in verdicts(directory, key)] == ["ok"]
        assert "no trusted key is named" in verdicts(directory)[0][1]
    other = new_key(tmp_path / "other", capsys)
    assert main(["sign", "--key", str(tmp_path / "other"), str(one)]) == 0
    assert main(["sign", "--key", str(secret), str(one)]) == 0
    assert {signature.key for signature in read_signatures(one)} == {key, other}
    edit_manifest(one, {"calibration": "changed"})
    for signers in ((), (key,)):
        assert [verdict for verdict, _ in verdicts(one, *signers)] == ["failed"]


def test_a_damaged_version_is_not_signed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = write_artifact(tmp_path / "artifacts", CLASSIFIER)
    (directory / "golden.npz").write_bytes(b"")
    new_key(tmp_path / "secret", capsys)
    assert main(["sign", "--key", str(tmp_path / "secret"), str(directory)]) == 1
    assert "golden.npz has 0 bytes" in capsys.readouterr().err
    assert not read_signatures(directory)


def test_refusals_show_no_secret(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "secret"
    new_key(path, capsys)
    before = path.read_bytes()
    assert main(["sign", "--new-key", str(path)]) == 1  # it would be lost
    assert path.read_bytes() == before
    assert main(["sign"]) == 1
    path.write_text("ed25519-secret a-word")
    assert main(["sign", "--key", str(path), str(tmp_path)]) == 1
    errors = capsys.readouterr().err
    assert "holds no secret key" in errors
    assert "a-word" not in errors
