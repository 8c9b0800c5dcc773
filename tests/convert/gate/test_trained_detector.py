"""A trained YOLOv8n through the gate, on collages of real photos; broken versions are refused."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from convert.architectures.yolov8 import YoloV8
from convert.architectures.yolov8_plan import plan_of
from convert.authoring import ImageInput, load_strictly, read_ultralytics
from convert.errors import VerificationError
from convert.export.frameworks.torch_module import TorchNetwork
from convert.fidelity.classes import MIN_OF_CLASS
from convert.gate.rule import Rule, rule_for
from convert.metrics import measure
from convert.models.face_emotion_yolov8n import RECIPE
from convert.package.measure_variant import Criteria, measure_variant
from convert.quantize.quantizer import QuantizationConfig, Quantizer, all_op_types
from convert.recipe import Loaded
from convert.samples.division import judges_first
from convert.samples.golden import GoldenSamples
from convert.samples.origins import origins
from convert.samples.sets import Samples, SampleSets
from convert.verify.parity import run_graph, run_samples
from runtime.artifact.manifest import Letterbox, Spec
from runtime.media.images.decode import decode_image
from tests.convert.gate.test_real_graphs import Break, after, save, small_ranges
from tests.convert.support.parity import write_float_graph

SIDE = 320  # px; half of what it was trained on takes a quarter of the time
MEDIA = 66
PHOTOS = ("data/photos/imagenet", "data/faces/group", "data/matting/images")

pytestmark = pytest.mark.slow


def collages(shared: Path) -> list[NDArray[np.uint8]]:
    """Return images of four photos each, cut and mirrored at random."""
    files = [path for folder in PHOTOS for path in sorted((shared / folder).rglob("*.*"))]
    photos = [decode_image(path.read_bytes()) for path in files]
    images = []
    for number in range(MEDIA):
        rng = np.random.default_rng((11, number))
        image = np.zeros((SIDE, SIDE, 3), np.uint8)
        for place in range(4):
            photo = photos[rng.integers(len(photos))]
            height, width = photo.shape[:2]
            top, left = (int(rng.uniform(0, 0.3) * size) for size in (height, width))
            cut = photo[top : top + height * 7 // 10, left : left + width * 7 // 10]
            small = cv2.resize(cut[:, :: rng.choice([-1, 1])], (SIDE // 2, SIDE // 2))
            y, x = place // 2 * (SIDE // 2), place % 2 * (SIDE // 2)
            image[y : y + SIDE // 2, x : x + SIDE // 2] = small
        images.append(image)
    return images


@dataclass(frozen=True, slots=True)
class Trained:
    """The float graph of the trained detector, its judge, and an INT8 graph of it."""

    samples: SampleSets
    reference: Mapping[str, NDArray[np.float32]]
    rule: Rule
    spec: Spec
    int8: onnx.ModelProto

    def measure(self, model: onnx.ModelProto, directory: Path) -> None:
        path = save(model, directory)
        golden = GoldenSamples(self.samples.test[:1], {})
        criteria = Criteria(self.spec, self.samples, self.reference, golden, self.rule, "scene")
        measure_variant("int8", path, run_graph(path, self.samples.test), criteria)


def load(shared: Path) -> Loaded:
    """Load the published weights for SIDE instead of 640 px."""
    file = read_ultralytics(shared / "checkpoints/yolov8n_coco_best.pt", "yolov8")
    plan = plan_of(file.state, pool_activation=file.pool_activation, epsilon=file.epsilon)
    module = YoloV8(plan, height=SIDE, width=SIDE)
    load_strictly(module, file.state, path=shared)
    whole = RECIPE.load(shared / "checkpoints/yolov8n_coco_best.pt")
    return replace(
        whole,
        network=TorchNetwork(module, input_shape=(3, SIDE, SIDE), outputs=2),
        input=ImageInput(SIDE, SIDE, 3, mean=(0.0,) * 3, std=(1.0,) * 3),
        preprocess=(Letterbox(height=SIDE, width=SIDE, interpolation="linear"),),
    )


@pytest.fixture(scope="module")
def trained(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    path = tmp_path_factory.mktemp("yolov8n") / "float.onnx"
    loaded = load(shared)
    write_float_graph(loaded, path)
    media: Samples = tuple({"image": image[np.newaxis]} for image in collages(shared))
    division = judges_first(origins(media), 256)
    assert division is not None
    guides = tuple(media[row] for row in division.calibration)
    judges = tuple(media[row] for row in division.test)
    reference = run_samples(path, judges)
    outputs = loaded.head.tensors([(1, 2100, 4), (1, 2100, 80)], loaded.input.tensors)
    spec = Spec(
        1, "yolov8n", "object-detection", "", loaded.labels, loaded.input.tensors, outputs,
        loaded.preprocess, "AGPL-3.0", loaded.suppression,
    )  # fmt: skip
    config = QuantizationConfig(all_op_types(), bias_correction=True, ranges="percentile")
    return Trained(
        SampleSets("collages", guides, guides, judges),
        reference,
        rule_for(RECIPE.tolerance, reference, nms=loaded.suppression),
        spec,
        Quantizer(onnx.load(path), guides).quantize(config),
    )


def test_int8_that_the_recipe_refuses_keeps_the_bounds_of_the_task(
    trained: Trained, tmp_path: Path
) -> None:
    assert trained.rule.gate is not None
    path = save(trained.int8, tmp_path)
    outputs = run_samples(path, trained.samples.test)
    metrics = measure(trained.reference, outputs, trained.spec.suppression).metrics
    assert RECIPE.tolerance.violations(metrics)
    assert trained.rule.violations(metrics) == []
    trained.measure(trained.int8, tmp_path)


ORDER = np.arange(80)
ORDER[[0, 16]] = 16, 0  # person and dog
BROKEN: Mapping[str, tuple[Break, str]] = {
    "ranges far too small": (small_ranges, "sure_recall"),
    "person and dog swapped": (
        after("scores", ("Gather", "order"), axis=2, order=ORDER),
        "sure_recall",
    ),
    "scores scaled": (after("scores", ("Mul", "less"), less=np.float32(0.85)), "score_shift"),
}


def test_halved_scores_of_a_rare_class_are_refused_by_their_ratio_alone(
    trained: Trained, tmp_path: Path
) -> None:
    best = trained.reference["scores"].max(axis=1)
    counts = (best >= 0.35).sum(axis=0)
    rare = min(np.flatnonzero(counts >= MIN_OF_CLASS), key=lambda class_id: counts[class_id])
    halves = np.ones(80, np.float32)
    halves[rare] = 0.5
    path = save(after("scores", ("Mul", "halves"), halves=halves)(trained.int8), tmp_path)
    outputs = run_samples(path, trained.samples.test)
    metrics = measure(trained.reference, outputs, trained.spec.suppression).metrics
    (reason,) = trained.rule.violations(metrics)
    assert reason.startswith("score_ratio ")


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_version_is_refused(trained: Trained, name: str, tmp_path: Path) -> None:
    change, metric = BROKEN[name]
    with pytest.raises(VerificationError, match=rf"int8: .*{metric}"):
        trained.measure(change(trained.int8), tmp_path)
