"""`convert run` as a process: refusals, interruptions, and equal files for equal inputs."""

import os
import pickle
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest

import runtime
from convert.package.artifact import next_version
from runtime.artifact.manifest import read_manifest, versions
from tests.convert.conftest import MODELS
from tests.convert.support.command_line import (
    command,
    convert,
    environment,
    refuse,
    scratch_directories,
    succeed,
)
from tests.convert.support.tiny import write_checkpoint, write_recipe

STAGES = ("load", "export", "quantize", "verify", "package")
ID = "where_is_it"


class WritesFile:
    """An object whose unpickling would create a file."""

    def __init__(self, target: Path) -> None:
        self._target = target

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return open, (str(self._target), "w")


@pytest.fixture(scope="module")
def checkpoint(tiny_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "weights.pth"
    write_checkpoint(tiny_recipe, path)
    return path


@pytest.fixture(scope="module")
def packaged(tiny_recipe: Path, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Package the tiny recipe with its checkpoint, in float; return the artifacts directory."""
    directory = tmp_path_factory.mktemp("packaged")
    arguments = ("--recipe", tiny_recipe, "--checkpoint", checkpoint, "--precision", "float")
    output = succeed(*arguments, "--out", directory / "out", directory=directory)
    assert "(packaged)" in output
    assert f"{ID}: float, because " in output
    return directory / "out"


def tree(out: Path) -> dict[str, bytes]:
    """Read every file of the versions; return content by path."""
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.glob("[!.]*/**/*"))
        if path.is_file()
    }


def start(*arguments: str | Path, directory: Path) -> subprocess.Popen[str]:
    """Start a conversion in a process group of its own."""
    return subprocess.Popen(
        command(*arguments),
        cwd=directory,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # a background job of a shell ignores interrupts, and its children would inherit that
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_for(process: subprocess.Popen[str], stage: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.rstrip().endswith(f": {stage}"):
            return
    pytest.fail(f"{stage} was not reached")


def test_recipe_outside_the_repository_converts_with_its_checkpoint(packaged: Path) -> None:
    manifest = read_manifest(packaged / ID / "1")
    assert manifest.weights.origin == "pretrained"
    assert manifest.weights.source == "weights.pth"
    assert manifest.spec.labels == ("left", "middle", "right")
    result = runtime.load(packaged / ID).predict(np.full((9, 9, 3), 200, np.uint8))
    assert dict[str, Any](result.to_json())["label"] in manifest.spec.labels


def test_same_inputs_again_change_nothing(
    packaged: Path, tiny_recipe: Path, checkpoint: Path, tmp_path: Path
) -> None:
    before = tree(packaged)
    arguments = ("--recipe", tiny_recipe, "--checkpoint", checkpoint, "--precision", "float")
    printed = succeed(*arguments, "--out", packaged, directory=tmp_path)
    assert "(unchanged)" in printed
    assert ": load" not in printed  # the earlier version is known: nothing is converted
    assert tree(packaged) == before


def test_same_inputs_without_a_cache_make_the_same_digest(
    packaged: Path, tiny_recipe: Path, checkpoint: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(packaged, out)
    shutil.rmtree(out / ".work")
    before = tree(out)
    arguments = ("--recipe", tiny_recipe, "--checkpoint", checkpoint, "--precision", "float")
    printed = succeed(*arguments, "--out", out, directory=tmp_path)
    assert ": verify" in printed
    assert "(unchanged)" in printed
    assert tree(out) == before


def test_damaged_version_is_converted_again_under_a_new_number(
    packaged: Path, tiny_recipe: Path, checkpoint: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(packaged, out)
    graph = out / ID / "1/float.onnx"
    graph.write_bytes(graph.read_bytes()[:-1] + b"x")
    arguments = ("--recipe", tiny_recipe, "--checkpoint", checkpoint, "--precision", "float")
    assert "(packaged)" in succeed(*arguments, "--out", out, directory=tmp_path)
    assert [path.name for path in versions(out / ID)] == ["1", "2"]
    assert runtime.load(out / ID).manifest.version == 2


@pytest.mark.slow
def test_int8_twice_into_new_directories_is_the_same_bytes(
    tiny_recipe: Path, tmp_path: Path
) -> None:
    arguments = ("--recipe", tiny_recipe, "--weights", "seeded", "--precision", "int8")
    graphs, choices = [], []
    for name in ("a", "b"):
        succeed(*arguments, "--out", tmp_path / name, directory=tmp_path)
        directory = tmp_path / name / ID / "1"
        manifest = read_manifest(directory)
        names = [variant.name for variant in manifest.variants]
        assert names == ["int8", "int8-7bit", "float"]
        assert manifest.variants[0].verification["integer_operators"]
        choices.append(manifest.choice["operators"])
        graphs.append({n: (directory / n).read_bytes() for n in ("float.onnx", "golden.npz")})
        graphs[-1][f"int8 {choices[-1]}"] = (directory / "int8.onnx").read_bytes()
    # timing chooses between two sets of operators: the INT8 files are equal if it chose the same
    shared = graphs[0].keys() & graphs[1].keys()
    assert {name: graphs[0][name] == graphs[1][name] for name in shared} == dict.fromkeys(
        shared, True
    )
    assert len(shared) == 3 or choices[0] != choices[1]


@pytest.mark.slow
def test_float_graphs_of_all_models_repeat_byte_for_byte(seeded: Path, tmp_path: Path) -> None:
    arguments = ("--weights", "seeded", "--precision", "float", "--out", tmp_path / "again")
    succeed(*MODELS, *arguments, directory=tmp_path)
    for model_id in MODELS:
        for name in ("float.onnx", "golden.npz"):
            first, second = (root / model_id / "1" / name for root in (seeded, tmp_path / "again"))
            assert first.read_bytes() == second.read_bytes(), (model_id, name)
        manifests = [read_manifest(root / model_id / "1") for root in (seeded, tmp_path / "again")]
        assert manifests[0].digest == manifests[1].digest


def bad_checkpoints(directory: Path, good: Path) -> dict[str, tuple[Path, str]]:
    """Write files that the tiny recipe must refuse; return path and part of the message by name."""
    import torch

    state = torch.load(good, weights_only=True)
    content = good.read_bytes()
    files: dict[str, tuple[bytes | object, str]] = {
        "empty": (b"", "the file is empty"),
        "pointer": (b"version https://git-lfs.github.com/spec/v1\n", "git-lfs pointer"),
        "cut": (content[: len(content) // 2], "damaged or truncated"),
        "random": (bytes(range(100, 228)), "known kinds"),
        "nan": ({**state, "0.bias": torch.full((64,), torch.nan)}, "0.bias holds NaN"),
        "shape": ({**state, "10.bias": torch.zeros(5)}, "10.bias has shape (5,); needed: (3,)"),
        "other": ({"fc.weight": torch.zeros(2)}, "missing (0.bias, "),
        "code": (WritesFile(directory / "written-by-the-checkpoint"), "would have to run code"),
        "onnx": (b"\x08\x08" + bytes(64), "an ONNX file; this model is read from a torch"),
    }
    paths = {"missing": (directory / "nowhere.pth", "No such file")}
    for name, (value, message) in files.items():
        path = directory / f"{name}.pth"
        if isinstance(value, bytes):
            path.write_bytes(value)
        else:
            torch.save(value, path)
        paths[name] = (path, message)
    legacy = directory / "pickle.pth"
    legacy.write_bytes(pickle.dumps(WritesFile(directory / "written-by-the-checkpoint")))
    return {**paths, "pickle": (legacy, "pickle.pth: ")}


@pytest.mark.slow
def test_bad_checkpoints_leave_one_line_and_an_earlier_version_untouched(
    packaged: Path, tiny_recipe: Path, checkpoint: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(packaged, out)
    before = tree(out)
    for name, (path, message) in bad_checkpoints(tmp_path, checkpoint).items():
        arguments = ("--recipe", tiny_recipe, "--checkpoint", path, "--out", out)
        line = refuse(*arguments, directory=tmp_path)
        assert line.startswith(f"convert: {ID} refused: {path}: "), name
        assert message in line, name
        assert tree(out) == before
        assert scratch_directories(out) == []
    assert not (tmp_path / "written-by-the-checkpoint").exists()


@pytest.mark.slow
def test_bad_keras_checkpoints_leave_one_line_and_no_version(
    keras_files: Path, tmp_path: Path
) -> None:
    for name, message in (
        ("code-lambda.keras", "Lambda would run code"),
        ("code-class.keras", "Keras cannot load it"),
        ("map.h5", "the model returns a map, as for segmentation, of shape (14, 14, 7); needed:"),
    ):
        path, out = keras_files / name, tmp_path / "out"
        arguments = ("face_emotion_xception", "--checkpoint", path, "--out", out)
        line = refuse(*arguments, directory=tmp_path)
        assert line.startswith(f"convert: face_emotion_xception refused: {path}: ")
        assert message in line
        assert next_version(out, "face_emotion_xception") == 1
        assert scratch_directories(out) == []


def test_wrong_number_of_labels_is_refused_and_a_file_replaces_them(tmp_path: Path) -> None:
    recipe, labels, out = write_recipe(tmp_path), tmp_path / "labels.txt", tmp_path / "out"
    text = recipe.read_text(encoding="utf-8").replace("labels=LABELS,", "labels=LABELS[:2],")
    recipe.write_text(text, encoding="utf-8")
    arguments = ("--recipe", recipe, "--weights", "seeded", "--precision", "float", "--out", out)
    line = refuse(*arguments, directory=tmp_path)
    assert f"{recipe}: 2 labels (left, middle) for 3 classes; name them in a file" in line
    labels.write_text("port\nahead\n")
    line = refuse(*arguments, "--labels", labels, directory=tmp_path)
    assert f"{labels}: 2 labels (port, ahead) for 3 classes" in line
    labels.write_text("port\nahead\nstarboard\n")
    succeed(*arguments, "--labels", labels, directory=tmp_path)
    assert read_manifest(out / f"{recipe.stem}/1").spec.labels == ("port", "ahead", "starboard")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nobody",), "model 'nobody' has no recipe; known: "),
        (("background_u2net",), "background_u2net: no weights. Place them as checkpoints/"),
        (("--checkpoint", "x.pth"), "--checkpoint belongs to one model; "),
        (("--labels", "x.txt"), "--labels belongs to one model; "),
        (("--recipe", "mine.py"), "mine.py: no such recipe file"),
        (
            ("background_u2netp", "--checkpoint", "x.pth", "--weights", "seeded"),
            "--checkpoint x.pth and --weights seeded exclude each other",
        ),
        (
            ("background_u2netp", "--weights", "seeded", "--calibration", "nowhere"),
            "nowhere: no such directory",
        ),
    ],
)
def test_contradicting_arguments_are_refused(
    tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    assert message in refuse(*arguments, "--out", "out", directory=tmp_path)


def test_out_that_is_a_file_is_refused(tiny_recipe: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    arguments = ("--recipe", tiny_recipe, "--weights", "seeded", "--out", tmp_path / "out")
    assert "out" in refuse(*arguments, directory=tmp_path)
    assert (tmp_path / "out").read_text() == "mine"


def test_int8_that_cannot_qualify_exits_1_with_the_objections(
    checkpoint: Path, tmp_path: Path
) -> None:
    recipe = write_recipe(tmp_path, distance=-1)
    arguments = ("--recipe", recipe, "--checkpoint", checkpoint, "--precision", "int8")
    line = refuse(*arguments, "--out", tmp_path / "out", directory=tmp_path)
    assert "INT8 was asked for and does not qualify: INT8 of all operators: " in line
    assert "probability_distance" in line
    assert next_version(tmp_path / "out", ID) == 1


def test_fidelity_of_untrained_weights_is_reported_only(tmp_path: Path) -> None:
    recipe, out = write_recipe(tmp_path, distance=-1), tmp_path / "out"
    succeed("--recipe", recipe, "--weights", "seeded", "--out", out, directory=tmp_path)
    manifest = read_manifest(out / ID / "1")
    objections = [text for one in manifest.candidates for text in one.get("objections", ())]
    assert sum(not candidate.get("searched") for candidate in manifest.candidates) == 3
    assert not any("probability_distance" in text for text in objections)
    assert not any(variant.verification["judged"] for variant in manifest.variants)


@pytest.mark.slow
def test_kill_at_any_stage_leaves_no_version_and_the_next_run_works(
    tiny_recipe: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    arguments = ("--recipe", tiny_recipe, "--weights", "seeded", "--precision", "float")
    for stage in STAGES[:-1]:
        process = start(*arguments, "--out", out, directory=tmp_path)
        wait_for(process, stage)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        assert versions(out / ID) == []
        assert next_version(out, ID) == 1, stage
    assert scratch_directories(out) != []  # the killed process could not remove it
    # a kill while it publishes leaves a complete version or none
    process = start(*arguments, "--out", out, directory=tmp_path)
    wait_for(process, STAGES[-1])
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert len(versions(out / ID)) == next_version(out, ID) - 1
    succeed(*arguments, "--out", out, directory=tmp_path)
    assert scratch_directories(out) == []
    assert [path.name for path in versions(out / ID)] == ["1"]
    assert runtime.load(out / ID).manifest.version == 1


@pytest.mark.parametrize("to_group", [True, False], ids=["terminal", "parent alone"])
def test_interrupt_leaves_nothing_and_no_traceback(
    tiny_recipe: Path, tmp_path: Path, to_group: bool
) -> None:
    out = tmp_path / "out"
    arguments = ("--recipe", tiny_recipe, "--weights", "seeded", "--precision", "float")
    process = start(*arguments, "--out", out, directory=tmp_path)
    wait_for(process, "export")
    (os.killpg if to_group else os.kill)(process.pid, signal.SIGINT)
    _, message = process.communicate(timeout=60)
    assert process.returncode == 130
    assert message == "convert: interrupted; no incomplete file is left\n"
    assert scratch_directories(out) == []
    # a parent interrupted alone waits a while for the child, which may finish
    assert len(versions(out / ID)) == next_version(out, ID) - 1 <= (not to_group)


@pytest.mark.slow
@pytest.mark.parametrize("precisions", [("float", "float", "float"), ("float", "int8")])
def test_several_at_once_make_one_version_of_each_digest(
    tiny_recipe: Path, tmp_path: Path, precisions: tuple[str, ...]
) -> None:
    out = tmp_path / "out"
    seeded = ("--recipe", tiny_recipe, "--weights", "seeded", "--out", out)
    printed: dict[int, str] = {}

    def run(index: int, precision: str) -> None:
        printed[index] = succeed(*seeded, "--precision", precision, directory=tmp_path)

    threads = [threading.Thread(target=run, args=arguments) for arguments in enumerate(precisions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(printed) == len(precisions)
    different = len({*precisions})
    assert sum("(packaged)" in text for text in printed.values()) == different
    manifests = [read_manifest(path) for path in versions(out / ID)]
    assert len(manifests) == len({manifest.digest for manifest in manifests}) == different
    for path in versions(out / ID):
        assert runtime.load(path).manifest.version == int(path.name)
    assert scratch_directories(out) == []


@pytest.mark.slow
def test_full_disk_exits_1_and_leaves_nothing(tiny_recipe: Path, tmp_path: Path) -> None:
    # limits of the size of a file, in blocks of 512 bytes: the graph has 600
    limits = ("1", "100", "500")
    for limit in limits:
        out = tmp_path / f"out{limit}"
        arguments = ("--recipe", tiny_recipe, "--weights", "seeded", "--precision", "float")
        shell = ("sh", "-c", f'ulimit -f {limit}; exec "$@"', "sh")
        line = refuse(*arguments, "--out", out, directory=tmp_path, prefix=shell)
        assert line.startswith(f"convert: {ID} refused: ")
        assert versions(out / ID) == []
        assert next_version(out, ID) == 1
        assert scratch_directories(out) == []


@pytest.mark.slow
def test_recipe_outside_the_repository_is_served(tiny_recipe: Path, tmp_path: Path) -> None:
    from tests.support.server_process import serving

    out = tmp_path / "out"
    succeed("--recipe", tiny_recipe, "--weights", "seeded", "--out", out, directory=tmp_path)
    encoded, data = cv2.imencode(".png", np.full((40, 50, 3), 120, np.uint8))
    assert encoded
    with serving("--artifacts", str(out), SLIPWAY_ALLOW_SEEDED="1") as server:
        answer = httpx.post(f"{server.url}/v1/models/{ID}", content=data.tobytes(), timeout=30)
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-model-weights"] == "seeded"
    result = answer.json()["result"]
    assert set(result["probabilities"]) == {"left", "middle", "right"}
    direct: dict[str, Any] = dict(runtime.load(out / ID).predict(data.tobytes()).to_json())
    assert result["label"] == direct["label"]
    assert result["confidence"] == pytest.approx(direct["confidence"], abs=1e-5)


@pytest.mark.slow
def test_one_refused_model_does_not_stop_the_next(tiny_recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = convert(
        "background_u2net", "--recipe", tiny_recipe, "--precision", "float", "--out", out,
        directory=tmp_path,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.count("\n") == 2  # neither has weights
    rows = [line for line in done.stdout.splitlines() if line.split()[1:2] == ["refused"]]
    assert len(rows) == 2
