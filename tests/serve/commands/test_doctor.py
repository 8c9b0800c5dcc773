"""`python -m serve doctor`: nothing of it is a secret or a payload."""

import json
import tarfile
from pathlib import Path

import pytest

from serve.commands.bundle.masking import SECRETS
from serve.commands.doctor import main
from serve.settings import Settings
from tests.serve.support.server import running
from tests.support.artifacts import CLASSIFIER, write_artifact
from tests.support.images import solid

ADMIN, PASSWORD, KEY = "admin-key-4711", "redis-pass-4711", "client-key-4711"
SECRET_TEXTS = (ADMIN, PASSWORD, KEY, "patient-4711", "cookie-4711")
MODEL = "/v1/models/face_emotion_xception"


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_ADMIN_KEY", ADMIN)
    monkeypatch.setenv("SLIPWAY_REDIS_URL", f"redis://user:{PASSWORD}@cache:6379/0")
    monkeypatch.setenv("SLIPWAY_QUEUE", "many")
    monkeypatch.setenv("SLIPWAY_QUEU", ADMIN)
    monkeypatch.setenv("OTHER_TOKEN", "cookie-4711")


def unpacked(path: Path) -> dict[str, str]:
    texts = {}
    with tarfile.open(path) as archive:
        for entry in archive.getmembers():
            stream = archive.extractfile(entry)
            assert stream is not None
            assert entry.mode == 0o600
            texts[entry.name.removeprefix("slipway-debug/")] = stream.read().decode()
    return texts


def test_the_secrets_are_those_that_settings_do_not_print() -> None:
    assert {"SLIPWAY_ADMIN_KEY", "SLIPWAY_REDIS_URL"} <= SECRETS


@pytest.mark.usefixtures("environ")
def test_a_bundle_of_a_running_server_has_no_secret_and_no_payload(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    artifacts = tmp_path / "artifacts"
    write_artifact(artifacts, CLASSIFIER)
    log = tmp_path / "log"
    log.write_text(
        f"serve: cache at redis://user:other-{PASSWORD}@cache:1\n"
        f"serve: header Authorization: Bearer {KEY}\n"
        f'proxy: "GET /?name=patient-4711" cookie-4711\nValueError: patient-4711\n'
    )
    (tmp_path / "key").write_text(KEY + "\n")
    output = tmp_path / "bundle.tar.gz"
    with running(Settings(artifacts=artifacts, admin_key=ADMIN)) as client:
        image = solid(9, 9, 9)
        client.post(
            MODEL, files={"file": ("patient-4711.jpg", image)}, headers={"X-Request-Id": KEY}
        )
        client.post(f"{MODEL}?name=patient-4711", content=b"patient-4711")
        options = ("--url", str(client.base_url), "--key-file", str(tmp_path / "key"))
        arguments = ("--artifacts", str(artifacts), "--log", str(log), "--output", str(output))
        assert main([*options, *arguments]) == 0
    texts = unpacked(output)
    whole = "\n".join(texts.values())
    assert [text for text in SECRET_TEXTS if text in whole] == []
    assert image.hex() not in whole.encode("latin-1", "replace").hex()
    assert "slipway_requests_total" in texts["server/metrics.txt"]
    assert "face_emotion_xception" in json.loads(texts["server/memory.json"])["models"]
    assert texts["log.txt"].startswith("serve: cache at redis://***@cache:1\n")
    printed = capsys.readouterr().out
    assert all(name in printed for name in texts)


@pytest.mark.usefixtures("environ")
def test_the_settings_say_which_are_set_and_which_are_wrong(tmp_path: Path) -> None:
    assert main(["--artifacts", str(tmp_path), "--output", str(tmp_path / "bundle")]) == 0
    content = json.loads((tmp_path / "bundle" / "settings.json").read_text())
    assert content["settings"]["SLIPWAY_ADMIN_KEY"] == {"value": "***", "allowed": True}
    assert content["settings"]["SLIPWAY_QUEUE"] == {"value": "many", "allowed": False}
    assert content["settings"]["PORT"] == {"default": "8000"}
    assert "the nearest is SLIPWAY_QUEUE" in content["unknown"][0]
    limits = json.loads((tmp_path / "bundle" / "limits.json").read_text())
    assert limits["cpus"] >= 1
    versions = json.loads((tmp_path / "bundle" / "versions.json").read_text())
    assert versions["packages"]["onnxruntime"]


def test_a_file_that_was_changed_is_named_with_verify(tmp_path: Path) -> None:
    directory = write_artifact(tmp_path / "artifacts", CLASSIFIER)
    path = directory / "float.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    problems = []
    for name, flags in (("size", ()), ("hash", ("--verify",))):
        output = tmp_path / name
        arguments = ("--artifacts", str(tmp_path / "artifacts"), "--output", str(output))
        assert main([*arguments, *flags]) == 0
        content = json.loads((output / "artifacts.json").read_text())
        problems.append(content["models"]["face_emotion_xception"]["1"]["problems"])
    assert problems[0] == []
    assert "has sha256" in problems[1][0]


def test_a_server_that_does_not_answer_is_no_failure(tmp_path: Path) -> None:
    output = tmp_path / "bundle"
    assert main(["--url", "http://127.0.0.1:1", "--output", str(output)]) == 0
    assert (output / "server/memory.json").read_text().startswith("no answer: ")


def test_what_exists_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--output", str(tmp_path)]) == 1
    assert "exists; allowed: a new file or directory" in capsys.readouterr().err
