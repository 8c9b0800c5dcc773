"""Folders as Hugging Face has them, whole, in parts and damaged."""

import json
from pathlib import Path
from typing import Any

import pytest

from convert.checkpoint.folder import read_folder_settings, read_folder_weights
from convert.errors import CheckpointError


def tensors() -> dict[str, Any]:
    import torch

    return {"a.weight": torch.arange(6.0).reshape(2, 3), "b.weight": torch.ones(4).half()}


def write_parts(folder: Path, places: dict[str, str]) -> None:
    from safetensors.torch import save_file

    for name in set(places.values()):
        part = {key: value for key, value in tensors().items() if places.get(key) == name}
        save_file(part, folder / name)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": places}), encoding="utf-8")


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_one_file(tmp_path: Path, name: str) -> None:
    import torch
    from safetensors.torch import save_file

    if name.endswith(".bin"):
        torch.save(tensors(), tmp_path / name)
    else:
        save_file(tensors(), tmp_path / name)

    weights = read_folder_weights(tmp_path)

    assert {key: value.dtype for key, value in weights.items()} == dict.fromkeys(
        tensors(), torch.float32
    )
    assert all(torch.equal(weights[key], value.float()) for key, value in tensors().items())


def test_several_files(tmp_path: Path) -> None:
    write_parts(tmp_path, {"a.weight": "part-1.safetensors", "b.weight": "part-2.safetensors"})

    assert read_folder_weights(tmp_path).keys() == tensors().keys()


def test_a_part_without_its_tensor(tmp_path: Path) -> None:
    write_parts(tmp_path, {"a.weight": "part-1.safetensors", "c.weight": "part-1.safetensors"})

    with pytest.raises(CheckpointError, match=r"part-1\.safetensors lacks c\.weight"):
        read_folder_weights(tmp_path)


def test_a_part_outside_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    write_parts(tmp_path, {"a.weight": "outside.safetensors"})
    index = {"weight_map": {"a.weight": "../outside.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")

    with pytest.raises(CheckpointError, match="is no file of the folder"):
        read_folder_weights(folder)


def test_no_weights(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="holds no weights"):
        read_folder_weights(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [("[1]", "holds a list"), ("{", "cannot be read"), (None, r"holds no config\.json")],
)
def test_bad_settings(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "config.json").write_text(text, encoding="utf-8")

    with pytest.raises(CheckpointError, match=message):
        read_folder_settings(tmp_path)


def test_settings_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"x")

    with pytest.raises(CheckpointError, match="not a folder"):
        read_folder_settings(file)
