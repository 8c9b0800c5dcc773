"""Golden samples: drawings, what the graph is fed for them, and the reference framework's answers.

They travel with the artifact, so that anyone can ask a server whether it is what was verified.
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
# of what is rounded to keep the limit: far below the margin that answers are compared with
DECIMALS = {"boxes_xyxy": 2, "keypoints": 2}  # px
OTHER_DECIMALS = 5


@dataclass(frozen=True, slots=True)
class Golden:
    """What is kept with the artifact."""

    samples: Samples
    outputs: Outputs  # of the reference framework


def write_golden(
    path: Path, recipe: Recipe, loaded: Loaded, answer: Callable[[Samples], Outputs]
) -> Golden:
    """Draw, ask the reference, and write as many samples as fit in LIMIT_BYTES, at least one.

    Where a single one is too large (640 x 640 px of noise, 8,400 boxes) the drawings are made
    plainer and the answers are rounded.

    Args:
        path: golden.npz.
        recipe: its media.
        loaded: its geometry.
        answer: the reference framework.
    """
    for plain in (False, True):
        files, samples, told = golden_samples(recipe, loaded, plain=plain)
        outputs = answer(samples)
        if plain:
            outputs = {name: _rounded(name, array) for name, array in outputs.items()}
        for count in range(len(files), 0, -1):
            content = _packed(files[:count], samples[:count], outputs, told[:count])
            if len(content) <= LIMIT_BYTES or (plain and count == 1):
                path.write_bytes(content)
                return Golden(samples[:count], {n: array[:count] for n, array in outputs.items()})
    raise AssertionError("the last sample is always written")


def golden_samples(
    recipe: Recipe, loaded: Loaded, *, plain: bool = False
) -> tuple[list[bytes], Samples, list[str | None]]:
    """Drawings as files, what the served decoding and geometry make of them, and conditions."""
    modality = MODALITIES[recipe.media]
    drawn = modality.generate(procedural.GOLDEN, COUNT)
    files = [modality.encode(modality.simplify(each) if plain else each) for each in drawn]
    media = [
        modality.with_condition(modality.read(data), number) for number, data in enumerate(files)
    ]
    samples = tuple(modality.to_feeds(each, loaded) for each in media)
    return files, samples, [modality.condition_name(each, loaded) for each in media]


def _packed(
    files: Sequence[bytes], samples: Samples, outputs: Outputs, told: Sequence[str | None]
) -> bytes:
    answers = {name: array[: len(files)] for name, array in outputs.items()}
    arrays = golden_arrays(files, told, collate(samples), answers)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]  # numpy's stub takes bool here
    return buffer.getvalue()


def _rounded(name: str, array: NDArray[np.float32]) -> NDArray[np.float32]:
    return array.round(DECIMALS.get(name, OTHER_DECIMALS))
