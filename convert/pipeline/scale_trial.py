"""Try scales of pixels on labelled images, where a file does not tell which one it was trained on.

Calibration images in one folder per class are labelled images.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from convert.errors import ConvertError
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

LabelledImages = Sequence[tuple[Image, int]]  # decoded, with the index of the class


def with_trial(loaded: Loaded, media: MediaFiles | None) -> Loaded:
    """Add to an assumed scale how many labelled images the model gets right with each scale.

    Args:
        loaded: the model with its labels; unchanged if no scale was assumed.
        media: the calibration files; those in a folder named as a class count.
    """
    facts = {fact.name: fact for fact in loaded.assumptions if fact.origin == "default"}
    if FACT not in facts or media is None or not isinstance(loaded.input, ImageInput):
        return loaded
    labelled = _read_labelled(loaded.labels, list(media.paths.values()))
    if len(labelled) < MIN_IMAGES or len({label for _, label in labelled}) < 2:
        return loaded
    shares = {name: _share_right(scaled, labelled) for name, scaled in _with_scales(loaded).items()}
    fact = _described(facts[FACT], shares, len(labelled))
    others = (other for other in loaded.assumptions if other.name != FACT)
    return replace(loaded, assumptions=(fact, *others))


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
    best = [name for name, share in shares.items() if share == max(shares.values())]
    listed = ", ".join(f"{name} {100 * share:.0f} %" for name, share in shares.items())
    if len(best) > 1:
        verdict = f"{' and '.join(best)} fit equally"
    elif best == [fact.value]:
        verdict = f"{fact.value}, the assumed one, fits best"
    else:
        verdict = f"--input-scale {best[0]} fits best"
    return replace(
        fact, sentence=f"{fact.sentence}. Right of {count} labelled images: {listed}; {verdict}"
    )
