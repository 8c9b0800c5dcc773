"""The stage "load": a checkpoint or seeded weights to a network that answers the task."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.checkpoint.labels import read_labels_file
from convert.errors import CheckpointError, LabelsError, RecipeError
from convert.export.numerics.fragment import Shape
from convert.export.numerics.image import ImageInput
from convert.gate.labelled import LabelledSamples, read_labelled_samples
from convert.metrics import Outputs
from convert.pipeline.job import Inputs
from convert.pipeline.scale_trial import scale_fact, with_labelled_trial, with_trial
from convert.recipe import Loaded, Recipe, RecipeFile, Tolerance, output_shapes
from convert.samples.division import CLASSIFIERS
from convert.samples.sets import Samples, SampleSets, collate, sample_sets
from convert.weights.resolve import ResolvedWeights
from runtime.artifact.steps import Grayscale, image_steps
from runtime.errors import one_line

PER_CLASS_OUTPUTS = ("probabilities", "scores")  # their last axis has one value per class


@dataclass(frozen=True, slots=True)
class Reference:
    """The network in its own framework, and the samples that its graphs are compared on."""

    recipe: Recipe
    loaded: Loaded
    samples: SampleSets
    tolerance: Tolerance | None  # None: fidelity is reported, not judged (untrained weights)
    labelled: LabelledSamples | None = None  # to judge by
    trial: str | None = None  # the result of trying scales on labelled images, in a sentence

    def answer(self, samples: Samples, *, rounded: bool = False) -> Outputs:
        """Return the framework's answers, with the numerics by their numpy formulas.

        Args:
            samples: preprocessed, batch axis 1.
            rounded: every float32 that the network takes becomes one of its two neighbours.
        """
        answers = []
        for feeds in samples:
            arrays = self.loaded.input.apply(
                *(feeds[tensor.name] for tensor in self.loaded.input.tensors)
            )
            inputs = tuple(map(_neighbours, arrays)) if rounded else arrays
            outputs = self.loaded.network.forward(*inputs)
            answers.append(self.loaded.head.apply(*outputs))
        return collate(answers)


def _neighbours(array: NDArray[Any]) -> NDArray[Any]:
    """Return float32 values one rounding up or down, at random; integers stay."""
    if array.dtype != np.float32:
        return array
    signs = np.random.default_rng(0).choice(np.array([-np.inf, np.inf], np.float32), array.shape)
    neighbours: NDArray[Any] = np.nextafter(array, signs)
    return neighbours


def load_reference(inputs: Inputs, recipe_file: RecipeFile) -> Reference:
    """Load the network and prepare the samples.

    Raises:
        CheckpointError, LabelsError: see `load_network`, and `with_labelled_trial`.
        CalibrationError: a calibration file is not readable, or there are too few.
    """
    recipe = recipe_file.recipe
    loaded = load_network(recipe_file, inputs.weights, inputs.options)
    trial = None
    labelled = None
    if inputs.labelled is None:
        loaded = with_trial(loaded, inputs.media)
    elif scale_fact(loaded) is not None and recipe.task in CLASSIFIERS:
        loaded, trial = with_labelled_trial(loaded, inputs.labelled)
    samples = sample_sets(inputs.media, recipe, loaded)
    if inputs.labelled is not None:
        guides = (*samples.calibration, *samples.validation) if inputs.media else ()
        labelled = read_labelled_samples(inputs.labelled, recipe, loaded, guides=guides)
    is_trained = inputs.weights.origin != "seeded"
    return Reference(
        recipe, loaded, samples, recipe.tolerance if is_trained else None, labelled, trial
    )


def load_network(
    recipe_file: RecipeFile, weights: ResolvedWeights, options: Mapping[str, str] | None = None
) -> Loaded:
    """Load the checkpoint through the recipe, or seed the network where there is none.

    Args:
        recipe_file: the recipe.
        weights: the checkpoint, or none.
        options: facts about the checkpoint that the user states, by name; the recipe reads them.

    Raises:
        CheckpointError: the file is refused, a weight is not finite, or the network's outputs do
            not have the shapes that the recipe's head takes.
        LabelsError: the number of labels differs from the number of classes.
        RecipeError: the recipe's steps make another image than its input takes, or the network
            fails on such an input.
    """
    if weights.path is not None:
        loaded = recipe_file.recipe.load(weights.path, **(options or {}))
    else:
        assert recipe_file.recipe.seed is not None
        loaded = recipe_file.recipe.seed()
    if loaded.licence is None:
        loaded = replace(loaded, licence=weights.licence)
    for name, array in loaded.network.weights().items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise CheckpointError(f"{weights.path}: {name} holds NaN or infinity")
    _check_image_size(loaded, recipe_file.path)
    _check_outputs(loaded, weights.path or recipe_file.path)
    if weights.labels is not None:
        loaded = replace(loaded, labels=read_labels_file(weights.labels))
    _check_labels(loaded, weights.labels or weights.path or recipe_file.path)
    return loaded


def _check_image_size(loaded: Loaded, source: Path) -> None:
    """Check that the steps before the graph end in the size and channels of an image input.

    Raises:
        RecipeError: they do not; onnxruntime would refuse the first sample, and name no field.
    """
    if not isinstance(loaded.input, ImageInput):
        return
    steps = image_steps(loaded.preprocess)
    sizes = [(s.height, s.width) for s in steps if not isinstance(s, Grayscale) and s.height]
    expected = (loaded.input.height, loaded.input.width)
    if sizes and sizes[-1] != expected:
        made, needed = (" x ".join(map(str, size)) for size in (sizes[-1], expected))
        raise RecipeError(f"{source}: preprocess ends in {made} px; input takes {needed} px")
    channels = 1 if any(isinstance(step, Grayscale) for step in steps) else 3
    if channels != loaded.input.channels:
        raise RecipeError(
            f"{source}: preprocess ends in {channels} channels; input takes "
            f"{loaded.input.channels}: Grayscale() makes 1 of 3"
        )


def _check_outputs(loaded: Loaded, source: Path) -> None:
    try:
        shapes = output_shapes(loaded)
    except (RuntimeError, TypeError, ValueError) as error:  # of the framework
        tensors = ", ".join(f"{t.name} {_format_shape(t.shape)}" for t in loaded.input.tensors)
        raise RecipeError(
            f"{source}: the network fails on the recipe's input, {tensors}: {one_line(error)}"
        ) from error
    expected = loaded.head.expected_shapes(loaded.input.tensors)
    if not _match(shapes, expected):
        listed, needed = (", ".join(map(_format_shape, group)) for group in (shapes, expected))
        raise CheckpointError(f"{source}: the network gives {listed}; needed: {needed}")


def _check_labels(loaded: Loaded, source: Path) -> None:
    outputs = loaded.head.tensors(output_shapes(loaded), loaded.input.tensors)
    class_counts = {out.shape[-1] for out in outputs if out.name in PER_CLASS_OUTPUTS}
    names = ", ".join(loaded.labels[:8])
    for count in class_counts - {len(loaded.labels)}:
        labels = f"{len(loaded.labels)} labels ({names})" if names else "no labels"
        raise LabelsError(
            f"{source}: {labels} for {count} classes; name them in a file, one a line: "
            "--labels FILE"
        )


def _match(shapes: Sequence[tuple[int, ...]], expected: Sequence[Shape]) -> bool:
    """Return whether shapes are the expected ones; a named axis may have any size."""
    return len(shapes) == len(expected) and all(
        len(shape) == len(axes)
        and all(
            isinstance(axis, str) or size == axis for size, axis in zip(shape, axes, strict=True)
        )
        for shape, axes in zip(shapes, expected, strict=True)
    )


def _format_shape(shape: Shape) -> str:
    return f"({', '.join(map(str, shape))})"
