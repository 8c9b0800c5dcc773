"""`python -m convert pack`, `push` and `pull`."""

from pathlib import Path

import pytest

from convert.__main__ import main
from tests.support.artifacts import CLASSIFIER, write_artifact
from tests.support.registry import docker_registry

MODEL = "face_emotion_xception"


def test_a_version_goes_into_a_tar_and_to_a_registry_and_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    directory = write_artifact(tmp_path / "artifacts", CLASSIFIER)
    artifacts, tar = str(tmp_path / "artifacts"), str(tmp_path / "zoo.tar")
    assert main(["pack", artifacts, tar]) == 0
    assert main(["pull", tar, "--out", str(tmp_path / "from_tar")]) == 0
    with docker_registry(tmp_path) as registry:
        reference = f"oci://127.0.0.1:{registry.port}/zoo"
        capsys.readouterr()
        assert main(["push", artifacts, f"{reference}:1"]) == 0
        by_digest = capsys.readouterr().out.strip()
        assert by_digest.startswith(f"{reference}@sha256:")
        assert main(["pull", by_digest, "--out", str(tmp_path / "from_registry")]) == 0
        assert main(["pull", f"{reference}:2", "--out", str(tmp_path / "absent")]) == 1
        assert "MANIFEST_UNKNOWN" in capsys.readouterr().err
    for out in ("from_tar", "from_registry"):
        for path in directory.iterdir():
            assert (tmp_path / out / MODEL / "1" / path.name).read_bytes() == path.read_bytes()


def test_what_is_wrong_is_said_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["push", str(tmp_path), "registry.example/zoo"]) == 1
    assert main(["pack", str(tmp_path), str(tmp_path / "a.tar")]) == 1
    assert main(["pull", str(tmp_path / "absent.tar")]) == 1
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 3
    assert "allowed: oci://REGISTRY" in errors[0]
    assert "holds no version of a model; allowed: artifacts" in errors[1]
    assert "absent.tar cannot be read: No such file" in errors[2]
