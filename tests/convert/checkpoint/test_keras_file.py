"""The configuration of Keras files, read without Keras."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from convert.checkpoint.keras_file import check_keras_config, keras2_advice
from convert.errors import CheckpointError

ADVICE = "The file is of Keras 2: save the model as .h5 there, which is read"


def write(path: Path, version: str, config: dict[str, Any]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": version}))
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("model.weights.h5", b"")
    return path


def test_a_keras_file_of_tf_keras_is_refused_with_the_way_out(tmp_path: Path) -> None:
    config = {"class_name": "Functional", "module": "tf_keras.src.engine.functional", "config": {}}
    path = write(tmp_path / "model.keras", "2.15.0", config)
    with pytest.raises(CheckpointError, match=ADVICE):
        check_keras_config(path)


@pytest.mark.parametrize(("version", "advice"), [("2.15.0", ADVICE), ("3.5.0", "")])
def test_the_version_decides_the_advice(tmp_path: Path, version: str, advice: str) -> None:
    config = {"class_name": "Functional", "module": "keras", "config": {}}
    path = write(tmp_path / "model.keras", version, config)
    assert keras2_advice(path).removeprefix(". ") == advice


@pytest.mark.parametrize(
    "dtype",
    [
        "mixed_float16",
        {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "mixed_bfloat16"}},
    ],
)
def test_half_precision_is_refused_by_name(tmp_path: Path, dtype: object) -> None:
    config = {"class_name": "Dense", "module": "keras.layers", "config": {"dtype": dtype}}
    path = write(tmp_path / "model.keras", "3.5.0", config)
    with pytest.raises(CheckpointError, match=r"a model of mixed_b?float16; needed: float32"):
        check_keras_config(path)
