"""Try scales of pixels on labelled images, where a file does not tell which one it was trained on.

`--labelled` names such images, in one folder per class; calibration images in such folders are
labelled images as well.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from convert.errors import ConvertError, LabelsError, RecipeError
from convert.export.numerics import ImageInput
from convert.export.numerics.pixel_scale import SCALES
from convert.recipe import Loaded
from convert.samples.media.images import images
from convert.samples.sets import MediaFiles
from runtime.arrays import Image
from runtime.artifact.manifest import Assumption
from runtime.errors import InputError

FACT = "input_scale"
MIN_IMAGES, MAX_IMAGES = 8, 96
MAX_NAMES = 12  # of classes in a refusal

LabelledImages = Sequence[tuple[Image, int]]  # decoded, with the index of the class


def with_trial(loaded: Loaded, media: MediaFiles | None) -> Loaded:
    """Add to an assumed scale how many labelled images the model gets right with each scale.

    Args:
        loaded: the model with its labels; unchanged if no scale was assumed.
        media: the calibration files; those in a folder named as a class count.
    """
    fact = scale_fact(loaded)
    if fact is None or fact.origin != "default" or media is None:
        return loaded
    labelled = _read_labelled(loaded.labels, list(media.paths.values()))
    if _too_few(labelled):
        return loaded
    return _with_fact(loaded, _described(fact, try_scales(loaded, fact, labelled), len(labelled)))


def with_labelled_trial(loaded: Loaded, media: MediaFiles) -> tuple[Loaded, str]:
    """Try each scale on `--labelled` images, also where the scale is known; decide nothing.

    Args:
        loaded: the model with its labels.
        media: the images, in a folder per class.

    Returns:
        The model with the result beside the fact, and the result in a sentence. If another scale
        than a stated one fits best, that is a fact of its own, which warns.

    Raises:
        LabelsError: too few of the images are in folders of the model's classes.
        RecipeError: the model has no scale of pixels that an option states.
    """
    fact = scale_fact(loaded)
    if fact is None:
        raise RecipeError("--labelled tries scales of pixels; this model has no --input-scale")
    labelled = _read_labelled(loaded.labels, list(media.paths.values()))
    if _too_few(labelled):
        raise LabelsError(
            f"{media.directory}: {len(labelled)} images in folders named as "
            f"{len({label for _, label in labelled})} of the classes; needed: {MIN_IMAGES} of two. "
            f"The classes are {', '.join(loaded.labels[:MAX_NAMES])}"
        )
    shares = try_scales(loaded, fact, labelled)
    result = _result(fact, shares, len(labelled))
    if fact.origin == "default" or shares[fact.value] == max(shares.values()):
        return _with_fact(loaded, _described(fact, shares, len(labelled))), result
    doubt = Assumption("labelled", _best(shares)[0], "default", f"{fact.sentence}. {result}")
    return replace(loaded, assumptions=(*loaded.assumptions, doubt)), result


def scale_fact(loaded: Loaded) -> Assumption | None:
    """Return the fact about the scale of pixels of a classifier of images; None if it has none."""
    if not isinstance(loaded.input, ImageInput) or not loaded.labels:
        return None
    return next((fact for fact in loaded.assumptions if fact.name == FACT), None)


def _with_fact(loaded: Loaded, changed: Assumption) -> Loaded:
    facts = (changed if fact.name == changed.name else fact for fact in loaded.assumptions)
    return replace(loaded, assumptions=tuple(facts))


def _too_few(labelled: LabelledImages) -> bool:
    return len(labelled) < MIN_IMAGES or len({label for _, label in labelled}) < 2


def try_scales(loaded: Loaded, fact: Assumption, labelled: LabelledImages) -> dict[str, float]:
    """Return the share of labelled images that each scale gets right, the present one first."""
    models = {fact.value: loaded, **_with_scales(loaded)}
    return {name: _share_right(scaled, labelled) for name, scaled in models.items()}


def _read_labelled(labels: Sequence[str], paths: Sequence[Path]) -> LabelledImages:
    index_of = {label.casefold(): index for index, label in enumerate(labels)}
    labelled: list[tuple[Image, int]] = []
    for path in paths:
        label = index_of.get(path.parent.name.casefold())
        if label is None or len(labelled) == MAX_IMAGES:
            continue
        try:
            labelled.append((images("face").read(path.read_bytes()), label))
        except (InputError, OSError):
            continue  # the calibration set names unreadable files
    return labelled


def _with_scales(loaded: Loaded) -> dict[str, Loaded]:
    """Return the model with each of SCALES that fits its channels."""
    assert isinstance(loaded.input, ImageInput)
    scaled = {}
    for name, scale in SCALES.items():
        try:
            arguments = scale.arguments(loaded.input.channels)
        except ConvertError:
            continue
        scaled[name] = replace(loaded, input=replace(loaded.input, **arguments))
    return scaled


def _share_right(loaded: Loaded, labelled: LabelledImages) -> float:
    """Return the share of labelled images whose likeliest class is their label."""
    right = 0
    for image, label in labelled:
        (pixels,) = images("face").to_feeds(image, loaded).values()
        outputs = loaded.network.forward(*loaded.input.apply(pixels))
        right += int(loaded.head.apply(*outputs)["probabilities"].argmax()) == label
    return right / len(labelled)


def _described(fact: Assumption, shares: dict[str, float], count: int) -> Assumption:
    return replace(fact, sentence=f"{fact.sentence}. {_result(fact, shares, count)}")


def _result(fact: Assumption, shares: dict[str, float], count: int) -> str:
    """Return the shares and which scale fits best, in a sentence."""
    best = _best(shares)
    listed = ", ".join(f"{name} {100 * share:.0f} %" for name, share in shares.items())
    present = "the assumed one" if fact.origin == "default" else "the one in use"
    if len(best) > 1:
        verdict = f"{' and '.join(best)} fit equally"
    elif best == [fact.value]:
        verdict = f"{fact.value}, {present}, fits best"
    else:
        verdict = f"--input-scale {best[0]} fits best"
    return f"Right of {count} labelled images: {listed}; {verdict}"


def _best(shares: dict[str, float]) -> list[str]:
    return [name for name, share in shares.items() if share == max(shares.values())]
