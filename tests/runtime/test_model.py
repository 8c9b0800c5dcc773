from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

import runtime
from runtime.artifact.manifest import Variant, read_manifest
from runtime.artifact.schema import to_json
from runtime.engine.session import Feeds, Session, SessionOptions
from runtime.errors import ArtifactError, DecodeError, InputError, ModelOutputError
from runtime.model import choose_variant
from runtime.predict.postprocess import Context, postprocess
from runtime.results import Alpha, Classification, Detections, Embedding
from tests.runtime.support.pictures import encode, exif_with_orientation
from tests.support.artifacts import (
    CLASSIFIER,
    DETECTOR,
    EMBEDDING,
    SEGMENTATION,
    edit_manifest,
    write_artifact,
)

ONE_THREAD = SessionOptions(threads=1)


def png(image: np.ndarray) -> bytes:
    written, data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    assert written
    return data.tobytes()


def solid(level: int, *, height: int = 20, width: int = 30) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return write_artifact(tmp_path, CLASSIFIER)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> runtime.Model:
    directory = write_artifact(tmp_path_factory.mktemp("model"), CLASSIFIER)
    return runtime.load(directory, options=ONE_THREAD)


def test_file_and_array_give_the_same_answer(classifier: runtime.Model) -> None:
    image = np.random.default_rng(0).integers(0, 256, (17, 23, 3)).astype(np.uint8)
    first, second = classifier.predict(image), classifier.predict(png(image))
    assert isinstance(first, Classification)
    assert isinstance(second, Classification)
    np.testing.assert_array_equal(first.probabilities, second.probabilities)
    assert first.probabilities.sum() == pytest.approx(1, abs=1e-5)


def test_each_task_has_its_result(tmp_path: Path) -> None:
    image = solid(90)
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


def test_newest_complete_version_is_loaded_unless_one_is_named(tmp_path: Path) -> None:
    for version in (1, 2, 10):
        directory = write_artifact(tmp_path, CLASSIFIER, version=version)
    model = directory.parent
    (model / "11").mkdir()
    assert runtime.load(model).manifest.version == 10
    assert runtime.load(str(model / "2")).manifest.version == 2
    with pytest.raises(ArtifactError, match=r"11 holds no manifest\.json"):
        runtime.load(model / "11")


def test_no_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="holds no complete version; make one: python -m conv"):
        runtime.load(tmp_path)


def test_damaged_graph_is_refused_before_it_is_loaded(directory: Path) -> None:
    path = directory / "float.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ArtifactError, match=r"float\.onnx has sha256 .*; the manifest says"):
        runtime.load(directory)


def test_spec_that_differs_from_the_graphs_is_refused(directory: Path) -> None:
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


def test_tensors_that_do_not_fit_are_refused(classifier: runtime.Model) -> None:
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
    for says, feeds in refusals.items():
        with pytest.raises(InputError) as caught:
            classifier.run(feeds)
        assert says in str(caught.value)
    with pytest.raises(InputError, match=r"output 'y' is unknown; .* has probabilities"):
        classifier.run({tensor.name: good}, ["y"])


def test_variant_is_the_first_that_the_cpu_runs(directory: Path) -> None:
    manifest = read_manifest(directory)
    plain = manifest.variants[0]
    quick: Variant = replace(plain, name="int8", cpu_features=("avx512_vnni", "avx_vnni"))
    both = replace(manifest, variants=(quick, plain))
    assert choose_variant(both, frozenset({"avx_vnni", "fpu"})) is quick
    assert choose_variant(both, frozenset({"fpu"})) is plain
    with pytest.raises(ArtifactError, match=r"runs no variant \(int8: one of avx512_vnni"):
        choose_variant(replace(manifest, variants=(quick,)), frozenset())


def test_cpus_without_vnni_get_the_variant_of_7_bits_and_others_float(directory: Path) -> None:
    manifest = read_manifest(directory)
    plain = manifest.variants[0]
    quick = replace(plain, name="int8", cpu_features=("avx512_vnni", "avx_vnni", "asimddp"))
    reduced = replace(plain, name="int8-7bit", cpu_features=("avx2",))
    three = replace(manifest, variants=(quick, reduced, plain))
    for flags, name in (
        ({"avx2", "avx512f", "avx512_vnni"}, "int8"),
        ({"avx2", "avx_vnni"}, "int8"),
        ({"avx2", "avx512f"}, "int8-7bit"),
        ({"sse4_2"}, "float"),
        ({"asimd", "asimddp"}, "int8"),
        ({"asimd"}, "float"),
    ):
        assert choose_variant(three, frozenset(flags)).name == name, flags


def test_a_variant_may_be_asked_for_by_name(directory: Path) -> None:
    manifest = read_manifest(directory)
    plain = to_json(manifest.variants[0])
    other = {**plain, "name": "int8-7bit", "cpu_features": ["of another CPU"]}
    edit_manifest(directory, {"variants": [plain, other]})
    assert runtime.load(directory, variant="int8-7bit").variant.name == "int8-7bit"
    assert runtime.load(directory).variant.name == "float"
    with pytest.raises(ArtifactError, match=r"has no variant 'int4'; it has float, int8-7bit"):
        runtime.load(directory, variant="int4")


@pytest.mark.parametrize(("batch_invariant", "runs"), [(True, 1), (False, 3)])
def test_rows_run_alone_where_a_batch_would_change_them(
    tmp_path: Path, batch_invariant: bool, runs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = runtime.load(write_artifact(tmp_path, CLASSIFIER, batch_invariant=batch_invariant))
    tensor = model.spec.inputs[0]
    shape = [3, *(axis for axis in tensor.shape[1:] if isinstance(axis, int))]
    batch = np.arange(np.prod(shape)).reshape(shape).astype(tensor.dtype)
    sizes: list[int] = []
    real = Session.run

    def counted(self: Session, feeds: Feeds, names: Sequence[str] | None = None) -> Any:
        sizes.append(len(next(iter(feeds.values()))))
        return real(self, feeds, names)

    monkeypatch.setattr(Session, "run", counted)
    outputs = model.run({tensor.name: batch})
    assert len(sizes) == runs
    assert outputs["probabilities"].shape[0] == 3


def test_labels_that_do_not_match_the_probabilities_are_refused(directory: Path) -> None:
    spec = to_json(read_manifest(directory).spec)
    edit_manifest(directory, {"spec": {**spec, "labels": spec["labels"][:1]}})
    with pytest.raises(ArtifactError, match=r"spec\.labels has 1; probabilities: \d"):
        runtime.load(directory)


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> runtime.Model:
    directory = write_artifact(tmp_path_factory.mktemp("detector"), DETECTOR)
    return runtime.load(directory, options=ONE_THREAD)


def spotted(*, height: int, width: int) -> np.ndarray:
    """Grey, with a red rectangle left of the middle and a fainter green one in the corner below."""
    image = solid(100, height=height, width=width)
    image[height // 4 : height // 2, width // 4 : width // 2] = (255, 0, 0)
    image[height // 4 * 3 :, width // 4 * 3 :] = (0, 204, 0)
    return image


def test_detections_are_in_pixels_of_the_source(detector: runtime.Model) -> None:
    # 64 x 32 px on a canvas of 16 x 16: a quarter of the size, 4 px of padding above and below
    image = solid(100, height=32, width=64)
    image[:16, 16:32] = (255, 0, 0)
    image[16:, 48:] = (0, 204, 0)
    result = detector.predict(image)
    assert isinstance(result, Detections)
    assert result.labels == ("red", "green")
    assert result.classes.tolist() == [0, 1]
    assert result.scores.tolist() == pytest.approx([1.0, 0.8], abs=1e-6)
    assert result.boxes_xyxy.tolist() == [[16, 0, 32, 16], [48, 16, 64, 32]]
    assert result.keypoints is not None
    assert result.keypoints.tolist() == [[[24, 8]], [[56, 24]]]


def test_detections_as_json(detector: runtime.Model) -> None:
    image = spotted(height=16, width=16)
    first, second = detector.predict(image).to_json()["detections"]
    assert first == {
        "label": "red",
        "score": 1.0,
        "box": {"x1": 4.0, "y1": 4.0, "x2": 8.0, "y2": 8.0},
        "keypoints": [[6.0, 6.0]],
    }
    assert (second["label"], second["box"]["x2"]) == ("green", 16.0)
    assert detector.predict(solid(100)).to_json() == {"detections": []}


def test_a_rotated_photo_is_answered_upright(detector: runtime.Model) -> None:
    upright = spotted(height=64, width=48)
    # orientation 6: to be turned clockwise by a quarter
    stored = Image.fromarray(np.rot90(upright))
    data = encode(stored, "PNG", exif=exif_with_orientation(6))
    turned, plain = detector.predict(data), detector.predict(upright)
    assert turned.to_json() == plain.to_json()
    assert len(plain.to_json()["detections"]) == 2


def test_keypoints_are_only_answered_where_there_are_some(detector: runtime.Model) -> None:
    context = Context(detector.spec, 1, "", source_height=16, source_width=16)
    image = spotted(height=16, width=16)[np.newaxis]
    outputs = detector.run({"image": image}, ["boxes_xyxy", "scores"])
    result = postprocess(outputs, context)
    assert isinstance(result, Detections)
    assert result.keypoints is None
    assert "keypoints" not in result.to_json()["detections"][0]


def test_scores_that_are_not_numbers_are_not_an_empty_answer(detector: runtime.Model) -> None:
    context = Context(detector.spec, 1, "", source_height=16, source_width=16)
    outputs = detector.run({"image": np.zeros((1, 16, 16, 3), np.uint8)})
    outputs["scores"] = np.full((1, 32, 2), np.nan, np.float32)
    with pytest.raises(ArithmeticError, match="tiny_detector gave scores that are not numbers"):
        postprocess(outputs, context)


def test_an_answer_that_holds_nan_is_an_error(
    classifier: runtime.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Session, feeds: Feeds, names: Sequence[str] | None = None) -> Any:
        return {"probabilities": np.array([[0.5, np.nan]], np.float32)}

    monkeypatch.setattr(Session, "run", broken)
    with pytest.raises(ModelOutputError, match="xception gave values that are not finite numbers"):
        classifier.predict(solid(90))


def test_provenance_is_what_every_answer_names(classifier: runtime.Model) -> None:
    manifest = classifier.manifest
    assert classifier.provenance.to_json() == {
        "model": manifest.id,
        "version": manifest.version,
        "digest": manifest.digest,
        "variant": "float",
        "weights": "pretrained",
    }
