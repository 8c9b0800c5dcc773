"""Fixtures of the conversion's tests. They need the convert environment."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from convert.weights.download import Store
from tests.convert.support.command_line import succeed
from tests.convert.support.downloads import new_store
from tests.convert.support.file_server import Server, serving
from tests.convert.support.keras_process import in_keras
from tests.convert.support.tiny import write_recipe
from tests.support.once import made_once

# before torch is imported: on busy cores its threads wait for each other many times over
os.environ.setdefault("OMP_NUM_THREADS", "1")

MODELS = ("face_emotion_xception", "image_embedding_mobilenetv2", "background_u2netp")


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the directory of real checkpoints and media."""
    directory = os.environ.get("SLIPWAY_TEST_DATA")
    if not directory:
        pytest.skip("SLIPWAY_TEST_DATA is not set: no real checkpoints and media at hand")
    return Path(directory)


@pytest.fixture(scope="session")
def tiny_recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recipe(tmp_path_factory.mktemp("recipe"))


@pytest.fixture(scope="session")
def keras_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write Keras checkpoints of every kind, good and bad, in a process of its own."""
    return made_once(
        tmp_path_factory, "keras", lambda directory: in_keras("write_files", str(directory))
    )


def converted(factory: pytest.TempPathFactory, name: str, *arguments: str | Path) -> Path:
    """Return the artifacts of a conversion that runs once, whichever tests need it."""

    def make(directory: Path) -> None:
        succeed(*arguments, "--out", directory / "out", directory=directory)

    return made_once(factory, name, make) / "out"


@pytest.fixture(scope="session")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Package three models of the project with seeded weights, in float."""
    arguments = ("--weights", "seeded", "--precision", "float")
    return converted(tmp_path_factory, "seeded", *MODELS, *arguments)


@pytest.fixture(scope="session")
def quantized_u2netp(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Convert upstream's weights with every option at its default, once: the search takes long."""
    arguments = ("background_u2netp", "--checkpoint", shared / "checkpoints/u2netp.pth")
    return converted(tmp_path_factory, "u2netp", *arguments) / "background_u2netp/1"


@pytest.fixture(scope="session")
def pretrained_xception(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    checkpoint = shared / "checkpoints/fer2013_mini_XCEPTION.102-0.66.hdf5"
    arguments = ("face_emotion_xception", "--checkpoint", checkpoint)
    return converted(tmp_path_factory, "xception", *arguments) / "face_emotion_xception"


@pytest.fixture(scope="session")
def pretrained_yunet(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    checkpoint = shared / "checkpoints/yunet_n_640_640.onnx"
    arguments = ("face_detector_yunet", "--checkpoint", checkpoint)
    return converted(tmp_path_factory, "yunet", *arguments) / "face_detector_yunet"


@pytest.fixture
def server() -> Iterator[Server]:
    """Run an HTTP server whose handlers a test sets."""
    with serving() as running:
        yield running


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return new_store(tmp_path)
