"""Models: loaded from an artifact, asked for one input or a batch, and refused."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import runtime
from runtime.artifact.manifest import Variant, read_manifest
from runtime.artifact.schema import to_json
from runtime.engine.providers import CPU, CUDA, OPENVINO, TENSORRT
from runtime.engine.session import Feeds, Session, SessionOptions
from runtime.errors import ArtifactError, DecodeError, InputError, ModelOutputError, ProviderError
from runtime.model import choice_notes, choose_variant
from runtime.results import Alpha, Classification, Embedding
from tests.runtime.support.drawings import plain
from tests.support.artifacts import (
    CLASSIFIER,
    EMBEDDING,
    SEGMENTATION,
    edit_manifest,
    write_artifact,
)

ONE_THREAD = SessionOptions(threads=1)


def png(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()


def grey(level: int) -> np.ndarray:
    return plain(20, 30, (level, level, level))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return write_artifact(tmp_path, CLASSIFIER)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> runtime.Model:
    directory = write_artifact(tmp_path_factory.mktemp("model"), CLASSIFIER)
    return runtime.load(directory, options=ONE_THREAD)


def test_a_file_and_its_pixels_have_the_same_answer(classifier: runtime.Model) -> None:
    image = np.random.default_rng(0).integers(0, 256, (17, 23, 3)).astype(np.uint8)
    first, second = classifier.predict(image), classifier.predict(png(image))
    assert isinstance(first, Classification)
    assert isinstance(second, Classification)
    np.testing.assert_array_equal(first.probabilities, second.probabilities)
    assert first.probabilities.sum() == pytest.approx(1, abs=1e-5)


def test_each_task_has_its_result(tmp_path: Path) -> None:
    image = grey(90)
    image[:10] = 200
    kinds = {CLASSIFIER: Classification, EMBEDDING: Embedding, SEGMENTATION: Alpha}
    for graph, kind in kinds.items():
        model = runtime.load(write_artifact(tmp_path, graph), options=ONE_THREAD)
        result = model.predict(image)
        assert isinstance(result, kind)
        if isinstance(result, Alpha):
            assert result.values.shape == (20, 30)
        if isinstance(result, Embedding):
            assert result.digest == model.manifest.digest
            assert np.linalg.norm(result.values) == pytest.approx(1, abs=1e-5)


def test_the_newest_complete_version_is_loaded_unless_the_path_names_one(tmp_path: Path) -> None:
    for version in (1, 2, 10):
        directory = write_artifact(tmp_path, CLASSIFIER, version=version)
    model = directory.parent
    (model / "11").mkdir()
    assert runtime.load(model).manifest.version == 10
    assert runtime.load(str(model / "2")).manifest.version == 2
    with pytest.raises(ArtifactError, match=r"11 holds no manifest\.json"):
        runtime.load(model / "11")


def test_a_directory_without_a_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="holds no complete version; make one: python -m conv"):
        runtime.load(tmp_path)


def test_a_damaged_graph_is_refused_before_it_is_loaded(directory: Path) -> None:
    path = directory / "float.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ArtifactError, match=r"float\.onnx has sha256 .*; the manifest says"):
        runtime.load(directory)


def test_a_manifest_whose_spec_differs_from_the_graphs_is_refused(directory: Path) -> None:
    edit_manifest(directory, {"id": "another"})
    content = read_manifest_text(directory).replace(
        '"id": "face_emotion_xception"', '"id": "another"'
    )
    (directory / "manifest.json").write_text(content, encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"float\.onnx: its spec differs from the one in"):
        runtime.load(directory)


def read_manifest_text(directory: Path) -> str:
    return (directory / "manifest.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("data", [b"", b"no image", b"\x89PNG\r\n\x1a\n"])
def test_bytes_that_are_no_image_are_refused(classifier: runtime.Model, data: bytes) -> None:
    with pytest.raises(DecodeError):
        classifier.predict(data)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 1), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 4, 3), np.float32),
    ],
)
def test_arrays_that_are_no_rgb_image_are_refused(
    classifier: runtime.Model, image: np.ndarray
) -> None:
    with pytest.raises(InputError, match=r"allowed: uint8 \(H, W, 3\), RGB"):
        classifier.predict(image)


def test_tensors_of_another_name_dtype_or_shape_are_refused(classifier: runtime.Model) -> None:
    tensor = classifier.spec.inputs[0]
    shape = [1 if isinstance(axis, str) else axis for axis in tensor.shape]
    good = np.zeros(shape, tensor.dtype)
    refusals = {
        "input 'x' is unknown": {tensor.name: good, "x": good},
        f"input '{tensor.name}' is missing": {},
        "is float32; allowed: uint8": {tensor.name: good.astype(np.float32)},
        "has shape (1,); allowed: (N, ": {tensor.name: good.ravel()[:1]},
        "has shape (0, ": {tensor.name: good[:0]},
    }
    for message, feeds in refusals.items():
        with pytest.raises(InputError) as caught:
            classifier.run(feeds)
        assert message in str(caught.value)
    with pytest.raises(InputError, match=r"output 'y' is unknown; .* has probabilities"):
        classifier.run({tensor.name: good}, ["y"])


def test_the_first_variant_that_the_cpu_runs_is_selected(directory: Path) -> None:
    manifest = read_manifest(directory)
    float_variant = manifest.variants[0]
    int8: Variant = replace(float_variant, name="int8", cpu_features=("avx512_vnni", "avx_vnni"))
    both = replace(manifest, variants=(int8, float_variant))
    assert choose_variant(both, frozenset({"avx_vnni", "fpu"})) is int8
    assert choose_variant(both, frozenset({"fpu"})) is float_variant
    with pytest.raises(ArtifactError, match=r"runs no variant \(int8: one of avx512_vnni"):
        choose_variant(replace(manifest, variants=(int8,)), frozenset())


def test_each_cpu_gets_its_best_variant(directory: Path) -> None:
    manifest = read_manifest(directory)
    float_variant = manifest.variants[0]
    int8 = replace(float_variant, name="int8", cpu_features=("avx512_vnni", "avx_vnni", "asimddp"))
    int8_7bit = replace(float_variant, name="int8-7bit", cpu_features=("avx2",))
    three = replace(manifest, variants=(int8, int8_7bit, float_variant))
    for flags, name in (
        ({"avx2", "avx512f", "avx512_vnni"}, "int8"),
        ({"avx2", "avx_vnni"}, "int8"),
        ({"avx2", "avx512f"}, "int8-7bit"),
        ({"sse4_2"}, "float"),
        ({"asimd", "asimddp"}, "int8"),
        ({"asimd"}, "float"),
    ):
        assert choose_variant(three, frozenset(flags)).name == name, flags


def test_each_provider_gets_its_best_variant(directory: Path) -> None:
    plain = read_manifest(directory).variants[0]
    int8 = replace(plain, name="int8", precision="int8", cpu_features=("avx512_vnni",))
    fp16 = replace(plain, name="fp16", precision="float16", providers=("tensorrt", "cuda"))
    manifest = replace(read_manifest(directory), variants=(int8, plain, fp16))
    vnni = frozenset({"avx512_vnni"})
    for provider, name in ((CPU, "int8"), (OPENVINO, "int8"), (CUDA, "fp16"), (TENSORRT, "fp16")):
        assert choose_variant(manifest, vnni, provider).name == name, provider.name
    for provider, name in ((CPU, "float"), (OPENVINO, "float"), (CUDA, "fp16")):
        assert choose_variant(manifest, frozenset(), provider).name == name, provider.name
    without = replace(manifest, variants=(int8, plain))
    assert choose_variant(without, vnni, CUDA).name == "float"
    with pytest.raises(ProviderError, match=r"no variant is for cuda on this machine"):
        choose_variant(replace(manifest, variants=(int8,)), vnni, CUDA)
    first = replace(manifest, variants=(fp16, plain))
    assert choose_variant(first, vnni, CPU).name == "float"
    # INT8 that was made for a GPU; the features of the CPU do not count there
    symmetric = replace(int8, name="int8-symmetric", providers=("tensorrt",))
    both = replace(manifest, variants=(int8, plain, symmetric))
    assert choose_variant(both, frozenset(), TENSORRT).name == "int8-symmetric"
    assert choose_variant(both, vnni, CUDA).name == "float"


def test_an_operator_is_told_what_a_gpu_does_not_run(directory: Path) -> None:
    plain = read_manifest(directory).variants[0]
    int8 = replace(plain, name="int8", precision="int8")
    fp16 = replace(plain, name="fp16", precision="float16", providers=("cuda",))
    manifest = replace(read_manifest(directory), variants=(int8, plain, fp16))
    (note,) = choice_notes(manifest, plain, CUDA, {"cuda": 9})
    assert note.startswith("INT8 of this version is for CPUs and slow on a GPU: float runs on cuda")
    assert choice_notes(manifest, fp16, CUDA, {"cuda": 9}) == ()
    assert choice_notes(manifest, int8, OPENVINO, {"openvino": 9}) == ()
    assert choice_notes(manifest, plain, CPU, {"cpu": 0}) == ()
    only_float = replace(manifest, variants=(plain,))
    assert choice_notes(only_float, plain, CUDA, {"cuda": 9, "cpu": 3}) == (
        "3 of 12 operators run on the CPU, not on cuda",
    )


def test_a_manifest_of_before_has_no_providers(directory: Path) -> None:
    variant = to_json(read_manifest(directory).variants[0])
    del variant["providers"]
    edit_manifest(directory, {"variants": [variant]})
    assert runtime.load(directory).variant.providers == ()


def test_a_variant_can_be_selected_by_name(directory: Path) -> None:
    manifest = read_manifest(directory)
    float_variant = to_json(manifest.variants[0])
    other = {**float_variant, "name": "int8-7bit", "cpu_features": ["of another CPU"]}
    edit_manifest(directory, {"variants": [float_variant, other]})
    assert runtime.load(directory, variant="int8-7bit").variant.name == "int8-7bit"
    assert runtime.load(directory).variant.name == "float"
    with pytest.raises(ArtifactError, match=r"has no variant 'int4'; it has float, int8-7bit"):
        runtime.load(directory, variant="int4")


@pytest.mark.parametrize(("batch_invariant", "runs"), [(True, 1), (False, 3)])
def test_rows_run_one_by_one_if_the_model_is_not_batch_invariant(
    tmp_path: Path, batch_invariant: bool, runs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = runtime.load(write_artifact(tmp_path, CLASSIFIER, batch_invariant=batch_invariant))
    tensor = model.spec.inputs[0]
    shape = [3, *(axis for axis in tensor.shape[1:] if isinstance(axis, int))]
    batch = np.arange(np.prod(shape)).reshape(shape).astype(tensor.dtype)
    sizes: list[int] = []
    real = Session.run

    def counting(self: Session, feeds: Feeds, names: Sequence[str] | None = None) -> Any:
        sizes.append(len(next(iter(feeds.values()))))
        return real(self, feeds, names)

    monkeypatch.setattr(Session, "run", counting)
    outputs = model.run({tensor.name: batch})
    assert len(sizes) == runs
    assert outputs["probabilities"].shape[0] == 3


def test_labels_that_do_not_fit_the_probabilities_are_refused(directory: Path) -> None:
    spec = to_json(read_manifest(directory).spec)
    edit_manifest(directory, {"spec": {**spec, "labels": spec["labels"][:1]}})
    with pytest.raises(ArtifactError, match=r"spec\.labels has 1; probabilities: \d"):
        runtime.load(directory)


def test_nan_in_an_answer_is_an_error(
    classifier: runtime.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Session, feeds: Feeds, names: Sequence[str] | None = None) -> Any:
        return {"probabilities": np.array([[0.5, np.nan]], np.float32)}

    monkeypatch.setattr(Session, "run", broken)
    with pytest.raises(ModelOutputError, match="returned values that are not finite numbers"):
        classifier.predict(grey(90))


def test_provenance_identifies_model_version_and_variant(classifier: runtime.Model) -> None:
    manifest = classifier.manifest
    assert classifier.provenance.to_json() == {
        "model": manifest.id,
        "version": manifest.version,
        "digest": manifest.digest,
        "variant": "float",
        "weights_origin": "pretrained",
        "weights": "pretrained",
    }
