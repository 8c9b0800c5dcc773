"""Seeded weights: no layer collapses, answers differ between inputs, and values repeat."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

import runtime
from convert import recipe
from convert.samples.media import MODALITIES
from convert.samples.procedural import EVALUATION
from convert.weights.seeded import seed_torch
from runtime.artifact.manifest import read_manifest
from runtime.media.images.preprocess import preprocess
from tests.convert.conftest import MODELS

TORCH = ("image_embedding_mobilenetv2", "background_u2netp")
KERAS = "face_emotion_xception"  # TensorFlow and torch cannot share a process
SEEDED = tuple(
    name for name in recipe.model_ids() if recipe.find(name).recipe.seed and name != KERAS
)
WEIGHTED = ("Conv", "MatMul", "Gemm")


def spreads(graph: onnx.ModelProto, feeds: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Return the standard deviation of the output of every layer with weights."""
    weights = {tensor.name for tensor in graph.graph.initializer}
    names = [
        node.output[0]
        for node in graph.graph.node
        if node.op_type in WEIGHTED and weights.intersection(node.input)
    ]
    graph.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names
    )
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(
        graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return {
        name: float(array.std())
        for name, array in zip(names, session.run(names, dict(feeds)), strict=True)
    }


def check_spreads(deviations: Mapping[str, float]) -> None:
    assert len(deviations) > 5
    assert {name: std for name, std in deviations.items() if not 1e-3 < std < 1e3} == {}


def check_answers(answers: Sequence[np.ndarray]) -> None:
    rows = np.stack([np.asarray(answer, np.float32).ravel() for answer in answers])
    distances = np.abs(rows[:, np.newaxis] - rows[np.newaxis]).mean(axis=2)
    assert distances[np.triu_indices(len(rows), k=1)].min() > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("model_id", SEEDED)
def test_no_layer_collapses_or_explodes_and_answers_differ(model_id: str) -> None:
    model_recipe = recipe.find(model_id).recipe
    assert model_recipe.seed is not None
    loaded, modality = model_recipe.seed(), MODALITIES[model_recipe.media]
    answers = []
    for media in modality.generate(EVALUATION, 4):
        sample = modality.to_feeds(media, loaded)
        inputs = loaded.input.apply(*(sample[tensor.name] for tensor in loaded.input.tensors))
        answers.append(next(iter(loaded.head.apply(*loaded.network.forward(*inputs)).values())))
    check_answers(_truncate_to_shortest(answers))
    graph = loaded.network.export()
    names = [tensor.name for tensor in graph.graph.input]
    check_spreads(spreads(graph, dict(zip(names, inputs, strict=True))))


def _truncate_to_shortest(answers: Sequence[np.ndarray]) -> list[np.ndarray]:
    smallest = min(answer.size for answer in answers)
    return [answer.ravel()[:smallest] for answer in answers]


@pytest.mark.slow
def test_no_keras_layer_collapses_or_explodes_and_answers_differ(seeded: Path) -> None:
    model = runtime.load(seeded / KERAS)
    images = MODALITIES["face"].generate(EVALUATION, 4)
    faces = [preprocess(image, model.spec.preprocess) for image in images]
    check_answers([model.run({"image": face[np.newaxis]})["probabilities"] for face in faces])
    graph = onnx.load(seeded / KERAS / "1" / model.variant.files[0].name)
    check_spreads(spreads(graph, {"image": np.stack(faces)}))


@pytest.mark.slow
@pytest.mark.parametrize("model_id", MODELS)
def test_manifest_says_seeded(seeded: Path, model_id: str) -> None:
    manifest = read_manifest(seeded / model_id / "1")
    assert manifest.seeded
    assert manifest.calibration == "synthetic"
    assert max(manifest.parity.values()) <= 1e-4
    assert manifest.variants[0].verification["judged"] is False


@pytest.mark.parametrize("model_id", TORCH)
def test_values_depend_neither_on_torchs_generator_nor_on_its_threads(
    model_id: str,
) -> None:
    import torch

    seed = recipe.find(model_id).recipe.seed
    assert seed is not None
    threads = torch.get_num_threads()
    try:
        torch.manual_seed(1)
        torch.set_num_threads(1)
        first = {name: array.copy() for name, array in seed().network.weights().items()}
        torch.manual_seed(2)
        torch.set_num_threads(2)
        second = seed().network.weights()
    finally:
        torch.set_num_threads(threads)
    assert first.keys() == second.keys()
    for name, array in first.items():
        np.testing.assert_array_equal(second[name], array, err_msg=name)


def test_residual_branches_are_damped_and_statistics_come_from_the_samples() -> None:
    from torch import nn

    def net() -> Any:
        return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))

    samples = np.random.default_rng(0).normal(2, 3, (8, 3, 9, 9)).astype(np.float32)
    plain, damped = net(), net()
    seed_torch(plain, (samples,))
    seed_torch(damped, (samples,), residual_norms=("1.weight",))
    np.testing.assert_allclose(damped[1].weight.detach(), plain[1].weight.detach() * 0.2, rtol=1e-6)
    assert not plain.training
    import torch

    with torch.no_grad():
        features = plain[0](torch.from_numpy(samples)).numpy()
    expected = features.mean(axis=(0, 2, 3))
    np.testing.assert_allclose(plain[1].running_mean.numpy(), expected, rtol=1e-4, atol=1e-4)
