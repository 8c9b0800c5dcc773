from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

import runtime
from convert import recipe
from convert.modalities import MODALITIES
from convert.procedural import EVALUATION
from convert.seeded import seed_torch
from runtime.manifest import read_manifest
from tests.convert.conftest import MODELS

TORCH = ("image_embedding_mobilenetv2", "background_u2netp")


def layer_outputs(path: Path, batch: np.ndarray) -> dict[str, np.ndarray]:
    """What every Conv of a graph gives."""
    model = onnx.load(path)
    names = [node.output[0] for node in model.graph.node if node.op_type == "Conv"]
    model.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names
    )
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return dict(zip(names, session.run(names, {"image": batch}), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("model_id", MODELS)
def test_no_layer_collapses_or_explodes(seeded: Path, model_id: str) -> None:
    model = runtime.load(seeded / model_id)
    kind = recipe.find(model_id).recipe.media
    batch = np.stack([model.preprocess(image) for image in MODALITIES[kind].draw(EVALUATION, 4)])
    path = seeded / model_id / "1" / model.variant.files[0].name
    spreads = {name: float(array.std()) for name, array in layer_outputs(path, batch).items()}
    assert len(spreads) > 10
    out_of_range = {name: std for name, std in spreads.items() if not 1e-3 < std < 1e3}
    assert out_of_range == {}


@pytest.mark.slow
@pytest.mark.parametrize("model_id", MODELS)
def test_answers_differ_between_inputs(seeded: Path, model_id: str) -> None:
    model = runtime.load(seeded / model_id)
    kind = recipe.find(model_id).recipe.media
    batch = np.stack([model.preprocess(image) for image in MODALITIES[kind].draw(EVALUATION, 6)])
    first = model.spec.outputs[0].name
    answers = np.asarray(model.run({"image": batch})[first], np.float32).reshape(6, -1)
    distances = np.abs(answers[:, np.newaxis] - answers[np.newaxis]).mean(axis=2)
    assert distances[np.triu_indices(6, k=1)].min() > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("model_id", MODELS)
def test_manifest_says_seeded(seeded: Path, model_id: str) -> None:
    manifest = read_manifest(seeded / model_id / "1")
    assert manifest.seeded
    assert manifest.calibration == "synthetic"
    assert max(manifest.parity.values()) <= 1e-4
    assert manifest.variants[0].verification["judged"] is False


@pytest.mark.parametrize("model_id", TORCH)
def test_values_repeat_whatever_torch_drew_before_on_any_threads(
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


def test_residual_branches_are_damped_and_statistics_are_of_the_samples() -> None:
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
