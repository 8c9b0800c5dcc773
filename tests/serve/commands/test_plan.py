"""`python -m serve plan` with artifacts whose manifests have measurements."""

import json
from pathlib import Path

import pytest

from runtime.artifact.manifest import MANIFEST, read_manifest
from serve.commands.plan import main
from serve.commands.planning.measured import cost_of
from serve.repository.memory.budget import MIB
from tests.support.artifacts import CLASSIFIER, EMBEDDING, write_artifact

FAST, SLOW = "face_emotion_xception", "image_embedding_mobilenetv2"


def measure(directory: Path, batch_ms: dict[str, float], **choice: object) -> None:
    """Write measurements into the manifest of an artifact."""
    path = directory / MANIFEST
    content = json.loads(path.read_text())
    verification = content["variants"][0]["verification"]
    verification |= {"milliseconds": 9.0, "batch_milliseconds": batch_ms}
    content |= choice
    path.write_text(json.dumps(content))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    peak = [{"name": "float", "peak_bytes": 20 * MIB}, {"name": "other", "peak_bytes": 99 * MIB}]
    fast = write_artifact(tmp_path, CLASSIFIER)
    measure(fast, {"1": 7.0, "8": 28.0}, candidates=peak)
    measure(write_artifact(tmp_path, EMBEDDING), {"1": 17.0, "2": 40.0})
    return tmp_path


def plan(folder: Path, *arguments: str) -> int:
    limits = ("--memory", "512", "--cpus", "2", "--around-ms", "3")
    return main(["--artifacts", str(folder), "--rps", "100", *limits, *arguments])


def test_the_costs_are_those_of_the_manifest(folder: Path) -> None:
    cost = cost_of(read_manifest(folder / FAST / "1"))
    size_bytes = (folder / FAST / "1" / "float.onnx").stat().st_size
    assert (cost.run_ms, cost.batch_gain) == (7.0, 2.0)
    assert cost.run_bytes == 20 * MIB - size_bytes
    assert cost.kept_bytes == int(1.1 * size_bytes) + 8 * MIB


def test_a_plan_in_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert plan(folder, "--json", "--models", f"{FAST}=3", SLOW) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["models"][FAST]["rate"] == 75
    assert content["models"][FAST]["service_s"] == pytest.approx(0.010)
    assert content["replicas"] == 1  # 75 x 10 ms + 25 x 20 ms of two CPUs
    assert content["utilisation"] == pytest.approx(0.625)
    assert content["models"][SLOW]["memory"] == "assumed"
    assert f"{FAST} computes 2.00 x as many rows" in content["hints"][0]


def test_hits_of_the_cache_are_not_computed_where_answers_are_stored(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert plan(folder, "--json", "--models", f"{FAST}=3", SLOW, "--hit-rate", "0.5") == 0
    # embeddings are stored, emotions are not
    assert json.loads(capsys.readouterr().out)["utilisation"] == pytest.approx((0.75 + 0.25) / 2)


def test_memory_of_a_running_server_counts_first(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cost = {"kept_bytes": 3 * MIB, "run_peak_bytes": 5 * MIB}
    (tmp_path / "memory.json").write_text(json.dumps({"models": {SLOW: {"cost": cost}}}))
    assert plan(folder, "--json", "--costs", str(tmp_path / "memory.json")) == 0
    models = json.loads(capsys.readouterr().out)["models"]
    assert models[SLOW]["run_bytes"] == 5 * MIB
    assert (models[SLOW]["memory"], models[FAST]["memory"]) == ("measured", "manifest")


def test_what_does_not_fit_is_printed_and_the_code_is_1(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert plan(folder, "--memory", "128") == 1
    assert "DOES NOT FIT: image_embedding_mobilenetv2 needs" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--models", "nothing"), "has no nothing; it has face_emotion_xception"),
        (("--models", f"{FAST}=-1"), "the share of face_emotion_xception is '-1'"),
        (("--cpus", "0"), "--cpus is 0; allowed: 1 or more"),
        (("--runs", "257"), "--runs is 257; allowed: 0 to 256"),
        (("--costs", "/dev/null"), "/dev/null is no answer of GET /v1/memory"),
    ],
)
def test_arguments_are_refused(
    folder: Path,
    arguments: tuple[str, ...],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert plan(folder, *arguments) == 1
    assert message in capsys.readouterr().err


def test_an_artifact_without_a_time_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_artifact(tmp_path, CLASSIFIER)
    assert plan(tmp_path) == 1
    assert "tells no time of a run" in capsys.readouterr().err
