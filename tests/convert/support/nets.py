"""Small torch classifiers with everything that a recipe adds to them, and samples for them."""

from typing import Any

import numpy as np

from convert.export.frameworks.torch_module import TorchNetwork
from convert.export.numerics import ImageInput, Probabilities
from convert.recipe import Loaded, Recipe, Tolerance
from convert.samples.sets import SampleSets
from runtime.artifact.manifest import Resize
from tests.convert.support.parity import rows

SIDE = 32
CLASSES = 4


def convolutions(*, layers: int = 5, width: int = 32) -> Any:
    """Return convolutions with Relu, a mean and a linear layer; their weights are deterministic."""
    import torch
    from torch import nn

    modules: list[nn.Module] = []
    channels = 3
    for _ in range(layers):
        modules += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
        channels = width
    tail = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, CLASSES)]
    net = nn.Sequential(*modules, *tail)
    rng = np.random.default_rng(5)
    for parameter in net.parameters():
        fan_in = int(np.prod(parameter.shape[1:])) if parameter.ndim > 1 else 1000
        noise = rng.standard_normal(tuple(parameter.shape), dtype=np.float32)
        scaled = noise * np.float32(np.sqrt(2 / fan_in))
        parameter.data = torch.from_numpy(np.asarray(scaled, np.float32))
    last: Any = net[-1]
    last.weight.data *= 4  # else all images would get nearly the same answer
    return net


def stretched(net: Any, layer: int, factor: float = 1e4) -> Any:
    """Give one channel after a layer `factor` times the range; the net's function stays."""
    first, second = net[2 * layer], net[2 * layer + 2]
    first.weight.data[0] *= factor
    first.bias.data[0] *= factor
    second.weight.data[:, 0] /= factor
    return net


def loaded(net: Any) -> Loaded:
    return Loaded(
        network=TorchNetwork(net, input_shape=(3, SIDE, SIDE)),
        input=ImageInput(SIDE, SIDE, 3, mean=(0.5,) * 3, std=(0.25,) * 3),
        head=Probabilities(softmax=True),
        preprocess=(Resize("linear", height=SIDE, width=SIDE),),
        labels=tuple(f"class {i}" for i in range(CLASSES)),
    )


def recipe(tolerance: Tolerance) -> Recipe:
    def load(path: object) -> Loaded:
        raise NotImplementedError(path)

    return Recipe(
        task="image-classification",
        description="of the tests",
        licence="Apache-2.0",
        load=load,
        tolerance=tolerance,
        media="scene",
    )


def sample_sets(*, calibration: int = 6, validation: int = 6, test: int = 6) -> SampleSets:
    rng = np.random.default_rng(9)
    low = rng.integers(0, 256, (calibration + validation + test, 4, 4, 3), dtype=np.uint8)
    images = np.repeat(np.repeat(low, SIDE // 4, axis=1), SIDE // 4, axis=2)
    samples = rows(images)
    end = calibration + validation
    return SampleSets("synthetic", samples[:calibration], samples[calibration:end], samples[end:])
