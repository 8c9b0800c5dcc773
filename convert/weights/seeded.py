"""Deterministic untrained weights: they show speed, size, memory and parity, never fidelity.

Values come from numpy's generator (torch's differ between CPUs). Residual branches are damped and
batch normalisation is estimated on sample inputs: the outputs of an untouched random network in
eval mode collapse to about 1e-15, and parity of such outputs proves nothing.
"""

import fnmatch
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.recipe import Loaded, MediaKind
from convert.samples.media import MODALITIES
from convert.samples.procedural import SAMPLES
from convert.samples.sets import collate, synthetic_samples

RESIDUAL_DAMPING = 0.2
SAMPLE_COUNT = 8

Samples = tuple[NDArray[Any], ...]  # network inputs, (N, ...) each


def sample_input(loaded: Loaded, *, media: MediaKind) -> Samples:
    """Return network inputs of SAMPLE_COUNT synthetic samples, to estimate normalisation on."""
    batch = collate(synthetic_samples(MODALITIES[media], loaded, SAMPLES, SAMPLE_COUNT))
    return loaded.input.apply(*(batch[tensor.name] for tensor in loaded.input.tensors))


def seed_torch(module: Any, samples: Samples, *, residual_norms: tuple[str, ...] = ()) -> None:
    """Fill the parameters and batch statistics of a torch module in place.

    Args:
        module: torch.nn.Module; left in eval mode.
        samples: arguments of `forward`, (N, C, H, W) each; batch statistics are estimated on them.
        residual_norms: fnmatch patterns of the weights that end a residual branch; they are scaled
            by RESIDUAL_DAMPING, without which activations grow with every block.
    """
    import torch

    with torch.no_grad(), _one_thread():
        for name, parameter in module.named_parameters():
            damping = RESIDUAL_DAMPING if _matches(name, residual_norms) else 1.0
            value = _values(name, tuple(parameter.shape), is_norm=parameter.ndim == 1)
            parameter.copy_(torch.from_numpy(value * np.float32(damping)))
        norms = [m for m in module.modules() if isinstance(m, torch.nn.BatchNorm2d)]
        module.eval()
        for norm in norms:
            norm.train()
            norm.momentum = 1.0  # one batch is the whole estimate
        module(*(torch.from_numpy(array) for array in samples))
    module.eval()


def seed_keras(model: Any, samples: Samples) -> None:
    """Fill a Keras model in place, as `seed_torch` does.

    Values are seeded by position and name: Keras gives many weights the same name.
    """
    from keras import layers

    for index, weight in enumerate(model.trainable_weights):
        shape = tuple(weight.shape)
        value = _values(f"{index:03d} {weight.name}", shape[::-1], is_norm=len(shape) == 1)
        weight.assign(value.transpose())
    norms = [layer for layer in model.layers if isinstance(layer, layers.BatchNormalization)]
    for norm in norms:
        norm.momentum = 0.0
    model(*samples, training=True)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Run torch in one thread: the last bits of a sum over a batch depend on the threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _values(name: str, shape: tuple[int, ...], *, is_norm: bool) -> NDArray[np.float32]:
    # seeded by name: a new layer does not change the values of the others
    generator = np.random.default_rng(zlib.crc32(name.encode()))
    noise = generator.standard_normal(shape, dtype=np.float32)
    if not is_norm:
        fan_in = int(np.prod(shape[1:]))
        return noise * np.float32(np.sqrt(2.0 / fan_in))
    centre = 1.0 if name.endswith(("weight", "gamma")) else 0.0
    return np.float32(centre) + noise * np.float32(0.1)


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)
