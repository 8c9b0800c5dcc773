"""Artifacts and images that the tests of the command line share."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.artifacts import write_every_task


@pytest.fixture(scope="package")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a tiny model for each task."""
    return write_every_task(tmp_path_factory.mktemp("artifacts"))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Write a folder with a dark, a broken and a bright image, in this order."""
    folder = tmp_path / "images"
    folder.mkdir()
    for name, level in (("1.png", 0), ("3.png", 255)):
        assert cv2.imwrite(str(folder / name), np.full((60, 80, 3), level, np.uint8))
    (folder / "2.png").write_bytes(b"no picture")
    return folder
