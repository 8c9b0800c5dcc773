"""The trial of scales on labelled images: a classifier that only one scale makes right."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from convert.errors import LabelsError, RecipeError
from convert.export.numerics import ImageInput, Probabilities
from convert.export.numerics.pixel_scale import SCALES
from convert.pipeline.scale_trial import FACT, with_labelled_trial, with_trial
from convert.recipe import Loaded
from convert.samples.sets import MediaFiles
from runtime.artifact.manifest import Assumption, Resize

SIDE = 8


LEVELS = {"Dark": 40, "Dim": 70, "Bright": 200}


class Brightness:
    """Tell three levels of grey apart, in the scale that it was trained on."""

    framework = "numpy"

    def __init__(self, scale: str) -> None:
        levels = np.array(list(LEVELS.values()))[:, None, None, None].repeat(3, 3)
        trained = ImageInput(1, 1, 3, layout="NHWC", **SCALES[scale].arguments(3))
        self.centers = trained.apply(levels)[0].mean(axis=(1, 2, 3))

    def forward(self, *inputs: Any) -> tuple[Any, ...]:
        mean = inputs[0].mean(axis=(1, 2, 3))
        return ((-((mean[:, None] - self.centers) ** 2)).astype(np.float32),)

    def export(self) -> Any:
        raise NotImplementedError

    def weights(self) -> Any:
        return {}


def model(scale: str, origin: Any = "default") -> Loaded:
    return Loaded(
        network=Brightness(scale),
        input=ImageInput(SIDE, SIDE, 3, mean=(0.5,) * 3, std=(0.5,) * 3, layout="NHWC"),
        head=Probabilities(softmax=True),
        preprocess=(Resize("linear", height=SIDE, width=SIDE),),
        labels=("dark", "dim", "bright"),
        assumptions=(Assumption(FACT, "symmetric", origin, "assumed"),),
    )


@pytest.fixture
def media(tmp_path: Path) -> MediaFiles:
    paths = {}
    for label, level in (*LEVELS.items(), ("other", 0)):
        (tmp_path / label).mkdir()
        for index in range(6):
            path = tmp_path / label / f"{index}.png"
            cv2.imwrite(str(path), np.full((9, 9, 3), level + index, np.uint8))
            paths[f"{label}{index}"] = path
    return MediaFiles(tmp_path, paths)


@pytest.mark.parametrize(
    ("scale", "verdict"),
    [
        ("unit", "--input-scale unit fits best"),
        ("raw", "--input-scale raw fits best"),
        ("symmetric", "symmetric, the assumed one, fits best"),
    ],
)
def test_the_scale_that_fits_best_is_named(media: MediaFiles, scale: str, verdict: str) -> None:
    (fact,) = with_trial(model(scale), media).assumptions
    assert fact.sentence.startswith("assumed. Right of 18 labelled images: symmetric ")
    assert f"{scale} 100 %" in fact.sentence
    assert fact.sentence.endswith(verdict)
    assert (fact.value, fact.origin) == ("symmetric", "default")  # the trial decides nothing


def test_nothing_is_tried_without_labels_or_doubt(media: MediaFiles) -> None:
    for loaded, files in (
        (model("unit", "file"), media),
        (model("unit"), None),
        (model("unit"), MediaFiles(media.directory, {"a": media.paths["Dark0"]})),
    ):
        assert with_trial(loaded, files) is loaded


def test_labelled_images_warn_of_a_stated_scale_that_another_surpasses(media: MediaFiles) -> None:
    loaded, result = with_labelled_trial(model("unit", "option"), media)
    assert result.startswith("Right of 18 labelled images: symmetric ")
    assert result.endswith("--input-scale unit fits best")
    stated, doubt = loaded.assumptions
    assert (stated.value, stated.origin, stated.sentence) == ("symmetric", "option", "assumed")
    assert (doubt.name, doubt.value, doubt.origin) == ("labelled", "unit", "default")  # warns
    assert doubt.sentence == f"assumed. {result}"


@pytest.mark.parametrize("origin", ["option", "file", "default"])
def test_labelled_images_that_agree_are_kept_beside_the_fact(
    media: MediaFiles, origin: str
) -> None:
    loaded, result = with_labelled_trial(model("symmetric", origin), media)
    (fact,) = loaded.assumptions
    used = "the assumed one" if origin == "default" else "the one in use"
    assert result.endswith(f"symmetric, {used}, fits best")
    assert (fact.origin, fact.sentence) == (origin, f"assumed. {result}")


def test_labelled_images_without_labels_are_refused(media: MediaFiles) -> None:
    few = MediaFiles(media.directory, {"a": media.paths["Dark0"], "b": media.paths["other1"]})
    with pytest.raises(LabelsError, match="1 images in folders named as 1 of the classes; needed"):
        with_labelled_trial(model("unit"), few)
    with pytest.raises(RecipeError, match="this model has no --input-scale"):
        with_labelled_trial(replace(model("unit"), assumptions=()), media)


def test_labels_are_part_of_the_hash_of_labelled_images(media: MediaFiles) -> None:
    moved = {content: path.parent.parent / "x" / path.name for content, path in media.paths.items()}
    other = MediaFiles(media.directory, moved)
    assert media.digest == other.digest
    assert media.labels_digest != other.labels_digest
