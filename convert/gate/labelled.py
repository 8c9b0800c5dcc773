"""Labelled media as the judge of a classifier: whether INT8 is right as often as float."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convert.errors import LabelsError
from convert.metrics import LABELLED_LOSS, Outputs
from convert.recipe import Loaded, Recipe
from convert.samples.media import MODALITIES
from convert.samples.origins import distinct_rows
from convert.samples.sets import MAX_TEST_BYTES, MAX_TEST_FILES, MediaFiles, Samples
from convert.verify.parity import run_samples
from runtime.engine.session import Feeds
from runtime.errors import InputError

CLASSIFIED = "probabilities"  # the output of every classifier
MAX_NAMES = 12  # of classes in a refusal


@dataclass(frozen=True, slots=True)
class LabelledSamples:
    """Preprocessed media of known classes, one of each origin."""

    samples: Samples
    classes: tuple[int, ...]  # the index of each one's label


@dataclass(frozen=True, slots=True)
class Labelled:
    """Labelled samples, and which of them float gets right."""

    labelled: LabelledSamples
    float_right: int

    def loss(self, path: Path) -> Mapping[str, float]:
        """Run a graph; return the share of all samples by which fewer are right than of float."""
        right = count_right(run_samples(path, self.labelled.samples), self.labelled.classes)
        return {LABELLED_LOSS: (self.float_right - right) / len(self.labelled.classes)}


def with_float(labelled: LabelledSamples, path: Path) -> Labelled:
    """Run the float graph and count what it gets right."""
    right = count_right(run_samples(path, labelled.samples), labelled.classes)
    return Labelled(labelled, right)


def count_right(outputs: Outputs, classes: Sequence[int]) -> int:
    """Return how many inputs have their label as the likeliest class; none that are not finite."""
    probabilities: NDArray[np.float32] = outputs[CLASSIFIED]
    is_finite = np.isfinite(probabilities).all(axis=1)
    return int(((probabilities.argmax(axis=1) == np.array(classes)) & is_finite).sum())


def read_labelled_samples(
    media: MediaFiles, recipe: Recipe, loaded: Loaded, *, seen: MediaFiles | None
) -> LabelledSamples:
    """Read media in a folder per class, named as the model's labels in any case.

    Up to MAX_TEST_FILES and MAX_TEST_BYTES are read, in the order of their content hash.

    Args:
        media: below the folder; files in other folders and unreadable ones are left out.
        recipe: decides the kind of media.
        loaded: decides preprocessing and labels.
        seen: the calibration media, whose contents do not count.

    Raises:
        LabelsError: no file is in a folder of a class.
    """
    index_of = {label.casefold(): index for index, label in enumerate(loaded.labels)}
    modality = MODALITIES[recipe.media]
    samples, classes = list[Feeds](), list[int]()
    size = 0
    for content, path in media.paths.items():
        index = index_of.get(path.parent.name.casefold())
        if index is None or (seen is not None and content in seen.paths):
            continue
        if len(samples) >= MAX_TEST_FILES or size >= MAX_TEST_BYTES:
            break
        try:
            medium = modality.with_condition(modality.read(path.read_bytes()), len(samples))
            feeds = modality.to_feeds(medium, loaded)
        except (InputError, OSError):
            continue
        samples.append(feeds)
        classes.append(index)
        size += sum(array.nbytes for array in feeds.values())
    if not samples:
        raise LabelsError(
            f"{media.directory}: no {modality.noun} in folders named as classes: "
            f"{', '.join(loaded.labels[:MAX_NAMES])}"
        )
    rows = distinct_rows(samples)
    return LabelledSamples(tuple(samples[row] for row in rows), tuple(classes[row] for row in rows))
