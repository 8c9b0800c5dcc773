"""The kinds of media that a conversion reads."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from convert import recipe
from convert.models.image_embedding_mobilenetv2 import RECIPE
from convert.samples.media import MODALITIES
from convert.samples.sets import find_media, from_files
from runtime.cli.files import expand
from runtime.media.suffixes import IMAGES, SUFFIXES
from tests.convert.support import nets
from tests.runtime.support.pictures import encode
from tests.runtime.support.profiles import DISPLAY_P3, SRGB_CURVE, matrix_profile, parametric


@pytest.mark.parametrize("model_id", recipe.model_ids())
def test_calibration_reads_the_suffixes_that_the_command_line_reads(model_id: str) -> None:
    model = recipe.find(model_id).recipe
    assert MODALITIES[model.media].suffixes == SUFFIXES[model.task]


def test_calibration_reads_every_file_of_a_folder_that_the_command_line_reads(
    tmp_path: Path,
) -> None:
    for level, suffix in enumerate(sorted({*IMAGES, ".JPG", ".txt", ".mp4"})):
        encoded = cv2.imencode(".png", np.full((9, 9, 3), 10 * level, np.uint8))[1]
        (tmp_path / f"image{suffix}").write_bytes(encoded.tobytes())
    media = from_files(
        find_media(tmp_path, RECIPE), RECIPE, nets.loaded(nets.convolutions(layers=1))
    )
    parts = (media.calibration, media.validation, media.test)
    assert sum(map(len, parts)) == len(expand([str(tmp_path)], IMAGES)) == len(IMAGES) + 1


def test_calibration_images_are_converted_to_srgb_like_those_of_the_server() -> None:
    picture = Image.new("RGB", (8, 8), (234, 51, 35))  # sRGB's pure red, as Display P3 stores it
    icc = matrix_profile(DISPLAY_P3, parametric(*SRGB_CURVE))
    pixels = MODALITIES[RECIPE.media].read(encode(picture, "PNG", icc_profile=icc))
    assert np.abs(pixels.astype(int) - (255, 0, 0)).max() <= 2
