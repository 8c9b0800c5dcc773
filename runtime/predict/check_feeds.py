"""Check the feeds of a graph before a run: onnxruntime's own errors name nodes, not inputs."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from runtime.artifact.manifest import Resample, Spec, TensorSpec, Tokenize
from runtime.artifact.spec import numpy_dtype
from runtime.engine.session import Feeds
from runtime.errors import InputError
from runtime.media.audio.decode import MIN_SECONDS
from runtime.predict.assets import Assets


def check_feeds(feeds: Feeds, spec: Spec, assets: Assets) -> None:
    """Refuse tensors that the graph does not take.

    Raises:
        InputError: a tensor is missing, unknown, or of another dtype or shape; a waveform is too
            short, a text too long, or a token id is not in the vocabulary.
    """
    expected: Mapping[str, TensorSpec] = {tensor.name: tensor for tensor in spec.inputs}
    for name in feeds:
        if name not in expected:
            raise InputError(f"input {name!r} is unknown; {spec.id} takes {', '.join(expected)}")
    for name, tensor in expected.items():
        if name not in feeds:
            raise InputError(f"input {name!r} is missing; {spec.id} takes {', '.join(expected)}")
        _check_tensor(feeds[name], tensor)
    _check_length(feeds, spec)
    if assets.tokenizer is not None:
        _check_ids(feeds["input_ids"], len(assets.tokenizer.vocabulary))


def _check_tensor(array: NDArray[np.generic], tensor: TensorSpec) -> None:
    if array.dtype != numpy_dtype(tensor.dtype):
        raise InputError(f"input {tensor.name!r} is {array.dtype}; allowed: {tensor.dtype}")
    fits = array.ndim == len(tensor.shape) and all(
        size > 0 and (isinstance(axis, str) or size == axis)
        for size, axis in zip(array.shape, tensor.shape, strict=True)
    )
    if not fits:
        allowed = ", ".join(str(axis) for axis in tensor.shape)
        raise InputError(f"input {tensor.name!r} has shape {array.shape}; allowed: ({allowed})")


def _check_length(feeds: Feeds, spec: Spec) -> None:
    """Check the axes of any size, whose limits are in the steps of the spec."""
    for step in spec.preprocess:
        if isinstance(step, Tokenize) and feeds["input_ids"].shape[-1] > step.max_length:
            count = feeds["input_ids"].shape[-1]
            raise InputError(f"input 'input_ids' has {count} tokens; allowed: {step.max_length}")
        if isinstance(step, Resample):
            shortest = round(MIN_SECONDS * step.sampling_rate)
            samples = feeds["waveform"].shape[-1]
            if samples < shortest:
                allowed = f"at least {shortest}, {MIN_SECONDS} s"
                raise InputError(f"input 'waveform' has {samples} samples; allowed: {allowed}")


def _check_ids(ids: NDArray[np.generic], count: int) -> None:
    lowest, highest = int(ids.min()), int(ids.max())
    if lowest < 0 or highest >= count:
        raise InputError(f"input 'input_ids' has {lowest} to {highest}; allowed: 0 to {count - 1}")
