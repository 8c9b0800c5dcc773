import cv2
import numpy as np
from numpy.typing import NDArray

from convert.gate.yardstick import through_jpeg
from convert.samples.origins import distinct_rows
from convert.samples.procedural import EVALUATION, generate_images
from runtime.engine.session import Feeds

SCENES: list[NDArray[np.uint8]] = [
    np.asarray(cv2.resize(image, (96, 96)), np.uint8)
    for image in generate_images("scene", EVALUATION, 40)
]


def feeds(image: NDArray[np.uint8]) -> Feeds:
    return {"image": image[np.newaxis]}


def test_different_photos_are_each_an_origin() -> None:
    assert distinct_rows([feeds(image) for image in SCENES]) == tuple(range(len(SCENES)))


def test_variants_of_a_photo_are_of_its_origin() -> None:
    scene = SCENES[0]
    brighter = np.clip(scene.astype(int) + 12, 0, 255).astype(np.uint8)
    smaller = np.asarray(cv2.resize(cv2.resize(scene, (64, 64)), (96, 96)), np.uint8)
    variants = [scene, brighter, smaller, scene[:, ::-1], through_jpeg(scene), SCENES[1]]
    assert distinct_rows([feeds(image) for image in variants]) == (0, 5)


def test_what_the_other_sets_show_is_no_new_origin() -> None:
    samples = [feeds(image) for image in SCENES[:3]]
    assert distinct_rows(samples, seen=[feeds(through_jpeg(SCENES[1]))]) == (0, 2)


def test_other_media_are_each_their_own_origin() -> None:
    silence: Feeds = {"waveform": np.zeros((1, 100), np.float32)}
    assert distinct_rows([silence, silence]) == (0, 1)
    assert distinct_rows([]) == ()
