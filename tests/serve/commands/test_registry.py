"""`plan` and `doctor` with SLIPWAY_ARTIFACTS=oci://..., against a docker-registry."""

import json
from pathlib import Path

import pytest

from runtime.transport.limits import Limits
from runtime.transport.reference import Reference, parse_reference
from runtime.transport.registry import Registry
from runtime.transport.transfer import push
from serve.commands import doctor, plan
from serve.repository.pulled import pull_artifacts
from serve.settings import Settings
from tests.serve.commands.test_plan import measure
from tests.support.artifacts import CLASSIFIER, write_artifact
from tests.support.registry import Gate

MODEL = "face_emotion_xception"


@pytest.fixture
def reference(gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reference:
    """Send two versions of a model, the newer one with another time; return the tag."""
    for version, ms in ((1, 50.0), (2, 5.0)):
        measure(write_artifact(tmp_path / "artifacts", CLASSIFIER, version=version), {"1": ms})
    reference = parse_reference(f"oci://{gate.host}/zoo:now")
    push(tmp_path / "artifacts", Registry(reference, Limits()), lambda _: None)
    gate.requests.clear()
    monkeypatch.setenv("SLIPWAY_ARTIFACTS", str(reference))
    monkeypatch.setenv("SLIPWAY_PULL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    return reference


def planned_ms(capsys: pytest.CaptureFixture[str]) -> float:
    limits = ("--memory", "512", "--cpus", "2", "--around-ms", "1")
    assert plan.main(["--rps", "1", "--json", *limits]) == 0
    content = json.loads(capsys.readouterr().out)
    return float(content["models"][MODEL]["service_s"]) * 1000


def fill_cache(tmp_path: Path, reference: Reference) -> None:
    settings = Settings(artifacts=reference, pull_cache=tmp_path / "cache")
    snapshot = pull_artifacts(settings, lambda _: None).snapshot
    assert snapshot is not None
    snapshot.release()


def bundle(tmp_path: Path, name: str, *arguments: str) -> dict[str, object]:
    output = tmp_path / name
    assert doctor.main(["--output", str(output), *arguments]) == 0
    content: dict[str, object] = json.loads((output / "artifacts.json").read_text())
    return content


def test_a_plan_downloads_manifests_alone(
    reference: Reference, gate: Gate, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert planned_ms(capsys) == pytest.approx(6.0)  # of the newest version
    assert len(gate.of("GET", "/blobs/")) == 2
    manifests = (tmp_path / "artifacts").glob("*/*/manifest.json")
    assert gate.sent == sum(path.stat().st_size for path in manifests)
    assert not (tmp_path / "cache").exists()
    del reference


def test_a_plan_takes_the_cache_where_the_registry_is_away(
    reference: Reference,
    gate: Gate,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fill_cache(tmp_path, reference)
    gate.registry_port = 1  # nobody listens
    assert planned_ms(capsys) == pytest.approx(6.0)
    monkeypatch.setenv("SLIPWAY_PULL_CACHE", str(tmp_path / "empty"))
    assert plan.main(["--rps", "1"]) == 1
    assert f"plan: {gate.host} is not reached" in capsys.readouterr().err


def test_a_plan_of_what_is_not_there_is_refused(
    gate: Gate, capsys: pytest.CaptureFixture[str]
) -> None:
    for text, message in (
        (f"oci://{gate.host}/nothing", "no manifest latest: HTTP 404"),
        ("oci://nowhere", "the reference is 'oci://nowhere'; allowed: oci://REGISTRY"),
    ):
        assert plan.main(["--rps", "1", "--artifacts", text]) == 1
        assert message in capsys.readouterr().err


def test_the_bundle_has_what_the_registry_and_the_cache_have(
    reference: Reference, gate: Gate, tmp_path: Path
) -> None:
    before = bundle(tmp_path, "before")
    assert before["reference"] == str(reference)
    assert before["cache"] == {"problem": f"{tmp_path / 'cache'} does not hold it"}
    there = before["registry"]
    assert isinstance(there, dict)
    assert there["versions"] == [f"{MODEL}/1", f"{MODEL}/2"]
    fill_cache(tmp_path, reference)
    gate.registry_port = 1
    after = bundle(tmp_path, "after", "--verify")
    assert "is not reached" in str(after["registry"])
    cache = after["cache"]
    assert isinstance(cache, dict)
    assert cache["digest"] == there["digest"]
    assert cache["models"][MODEL]["2"]["problems"] == []


def test_the_bundle_names_a_file_of_the_cache_that_was_changed(
    reference: Reference, tmp_path: Path
) -> None:
    fill_cache(tmp_path, reference)
    (path,) = (tmp_path / "cache").glob(f"*/{MODEL}/2/float.onnx")
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    cache = bundle(tmp_path, "bundle", "--verify")["cache"]
    assert isinstance(cache, dict)
    assert "has sha256" in cache["models"][MODEL]["2"]["problems"][0]


def test_a_wrong_reference_is_a_line_of_the_bundle(tmp_path: Path) -> None:
    content = bundle(tmp_path, "bundle", "--artifacts", "oci://nowhere")
    assert "allowed: oci://REGISTRY" in str(content["problem"])
