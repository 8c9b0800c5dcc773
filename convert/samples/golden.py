"""Golden samples: synthetic media, the graph's inputs for them, and the reference's outputs.

They travel with the artifact. Anyone can ask a server for them and compare: an equal answer shows
that the server runs what was verified.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convert.metrics import Outputs
from convert.recipe import Loaded, Recipe
from convert.samples import procedural
from convert.samples.media import MODALITIES
from convert.samples.sets import Samples, collate
from runtime.artifact.golden import golden_arrays

FILE = "golden.npz"
COUNT = 4
LIMIT_BYTES = 1_000_000
# decimals of outputs that are rounded to keep the limit; far finer than the comparison's margin
DECIMALS = {"boxes_xyxy": 2, "keypoints": 2}  # px
OTHER_DECIMALS = 5


@dataclass(frozen=True, slots=True)
class GoldenSamples:
    """The samples of golden.npz, and the reference framework's outputs for them."""

    samples: Samples
    outputs: Outputs  # rounded where the file was too large


def write_golden(
    path: Path, recipe: Recipe, loaded: Loaded, answer: Callable[[Samples], Outputs]
) -> GoldenSamples:
    """Write up to COUNT golden samples: as many as fit in LIMIT_BYTES, at least one.

    If not even one fits (640 x 640 px of noise, 8,400 boxes), the media are simplified and the
    outputs are rounded.

    Args:
        path: the file to write.
        recipe: decides the kind of media.
        loaded: decides the preprocessing.
        answer: runs the reference framework.
    """
    for simplified in (False, True):
        files, samples, conditions = golden_samples(recipe, loaded, simplified=simplified)
        outputs = answer(samples)
        if simplified:
            outputs = {name: _rounded(name, array) for name, array in outputs.items()}
        for count in range(len(files), 0, -1):
            content = _packed(files[:count], samples[:count], outputs, conditions[:count])
            if len(content) <= LIMIT_BYTES or (simplified and count == 1):
                path.write_bytes(content)
                first_outputs = {name: array[:count] for name, array in outputs.items()}
                return GoldenSamples(samples[:count], first_outputs)
    raise AssertionError("one simplified sample is always written")


def golden_samples(
    recipe: Recipe, loaded: Loaded, *, simplified: bool = False
) -> tuple[list[bytes], Samples, list[str | None]]:
    """Generate the golden media.

    Returns:
        files: the encoded media.
        samples: the graph's inputs, decoded from the files and preprocessed as served.
        conditions: the name of each clip's condition; None where there is none.
    """
    modality = MODALITIES[recipe.media]
    synthetic = modality.generate(procedural.GOLDEN, COUNT)
    if simplified:
        synthetic = [modality.simplify(medium) for medium in synthetic]
    files = [modality.encode(medium) for medium in synthetic]
    media = [modality.with_condition(modality.read(file), i) for i, file in enumerate(files)]
    samples = tuple(modality.to_feeds(medium, loaded) for medium in media)
    return files, samples, [modality.condition_name(medium, loaded) for medium in media]


def _packed(
    files: Sequence[bytes], samples: Samples, outputs: Outputs, conditions: Sequence[str | None]
) -> bytes:
    """Return the content of golden.npz for the first samples."""
    first_outputs = {name: array[: len(files)] for name, array in outputs.items()}
    arrays = golden_arrays(files, conditions, collate(samples), first_outputs)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]  # numpy's stub takes bool here
    return buffer.getvalue()


def _rounded(name: str, array: NDArray[np.float32]) -> NDArray[np.float32]:
    return array.round(DECIMALS.get(name, OTHER_DECIMALS))
