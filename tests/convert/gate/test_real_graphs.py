"""The gate in the pipeline: trained networks are packaged in INT8, broken graphs are refused.

The graphs are those that the pipeline makes. A broken one takes the place of each that the
quantizer returns, or of the file that is about to be packaged.
"""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, helper, numpy_helper

from convert.commands.run import judgements
from convert.errors import VerificationError
from convert.gate.rule import BOXES, CLASSES
from convert.package.measure_variant import Criteria, measure_variant
from convert.pipeline import stages
from convert.pipeline.job import Job, Outcome
from convert.quantize.choose import Choice, choose
from convert.quantize.quantizer import QuantizationConfig, Quantizer
from convert.quantize.search import candidates
from convert.quantize.search.float_layers import Budget
from convert.recipe import read
from convert.samples.golden import GoldenSamples
from convert.samples.sets import SampleSets
from convert.verify.parity import GraphRun, run_graph
from tests.convert.gate.trained import Scene, make_scene, write_labels, write_network, write_scene
from tests.convert.support.quantized import fix_timings

MEDIA = 150  # of which 113 judge
Break = Callable[[ModelProto], ModelProto]


@dataclass(frozen=True, slots=True)
class Conversion:
    """A conversion that packaged INT8, and what its choice was made from."""

    outcome: Outcome
    int8: Path
    float_run: GraphRun
    samples: SampleSets
    options: Mapping[str, Any]

    def choose(self) -> Choice:
        return choose(self.float_run, self.samples, **self.options)

    def measure(self, path: Path) -> None:
        """Measure a file as the pipeline does before it publishes one."""
        assert self.outcome.manifest is not None
        golden = GoldenSamples(self.samples.test[:1], {})
        spec, rule = self.outcome.manifest.spec, self.options["rule"]
        criteria = Criteria(spec, self.samples, self.float_run.outputs, golden, rule, "scene")
        measure_variant("int8", path, run_graph(path, self.samples.test), criteria)


def scenes(kind: str, first: int = 0, count: int = MEDIA) -> list[Scene]:
    squares = 1 if kind == "classifier" else 3
    return [make_scene(first + number, squares) for number in range(count)]


def convert(
    directory: Path, kind: str, patch: pytest.MonkeyPatch, *, labelled: bool = False
) -> Conversion:
    recipe, checkpoint = write_network(directory, kind)
    for number, scene in enumerate(scenes(kind)):
        write_scene(directory / "media" / f"{number:03d}.png", scene)
    labels = directory / "labelled"
    if labelled:
        write_labels(labels, kind, scenes(kind, first=500, count=60))
    calls: list[tuple[GraphRun, SampleSets, Mapping[str, Any]]] = []

    def recorded(float_run: GraphRun, samples: SampleSets, **options: Any) -> Choice:
        path = directory / "kept" / float_run.path.name
        path.parent.mkdir()
        shutil.copy(float_run.path, path)
        calls.append((replace(float_run, path=path), samples, {**options, "report": None}))
        return choose(float_run, samples, **options)

    patch.setattr(stages, "choose", recorded)
    patch.setattr(candidates, "QUICK", Budget(graphs=5, seconds=20))
    fix_timings(patch, 2.0, 1.0)
    job = Job(
        read(recipe),
        directory / "out",
        checkpoint=checkpoint,
        calibration=directory / "media",
        labelled=labels if labelled else None,
        precision="int8",
        search="quick",
    )
    outcome = stages.convert(job, lambda stage: None)
    float_run, samples, options = calls[0]
    options = {**options, "precision": "auto"}
    return Conversion(outcome, Path(outcome.message) / "int8.onnx", float_run, samples, options)


def converted(kind: str, factory: pytest.TempPathFactory, *, labelled: bool = False) -> Conversion:
    with pytest.MonkeyPatch.context() as patch:
        return convert(factory.mktemp(kind), kind, patch, labelled=labelled)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Conversion:
    return converted("classifier", tmp_path_factory)


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Conversion:
    return converted("detector", tmp_path_factory)


@pytest.fixture(scope="module")
def masks(tmp_path_factory: pytest.TempPathFactory) -> Conversion:
    return converted("masks", tmp_path_factory, labelled=True)


def verification(conversion: Conversion) -> Mapping[str, Any]:
    assert conversion.outcome.manifest is not None
    served = conversion.outcome.manifest.variants[0]
    assert served.precision == "int8"
    return served.verification


def test_a_trained_classifier_is_packaged_by_the_bounds_of_its_task(
    classifier: Conversion,
) -> None:
    facts = verification(classifier)
    assert facts["judged_by"] == "task"
    assert set(CLASSES.at_least) <= set(facts["tolerance"]["at_least"])
    assert facts["division"] == (
        "113 images of different origin judge INT8; its ranges are measured and its graphs "
        "compared on 37 others"
    )
    assert facts["evidence"]["sources"] == 113
    assert facts["evidence"]["sure_inputs"] >= 100
    assert list(facts["yardstick"]) == ["grey_level", "jpeg"]
    (sentence,) = judgements([classifier.outcome])
    assert "judged by the bounds of the task, on 113 test media" in sentence
    assert "least room: " in sentence
    assert sentence.startswith("squares_classifier: int8, accepted\n")


def test_a_detector_is_packaged_by_the_bounds_of_its_task(detector: Conversion) -> None:
    facts = verification(detector)
    assert facts["judged_by"] == "task"
    assert facts["evidence"]["sure_boxes"] >= 100
    assert set(BOXES.at_least) <= set(facts["tolerance"]["at_least"])


def test_masks_are_packaged_by_their_labels(masks: Conversion) -> None:
    facts = verification(masks)
    assert facts["judged_by"] == "task"
    assert facts["evidence"] == {"sources": 60}
    assert facts["fidelity"]["labelled_loss"] <= 0.01
    assert (facts["inputs"], facts["inputs_source"]) == (60, "labelled")
    assert masks.outcome.manifest is not None
    assert masks.outcome.manifest.choice["verdict"] == "accepted"
    assert facts["sureness"].startswith("judged by 60 labelled media: ")


@pytest.mark.parametrize("kind", ["classifier", "detector"])
def test_labels_judge_the_same_networks(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversion = convert(tmp_path, kind, monkeypatch, labelled=True)
    facts = verification(conversion)
    assert facts["evidence"] == {"sources": 60}
    assert facts["sureness"].startswith("judged by 60 labelled media: ")
    swap = CLASSIFIERS["two classes swapped"] if kind == "classifier" else DETECTORS["swapped"]
    path = save(swap[0](onnx.load(conversion.int8)), tmp_path)
    with pytest.raises(VerificationError, match=r"int8: .*labelled_loss"):
        conversion.measure(path)


def after(output: str, *nodes: tuple[str, str], axis: int | None = None, **values: Any) -> Break:
    """Return a change that computes an output further, from what it was.

    Args:
        output: of the graph.
        nodes: operator and name of its second input, in order.
        axis: attribute of the first.
        values: constants by name.
    """

    def change(model: ModelProto) -> ModelProto:
        broken = ModelProto()
        broken.CopyFrom(model)
        for node in broken.graph.node:
            node.output[:] = ["whole" if name == output else name for name in node.output]
            node.input[:] = ["whole" if name == output else name for name in node.input]
        source = "whole"
        for number, (operator, constant) in enumerate(nodes):
            target = output if number == len(nodes) - 1 else f"broken/{number}"
            node = helper.make_node(operator, [source, constant], [target])
            if axis is not None and not number:
                node.attribute.append(helper.make_attribute("axis", axis))
            broken.graph.node.append(node)
            source = target
        broken.graph.initializer.extend(
            numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()
        )
        return broken

    return change


def scaled_initializers(model: ModelProto, names: set[str], factor: float) -> ModelProto:
    broken = ModelProto()
    broken.CopyFrom(model)
    for tensor in broken.graph.initializer:
        if tensor.name in names:
            values: NDArray[Any] = numpy_helper.to_array(tensor) * np.float32(factor)
            tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float32), tensor.name))
    return broken


def small_ranges(model: ModelProto) -> ModelProto:
    """Clip all activations to a twentieth of their ranges."""
    scales = {node.input[1] for node in model.graph.node if node.op_type == "QuantizeLinear"}
    assert scales
    return scaled_initializers(model, scales, 0.05)


def no_weights(model: ModelProto) -> ModelProto:
    """Make all INT8 weights zero, so that every answer is the same."""
    weights = {
        tensor.name
        for tensor in model.graph.initializer
        if tensor.data_type == onnx.TensorProto.INT8 and len(tensor.dims) > 1
    }
    scales = {
        node.input[1]
        for node in model.graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] in weights
    }
    assert scales
    return scaled_initializers(model, scales, 0.0)


F32 = np.float32
SCORES = "scores"
ALIVE = np.array([1, 1, 1, 0], F32)
HIGH = np.array([0, 0, 0, 0.9], F32)
CLASSIFIERS: Mapping[str, tuple[Break, str]] = {
    "ranges far too small": (small_ranges, "regret|class_correlation|sure_agreement"),
    "no weights": (no_weights, "sure_agreement"),
    "two classes swapped": (
        after("probabilities", ("Gather", "order"), axis=1, order=np.array([1, 0, 2, 3])),
        "sure_agreement",
    ),
    "a class dead": (
        after("probabilities", ("Mul", "alive"), alive=ALIVE),
        "class_correlation",
    ),
    "a class of half the probability": (
        after("probabilities", ("Mul", "half"), half=np.array([1, 1, 1, 0.5], F32)),
        "class_ratio",
    ),
    "probabilities flattened": (
        after("probabilities", ("Mul", "half"), ("Add", "rest"), half=F32(0.8), rest=F32(0.05)),
        "confidence_shift",
    ),
    "a collapsed head": (
        after("probabilities", ("Mul", "zero"), ("Add", "rest"), zero=F32(0), rest=F32(0.25)),
        "class_correlation",
    ),
}
WIDER = np.eye(4, dtype=np.float32)
WIDER[2, 2], WIDER[0, 2] = 1.2, -0.2  # the right edge moves by a fifth of the width
DETECTORS: Mapping[str, tuple[Break, str]] = {
    "ranges far too small": (small_ranges, "sure_recall|score_correlation"),
    "no weights": (no_weights, "sure_recall"),
    "swapped": (
        after(SCORES, ("Gather", "order"), axis=2, order=np.array([1, 0, 2, 3])),
        "sure_recall",
    ),
    "a class dead": (
        after(SCORES, ("Mul", "alive"), alive=ALIVE),
        "sure_recall",
    ),
    "a class everywhere": (
        after(SCORES, ("Max", "high"), high=HIGH),
        "sure_precision",
    ),
    "a class of half the score": (
        after(SCORES, ("Mul", "half"), half=np.array([1, 1, 1, 0.5], F32)),
        "score_ratio",
    ),
    "scores scaled": (after(SCORES, ("Mul", "less"), less=F32(0.85)), "score_shift"),
    "scores flattened": (
        after(SCORES, ("Mul", "less"), ("Add", "more"), less=F32(0.1), more=F32(0.3)),
        "score_shift",
    ),
    "boxes widened": (after("boxes_xyxy", ("MatMul", "wider"), wider=WIDER), "sure_iou_mean"),
}
MASKED: Mapping[str, tuple[Break, str]] = {
    "ranges far too small": (small_ranges, "labelled_loss|mae"),
    "a constant mask": (
        after("alpha", ("Mul", "zero"), ("Add", "one"), zero=F32(0), one=F32(1)),
        "labelled_loss",
    ),
    "an empty mask": (after("alpha", ("Mul", "zero"), zero=F32(0)), "labelled_loss"),
}
BROKEN = [
    *(("classifier", name) for name in CLASSIFIERS),
    *(("detector", name) for name in DETECTORS),
    *(("masks", name) for name in MASKED),
]
BREAKS = {"classifier": CLASSIFIERS, "detector": DETECTORS, "masks": MASKED}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "QUICK", Budget(graphs=5, seconds=20))
    fix_timings(monkeypatch, 2.0, 1.0)


def save(model: ModelProto, directory: Path) -> Path:
    path = directory / "int8.onnx"
    onnx.save(model, path)
    return path


def test_the_packaged_file_is_accepted(classifier: Conversion, detector: Conversion) -> None:
    for conversion in (classifier, detector):
        conversion.measure(conversion.int8)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("kind", "name"), BROKEN)
def test_a_broken_graph_is_refused(
    kind: str,
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    conversion: Conversion = request.getfixturevalue(kind)
    breaks, metric = BREAKS[kind][name]
    quantize = Quantizer.quantize

    def quantize_broken(self: Quantizer, config: QuantizationConfig) -> ModelProto:
        return breaks(quantize(self, config))

    monkeypatch.setattr(Quantizer, "quantize", quantize_broken)
    choice = conversion.choose()
    assert choice.int8 is None
    path = save(breaks(onnx.load(conversion.int8)), tmp_path)
    with pytest.raises(VerificationError, match=rf"int8: .*({metric})"):
        conversion.measure(path)


@pytest.mark.usefixtures("quick")
def test_int8_that_computes_in_float_is_refused(
    classifier: Conversion, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = onnx.load(classifier.float_run.path)
    monkeypatch.setattr(Quantizer, "quantize", lambda self, config: plain)
    choice = classifier.choose()
    assert choice.int8 is None
    assert "onnxruntime computes all of it in float" in choice.reason
    with pytest.raises(VerificationError, match="int8: it computes in float"):
        classifier.measure(classifier.float_run.path)
