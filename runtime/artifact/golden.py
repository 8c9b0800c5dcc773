"""Read golden.npz: samples that travel with an artifact, and the reference framework's outputs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from runtime.artifact.manifest import Manifest, verify_file
from runtime.errors import ArtifactError

Array = NDArray[Any]

# prefixes of the arrays' names; artifacts/README.md has the format
_MEDIA, _CONDITION, _INPUT, _OUTPUT = "media/", "condition/", "input/", "output/"


@dataclass(frozen=True, slots=True)
class Golden:
    """The golden samples of one version, N in all."""

    path: Path  # golden.npz, for error messages
    media: tuple[bytes, ...]  # encoded files or UTF-8 text, N; empty: the version holds none
    conditions: tuple[str | None, ...]  # the condition's name that each medium is asked with
    inputs: Mapping[str, Array]  # by name of the graph's input, (N, ...)
    outputs: Mapping[str, Array]  # by name of the graph's output, (N, ...)

    @property
    def count(self) -> int:
        """Return N, the number of samples."""
        return len(next(iter(self.inputs.values())))

    def feeds(self, number: int) -> dict[str, Array]:
        """Return the graph's inputs of one sample, as a batch of one."""
        return {name: batch[number : number + 1] for name, batch in self.inputs.items()}


def read_golden(directory: Path, manifest: Manifest, *, require_media: bool = False) -> Golden:
    """Read the golden samples of a version directory.

    Args:
        directory: artifacts/<model>/<version>.
        manifest: the manifest in it.
        require_media: refuse samples without encoded files.

    Raises:
        ArtifactError: the file is not the one that the manifest names, lacks an array, or its
            arrays hold different numbers of samples.
    """
    path = verify_file(directory, manifest.golden)
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays: dict[str, Array] = dict(file)
    except (OSError, ValueError, BadZipFile) as error:
        raise ArtifactError(f"{path} is no file of numpy arrays: {error}") from error
    count = sum(name.startswith(_MEDIA) for name in arrays)
    media = [_array(arrays, f"{_MEDIA}{i}", path) for i in range(count or int(require_media))]
    conditions = [arrays.get(f"{_CONDITION}{i}") for i in range(count)]
    golden = Golden(
        path=path,
        media=tuple(array.tobytes() for array in media),
        conditions=tuple(None if name is None else str(name) for name in conditions),
        inputs={t.name: _array(arrays, _INPUT + t.name, path) for t in manifest.spec.inputs},
        outputs={t.name: _array(arrays, _OUTPUT + t.name, path) for t in manifest.spec.outputs},
    )
    _check_counts(golden)
    return golden


def golden_arrays(
    media: Sequence[bytes],
    conditions: Sequence[str | None],
    inputs: Mapping[str, Array],
    outputs: Mapping[str, Array],
) -> dict[str, Array]:
    """Return the arrays of golden.npz by name: the inverse of `read_golden`."""
    return {
        **{f"{_MEDIA}{i}": np.frombuffer(content, np.uint8) for i, content in enumerate(media)},
        **{f"{_INPUT}{name}": _storable(array) for name, array in inputs.items()},
        **{f"{_OUTPUT}{name}": _storable(array) for name, array in outputs.items()},
        **{
            f"{_CONDITION}{i}": np.array(name)
            for i, name in enumerate(conditions)
            if name is not None
        },
    }


def _array(arrays: Mapping[str, Array], name: str, path: Path) -> Array:
    if name not in arrays:
        raise ArtifactError(f"{path} holds no {name}")
    array = arrays[name]
    return array.astype(object) if array.dtype.kind == "U" else array


def _storable(array: Array) -> Array:
    """Return an array of str as one that numpy writes without pickle."""
    return array.astype(str) if array.dtype.kind == "O" else array


def _check_counts(golden: Golden) -> None:
    batches = {**golden.inputs, **golden.outputs}
    counts = {name: array.shape[0] if array.ndim else 0 for name, array in batches.items()}
    if golden.media:
        counts["media"] = len(golden.media)
    if set(counts.values()) != {golden.count} or golden.count < 1:
        listed = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise ArtifactError(f"{golden.path}: samples differ in number or are none: {listed}")
