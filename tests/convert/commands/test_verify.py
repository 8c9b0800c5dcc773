"""`convert verify`: each check fails on an artifact that is broken in its way."""

import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import helper

from convert.__main__ import main
from convert.commands.verify import verify_artifact
from convert.commands.verify.measures import SYNTHETIC
from convert.commands.verify.sequence import selection_reason
from convert.errors import CalibrationError
from convert.verify import batch_times, latency
from runtime.artifact.manifest import read_manifest
from runtime.artifact.schema import to_json
from runtime.engine.resources import cpu_features
from tests.convert.support.finished import put, write_finished
from tests.support.artifacts import GAIT, TEXT, VOICE, add_samples, edit_manifest, write_artifact


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_finished(tmp_path_factory.mktemp("finished"))


@pytest.fixture(autouse=True)
def short_timing(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (latency, batch_times):  # no test here is about speed
        monkeypatch.setattr(module, "SECONDS", 0.01)


@pytest.fixture
def directory(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "1"))


def failures(directory: Path, media: Path | None = None) -> list[str]:
    """Verify; return the failures but for speed, which a busy machine may get wrong."""
    report = verify_artifact(directory, media)
    return [failure for failure in report.failures if not failure.startswith("speed")]


def test_intact_artifact_passes(directory: Path) -> None:
    assert failures(directory) == []
    report = verify_artifact(directory)
    checks = {(check.name, check.variant) for check in report.checks}
    for variant in ("int8", "int8-7bit"):
        for name in ("golden outputs", "integer operators", "batches", "fidelity"):
            assert (name, variant) in checks
    assert {("golden outputs", "float"), ("batches", "float")} <= checks
    assert {("files", ""), ("spec", ""), ("golden media", "")} <= checks
    (speed,) = [check for check in report.checks if check.name == "speed"]
    assert " x float" in speed.text
    (batches,) = [check for check in report.checks if check.name == "batch times"]
    assert "a row costs, of what it costs alone: 1.00 in 1, " in batches.text
    assert "; by the manifest a server " in batches.text


def test_the_recorded_batch_is_told(directory: Path) -> None:
    content = json.loads((directory / "manifest.json").read_text(encoding="utf-8"))
    for variant in content["variants"]:
        variant["verification"]["batch_milliseconds"] = {"1": 2.0, "2": 2.0, "4": 2.0}
    edit_manifest(directory, content)
    (check,) = [c for c in verify_artifact(directory).checks if c.name == "batch times"]
    assert check.text.endswith("a server joins up to 4 rows")


@pytest.mark.parametrize("name", ["int8.onnx", "int8-7bit.onnx", "float.onnx", "golden.npz"])
def test_changed_byte_fails_with_the_file_named(directory: Path, name: str) -> None:
    path = directory / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    (failure,) = failures(directory)
    assert failure.startswith(f"files: {path} has sha256")


def test_missing_and_truncated_files_fail(directory: Path) -> None:
    (directory / "float.onnx").unlink()
    assert failures(directory)[0].startswith(f"files: {directory}/float.onnx cannot be read")
    (directory / "int8.onnx").write_bytes(b"")
    assert "has 0 bytes; the manifest says" in failures(directory)[0]
    (directory / "manifest.json").write_text('{"schema_version": 1')
    assert "manifest.json is not JSON" in failures(directory)[0]


def test_int8_that_computes_in_float_fails(directory: Path) -> None:
    put(directory, "int8", (directory / "float.onnx").read_bytes())
    assert failures(directory) == [
        "integer operators int8: onnxruntime computes all of it in float"
    ]


def insert_nodes(path: Path, *nodes: onnx.NodeProto) -> bytes:
    """Insert nodes that compute `probabilities` from `before`, its value so far."""
    model = onnx.load(path)
    for node in model.graph.node:
        for index, name in enumerate(node.output):
            if name == "probabilities":
                node.output[index] = "before"
    model.graph.node.extend(nodes)
    return model.SerializeToString()


def test_rows_that_depend_on_their_batch_fail(directory: Path) -> None:
    centre = helper.make_node("ReduceMean", ["before"], ["centre"], axes=[0], keepdims=1)
    difference = helper.make_node("Sub", ["before", "centre"], ["less"])
    added = helper.make_node("Add", ["less", "before"], ["probabilities"])  # a row alone: unchanged
    put(
        directory,
        "int8-7bit",
        insert_nodes(directory / "int8-7bit.onnx", centre, difference, added),
    )
    (failure,) = failures(directory)
    assert failure == "batches int8-7bit: rows differ by more than 1e-05 in a batch"


def test_outputs_that_differ_from_the_golden_ones_fail(directory: Path) -> None:
    wrong = helper.make_node("Softmax", ["before"], ["probabilities"], axis=1)
    put(directory, "float", insert_nodes(directory / "float.onnx", wrong))
    fidelity, *others = failures(directory)
    assert fidelity.startswith("fidelity int8: probability_distance")
    (outputs,) = [text for text in others if text.startswith("golden outputs float: ")]
    assert "probabilities differs by" in outputs
    assert "; allowed: 1.0e-03 and 1.0e-03" in outputs


def test_fidelity_outside_the_recorded_tolerance_fails(directory: Path) -> None:
    manifest = json.loads((directory / "manifest.json").read_text())
    bound = {"at_least": {}, "at_most": {"probability_distance": 1e-9}}
    manifest["variants"][1]["verification"]["tolerance"] = bound
    edit_manifest(directory, {"variants": manifest["variants"]})
    (failure,) = failures(directory)
    assert failure.startswith("fidelity int8-7bit: probability_distance ")
    assert "on 16 synthetic samples" in failure


def test_the_bounds_of_a_task_judge_as_many_media_as_at_the_conversion(directory: Path) -> None:
    manifest = json.loads((directory / "manifest.json").read_text())
    verification = manifest["variants"][1]["verification"]
    verification["tolerance"] = {"at_least": {}, "at_most": {"regret": -1, "regret_upper": -1}}
    verification |= {"judged_by": "task", "evidence": {"sources": 16}}
    edit_manifest(directory, {"variants": manifest["variants"]})
    (failure,) = failures(directory)
    assert failure.startswith("fidelity int8-7bit: regret 0.")  # and not how sure it is
    assert "regret_upper" not in failure.partition(" on ")[0]
    verification["evidence"] = {"sources": 60}
    edit_manifest(directory, {"variants": manifest["variants"]})
    assert failures(directory) == []
    texts = [check.text for check in verify_artifact(directory, None).checks]
    assert any("the bounds of its task need 60 media" in text for text in texts)


def test_fidelity_after_calibration_on_real_media_needs_real_media(
    directory: Path, tmp_path: Path
) -> None:
    bound = {"at_least": {}, "at_most": {"probability_distance": 1e-9}}
    manifest = json.loads((directory / "manifest.json").read_text())
    manifest["variants"][0]["verification"]["tolerance"] = bound
    edit_manifest(directory, {"variants": manifest["variants"], "calibration": "sha256:0"})
    assert manifest["calibration"] == SYNTHETIC
    assert failures(directory) == []
    media = tmp_path / "media"
    media.mkdir()
    with pytest.raises(CalibrationError, match="no images"):
        verify_artifact(directory, media)
    for level in range(3):
        image = np.full((20, 20, 3), level * 80, np.uint8)
        cv2.imwrite(str(media / f"{level}.png"), image)
    (failure,) = failures(directory, media)
    assert failure.startswith("fidelity int8: probability_distance")
    assert "on 3 media of --media" in failure


def test_golden_media_that_decode_differently_fail(directory: Path) -> None:
    with np.load(directory / "golden.npz") as arrays:
        golden = dict(arrays)
    golden["media/1"] = golden["media/0"]
    np.savez(directory / "golden.npz", allow_pickle=False, **golden)
    content = (directory / "golden.npz").read_bytes()
    manifest = read_manifest(directory)
    digest = hashlib.sha256(content).hexdigest()
    entry = replace(manifest.golden, sha256=digest, size_bytes=len(content))
    edit_manifest(directory, {"golden": to_json(entry)})
    (failure,) = failures(directory)
    assert failure.startswith("golden media: golden files [1] decode differently")


def test_variants_for_other_cpus_are_not_measured(directory: Path) -> None:
    manifest = json.loads((directory / "manifest.json").read_text())
    manifest["variants"][0]["cpu_features"] = ["of_a_cpu_to_come"]
    edit_manifest(directory, {"variants": manifest["variants"]})
    report = verify_artifact(directory)
    names = [check.name for check in report.checks if check.variant == "int8"]
    assert names == ["not measured"]
    (selected,) = [check for check in report.checks if check.name == "variant"]
    assert "int8 needs one of of_a_cpu_to_come" in selected.text


def test_reason_why_a_cpu_gets_its_variant(directory: Path) -> None:
    manifest = read_manifest(directory)
    eight, seven, plain = manifest.variants
    assert (
        selection_reason(manifest, eight, frozenset({"avx_vnni", "sse"})) == "this CPU has avx_vnni"
    )
    reason = selection_reason(manifest, seven, frozenset({"avx2"}))
    assert reason.startswith("this CPU has avx2; int8 needs one of avx512_vnni, ")
    reason = selection_reason(manifest, plain, frozenset())
    assert reason.startswith("it runs on any CPU; int8 needs one of")
    assert reason.endswith("int8-7bit needs one of avx2")
    assert cpu_features()  # of this machine


def test_graph_that_does_not_run_fails(directory: Path) -> None:
    broken = helper.make_node("Reshape", ["before", "before_shape"], ["probabilities"])
    model = onnx.load_from_string(insert_nodes(directory / "int8.onnx", broken))
    shape = onnx.numpy_helper.from_array(np.array([7, 7]), "before_shape")
    model.graph.initializer.append(shape)
    put(directory, "int8", model.SerializeToString())
    texts = failures(directory)
    assert texts
    assert all("int8: " in text for text in texts)


def test_artifact_without_float_has_nothing_to_compare_with(directory: Path) -> None:
    manifest = json.loads((directory / "manifest.json").read_text())
    edit_manifest(directory, {"variants": manifest["variants"][:2]})
    report = verify_artifact(directory)
    assert report.failures == []
    (check,) = [check for check in report.checks if check.name == "fidelity, speed"]
    assert check.verdict == "told"


def test_unknown_kind_of_media_is_refused(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = json.loads((directory / "manifest.json").read_text())
    manifest["variants"][0]["verification"]["media"] = "smell"
    edit_manifest(directory, {"variants": manifest["variants"]})
    assert main(["verify", str(directory)]) == 1
    assert "verification.media of int8 is 'smell'; known: scene, " in capsys.readouterr().err


@pytest.mark.parametrize("graph", [VOICE, pytest.param(GAIT, marks=pytest.mark.slow), TEXT])
def test_sounds_clips_and_texts(graph: str, tmp_path: Path) -> None:
    directory = write_artifact(tmp_path, graph)
    if graph == TEXT:
        add_samples(directory, b"slow walking.", b"walking slowly")
    report = verify_artifact(directory)
    assert report.failures == []
    assert ("batches", "ok") in {(check.name, check.verdict) for check in report.checks}


def test_command_line(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(directory, "int8", (directory / "float.onnx").read_bytes())
    assert main(["verify", str(directory), "--json"]) == 1
    out, err = capsys.readouterr()
    report = json.loads(out)
    assert report["passed"] is False
    assert {tuple(check) for check in report["checks"]} == {("name", "verdict", "found", "variant")}
    failed = [check for check in report["checks"] if check["verdict"] == "failed"]
    assert "integer operators" in {check["name"] for check in failed}
    assert "integer operators int8: onnxruntime computes all of it in float" in err
    assert main(["verify", str(directory / "nowhere")]) == 1
    assert "holds no complete version" in capsys.readouterr().err


def test_no_framework_is_needed() -> None:
    program = """
import sys
for name in ("onnx", "torch", "tensorflow", "transformers"):
    sys.modules[name] = None  # importing it fails
import convert.commands.verify.command, convert.commands.evaluate.command
"""
    subprocess.run([sys.executable, "-c", program], check=True)
