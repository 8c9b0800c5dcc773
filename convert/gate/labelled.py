"""Labelled media as the judge: whether INT8 agrees with their labels as often as float."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from convert.errors import LabelsError
from convert.fidelity.average_precision import TrueBoxes
from convert.fidelity.intervals import CONFIDENCE, resamples, share_lower
from convert.files import sha256
from convert.gate.label_files import (
    Shares,
    find_boxes,
    find_mask,
    is_label,
    read_boxes,
    read_mask,
    within_limits,
)
from convert.gate.truth import TrueClasses, TrueMasks, TrueObjects, Truth
from convert.metrics import LABELLED_LOSS, LABELLED_LOSS_UPPER, Outputs, measure
from convert.recipe import Loaded, Recipe
from convert.samples.media import MODALITIES
from convert.samples.origins import distinct_rows
from convert.samples.sets import MAX_TEST_BYTES, MAX_TEST_FILES, MediaFiles, Samples
from convert.verify.parity import run_samples
from runtime.artifact.manifest import NmsConfig, Task
from runtime.engine.session import Feeds
from runtime.errors import InputError
from runtime.media.images.geometry import place

MAX_NAMES = 12  # of classes in a refusal
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LabelledSamples:
    """Preprocessed media with their labels, one of each origin."""

    directory: Path
    samples: Samples
    truth: Truth
    notes: tuple[str, ...] = ()  # sentences about media that were left out


@dataclass(frozen=True, slots=True)
class Labelled:
    """Labelled samples, and how well float agrees with their labels."""

    labelled: LabelledSamples
    outputs: Outputs  # of the float graph
    quality: Floats  # its agreement with all labels, and then with those of each resample
    suppression: NmsConfig | None = None  # with which a detector serves

    def __len__(self) -> int:
        """Return how many samples there are."""
        return len(self.labelled.samples)

    @property
    def noun(self) -> str:
        """Return what a graph may lose."""
        return self.labelled.truth.noun

    def measure(self, path: Path) -> Mapping[str, float]:
        """Run a graph and compare it with float and with the labels.

        Returns:
            The metrics of `convert.metrics` on the labelled media, and how much less than float it
            agrees with the labels, with an upper bound.
        """
        outputs = run_samples(path, self.labelled.samples)
        losses = self.quality - _quality(self.labelled, outputs)
        # where no answer differs, no resample does: no surer than of so many trials without failure
        least = 1 - share_lower(len(self), len(self))
        return {
            **measure(self.outputs, outputs, self.suppression).metrics,
            LABELLED_LOSS: float(losses[0]),
            LABELLED_LOSS_UPPER: max(least, float(np.quantile(losses[1:], CONFIDENCE))),
        }


def with_float(
    labelled: LabelledSamples, path: Path, suppression: NmsConfig | None = None
) -> Labelled:
    """Run the float graph and measure how well it agrees with the labels.

    Raises:
        LabelsError: no better than without looking; such labels say nothing about INT8.
    """
    outputs, truth = run_samples(path, labelled.samples), labelled.truth
    quality = _quality(labelled, outputs)
    if quality[0] <= truth.chance:
        raise LabelsError(
            f"{labelled.directory}: float reaches {quality[0]:.2f} of {truth.noun} on "
            f"{len(labelled.samples)} labelled media; needed: more than {truth.chance:.2f}. Are "
            "the labels those of this model, in its order?"
        )
    return Labelled(labelled, outputs, quality, suppression)


def _quality(labelled: LabelledSamples, outputs: Outputs) -> Floats:
    """Return the agreement with all labels, and then with those of each resample."""
    count = len(labelled.samples)
    return labelled.truth.quality(outputs, np.vstack([np.ones(count), resamples(count)]))


class _Labels(Protocol):
    """One kind of labels: where they are, and what they say of a medium."""

    def find(self, path: Path) -> Any:
        """Return what the files say of a medium; None: nothing, and it is left out."""
        ...

    def fit(self, label: Any, medium: Any) -> Any:
        """Return the label as the graph's output shows it."""
        ...

    def join(self, labels: Sequence[Any]) -> Truth:
        """Return the labels of all media."""
        ...

    def needed(self) -> str:
        """Return where such labels are looked for."""
        ...

    def missing(self, paths: Sequence[Path]) -> str:
        """Return why these media have no label, in words."""
        ...


@dataclass(frozen=True, slots=True)
class _ClassFolders:
    """A folder per class, named as the model's labels in any case."""

    loaded: Loaded

    def find(self, path: Path) -> int | None:
        folder = path.parent.name.casefold()
        index_of = {label.casefold(): index for index, label in enumerate(self.loaded.labels)}
        return index_of.get(folder)

    def fit(self, label: int, medium: Any) -> int:
        del medium
        return label

    def join(self, labels: Sequence[int]) -> TrueClasses:
        return TrueClasses(tuple(labels))

    def needed(self) -> str:
        return f"in folders named as classes: {_listed(self.loaded.labels)}"

    def missing(self, paths: Sequence[Path]) -> str:
        folders = sorted({path.parent.name for path in paths})
        return f"are in folders that name no class of the model ({_listed(folders)})"


@dataclass(frozen=True, slots=True)
class _BoxFiles:
    """A text file of boxes for each image."""

    loaded: Loaded

    def find(self, path: Path) -> Shares | None:
        file = find_boxes(path)
        return None if file is None else read_boxes(file, self.loaded.labels)

    def fit(self, label: Shares, medium: Any) -> TrueBoxes:
        height, width = medium.shape[:2]
        placement = place(height, width, self.loaded.preprocess)
        scale = np.array([width * placement.scale_x, height * placement.scale_y] * 2)
        boxes = label.xyxy * scale + np.array([placement.left, placement.top] * 2)
        return TrueBoxes(boxes.astype(np.float32), label.classes)

    def join(self, labels: Sequence[TrueBoxes]) -> TrueObjects:
        assert self.loaded.suppression is not None  # a detector without it is refused
        return TrueObjects(tuple(labels), self.loaded.suppression)

    def needed(self) -> str:
        return (
            "with boxes: images/NAME.jpg and labels/NAME.txt, one line a box, class x y width "
            "height (YOLO)"
        )

    def missing(self, paths: Sequence[Path]) -> str:
        names = _listed([path.name for path in paths])
        return f"have no file of boxes ({names}); an empty one says that an image shows nothing"


@dataclass(frozen=True, slots=True)
class _MaskFiles:
    """A mask for each image."""

    recipe: Recipe
    loaded: Loaded

    def find(self, path: Path) -> Path | None:
        return find_mask(path)

    def fit(self, label: Path, medium: Any) -> NDArray[np.bool_]:
        mask = read_mask(label, *medium.shape[:2])
        # the same steps as the image's, so that it lies where the graph's output does
        (pixels,) = MODALITIES[self.recipe.media].to_feeds(mask, self.loaded).values()
        return np.asarray(pixels[0].mean(axis=2) > 127)

    def join(self, labels: Sequence[NDArray[np.bool_]]) -> TrueMasks:
        return TrueMasks(np.stack(labels))

    def needed(self) -> str:
        return "with masks: images/NAME.jpg and masks/NAME.png of the same size"

    def missing(self, paths: Sequence[Path]) -> str:
        return f"have no mask ({_listed([path.name for path in paths])})"


def _listed(names: Sequence[str]) -> str:
    rest = len(names) - MAX_NAMES
    return ", ".join(names[:MAX_NAMES]) + (f" and {rest} more" if rest > 0 else "")


def _labels_of(task: Task, recipe: Recipe, loaded: Loaded) -> _Labels:
    if task == "object-detection":
        return _BoxFiles(loaded)
    if task == "image-segmentation":
        return _MaskFiles(recipe, loaded)
    return _ClassFolders(loaded)


def labels_digest(media: MediaFiles, task: Task) -> str:
    """Return "sha256:..." of the media and of what their labels say.

    Raises:
        LabelsError: a file of labels is too large.
    """
    if task not in ("object-detection", "image-segmentation"):
        return media.labels_digest
    find = find_boxes if task == "object-detection" else find_mask
    lines = []
    for content, path in media.paths.items():
        file = find(path)
        lines.append(f"{content} {sha256(within_limits(file)) if file else ''}")
    return f"sha256:{hashlib.sha256(chr(10).join(lines).encode()).hexdigest()}"


def read_labelled_samples(
    media: MediaFiles, recipe: Recipe, loaded: Loaded, *, guides: Samples
) -> LabelledSamples:
    """Read media with their labels.

    Up to MAX_TEST_FILES and MAX_TEST_BYTES are read, in the order of their content hash.

    Args:
        media: below the folder; files without a label and unreadable media are left out.
        recipe: decides the kind of media and of labels.
        loaded: decides preprocessing and labels.
        guides: the samples by which the search is guided; what they show does not judge.

    Raises:
        LabelsError: no medium has a label, or a file of labels is no such file.
    """
    kind = _labels_of(loaded.task or recipe.task, recipe, loaded)
    modality = MODALITIES[recipe.media]
    samples, labels = list[Feeds](), list[Any]()
    guiding = {_content(feeds) for feeds in guides}
    unlabelled, unreadable, guide_count, size = list[Path](), list[str](), 0, 0
    for path in media.paths.values():
        label = kind.find(path)
        if label is None:
            unlabelled += [] if is_label(path, media.directory) else [path]
            continue
        if len(samples) >= MAX_TEST_FILES or size >= MAX_TEST_BYTES:
            continue  # what has no label is told of all media
        try:
            medium = modality.with_condition(modality.read(path.read_bytes()), len(samples))
            feeds = modality.to_feeds(medium, loaded)
        except (InputError, OSError) as error:
            unreadable.append(f"{path.name}: {error}")
            continue
        if _content(feeds) in guiding:
            guide_count += 1
            continue
        labels.append(kind.fit(label, medium))
        samples.append(feeds)
        size += sum(array.nbytes for array in feeds.values())
    rows = distinct_rows(samples, seen=guides)
    alike = len(samples) - len(rows)
    counts = {
        kind.missing(unlabelled): len(unlabelled),
        f"cannot be read ({'; '.join(unreadable[:3])})": len(unreadable),
        "guide the search": guide_count,
        "look like others, and are no evidence of their own": alike,
    }
    left_out = f"{modality.noun} are left out: they"
    notes = tuple(f"{count} {left_out} {why}" for why, count in counts.items() if count)
    if not rows:
        raise LabelsError(
            f"{media.directory}: no {modality.noun}, besides those of --calibration, "
            f"{kind.needed()}{''.join(f'; {note}' for note in notes)}"
        )
    truth = kind.join([labels[row] for row in rows])
    if isinstance(truth, TrueClasses) and len(set(truth.classes)) == 1:
        raise LabelsError(
            f"{media.directory}: {len(rows)} labelled {modality.noun}, all of "
            f"{loaded.labels[truth.classes[0]]}; needed: of two classes and more"
        )
    return LabelledSamples(media.directory, tuple(samples[row] for row in rows), truth, notes)


def _content(feeds: Feeds) -> str:
    """Return a hash of a sample's media, without a patient's condition."""
    return hashlib.sha256(next(iter(feeds.values())).tobytes()).hexdigest()
