"""Bad checkpoints through the whole pipeline: refused, and what was packaged before stays."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch  # noqa: TID253 - in a process without TensorFlow

from convert.errors import CheckpointError
from convert.pipeline.job import Job
from convert.pipeline.stages import convert
from convert.recipe import read
from tests.convert.support.checkpoint_files import (
    NOT_FOUND,
    POINTER,
    Plants,
    h5_bytes,
    keras_bytes,
    onnx_bytes,
    safetensors_bytes,
    saved,
    scripted,
)
from tests.convert.support.tiny import write_checkpoint

ID = "where_is_it"


@pytest.fixture(scope="module")
def state(tiny_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return write_checkpoint(tiny_recipe, tmp_path_factory.mktemp("seeded") / "weights.pth")


@pytest.fixture(scope="module")
def out(
    tiny_recipe: Path, state: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """Convert one version; after all tests of the module it must be unchanged."""
    directory = tmp_path_factory.mktemp("bad")
    weights = directory / "weights.safetensors"
    weights.write_bytes(safetensors_bytes(state))
    run(tiny_recipe, weights, directory / "out")
    before = tree(directory / "out")
    assert f"{ID}/1/manifest.json" in before
    yield directory / "out"
    assert tree(directory / "out") == before


def run(recipe: Path, checkpoint: Path, out: Path) -> None:
    convert(
        Job(read(recipe), out, checkpoint=checkpoint, precision="float"),
        lambda stage: None,
    )


def tree(out: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and ".work" not in path.parts
    }


def refuse(recipe: Path, checkpoint: Path, out: Path) -> str:
    """Return the text of the refusal; check that nothing changed and no scratch is left."""
    before = tree(out)
    with pytest.raises(CheckpointError) as caught:
        run(recipe, checkpoint, out)
    text = str(caught.value)
    assert text.startswith(f"{checkpoint}: ")
    assert "\n" not in text
    assert tree(out) == before
    assert [path.name for path in (out / ".work").iterdir() if path.is_dir()] == []
    assert sorted(path.name for path in (out / ID).iterdir()) == ["1"]
    return text


def broken(state: dict[str, Any], kind: str) -> bytes:
    """Return the content of a bad checkpoint."""
    name, content = kind.partition(" ")[0], saved(state)
    if name == "cut":
        return content[: int(len(content) * float(kind.split()[1]))]
    contents: dict[str, Any] = {
        "empty": b"",
        "pointer": POINTER,
        "page": NOT_FOUND,
        "nan": saved({**state, "0.bias": torch.full((64,), torch.nan)}),
        "half": saved({**state, "0.bias": torch.full((64,), torch.inf).half()}),
        "classes": saved({**state, "10.weight": torch.ones(5, 64), "10.bias": torch.ones(5)}),
        "other": saved({"model": {"fc.weight": torch.zeros(2)}}),
        "optimizer": saved({"optimizer": {"state": {}, "param_groups": []}, "epoch": 3}),
        "onnx": onnx_bytes(),
        "h5": h5_bytes({"class_name": "Sequential", "config": {"layers": []}}),
        "keras": keras_bytes("{}"),
        "safetensors": safetensors_bytes(state)[:-1],
        "header": safetensors_bytes(state)[:400],
        "script": scripted(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3))),
        "module": saved(torch.nn.Sequential(torch.nn.Linear(2, 2))),
    }
    return bytes(contents[name])


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("empty", "the file is empty"),
        ("pointer", "a git-lfs pointer, not the weights; run `git lfs pull`"),
        ("page", "a web page saved under the name of a checkpoint (404: Page not found)"),
        ("nan", "0.bias holds NaN or infinity"),
        ("half", "0.bias holds NaN or infinity"),
        ("classes", "the file has 5 classes, this model 3"),
        ("other", "1 unexpected (fc.weight); 1 keys found, "),
        ("optimizer", "found: optimizer, epoch"),
        ("onnx", "an ONNX file; this model is read from a torch state_dict (.pt, .pth)"),
        ("h5", "an HDF5 file (Keras .h5); this model is read from a torch state_dict"),
        ("keras", "a Keras .keras file; this model is read from a torch state_dict"),
        ("safetensors", "damaged or truncated"),
        ("header", "damaged or truncated"),
        ("script", "a TorchScript archive; this model is read from a torch state_dict"),
        ("module", "not the keys of Sequential: 14 missing"),
        ("cut 0.001", "damaged or truncated"),
        ("cut 0.1", "damaged or truncated"),
        ("cut 0.5", "damaged or truncated"),
        ("cut 0.9999", "damaged or truncated"),
    ],
)
def test_bad_file_is_refused_and_the_earlier_version_stays(
    tiny_recipe: Path, state: dict[str, Any], out: Path, tmp_path: Path, kind: str, says: str
) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(broken(state, kind))
    assert says in refuse(tiny_recipe, path, out)


def test_directory_and_missing_file_are_refused(
    tiny_recipe: Path, out: Path, tmp_path: Path
) -> None:
    assert "a directory; pass the file inside it" in refuse(tiny_recipe, tmp_path, out)
    assert "No such file" in refuse(tiny_recipe, tmp_path / "nowhere.pth", out)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_code_in_a_pickle_does_not_run(
    tiny_recipe: Path, state: dict[str, Any], out: Path, tmp_path: Path, legacy: bool
) -> None:
    path, planted = tmp_path / "weights.pth", tmp_path / "planted"
    path.write_bytes(
        saved({**state, "0.bias": Plants(planted)}, _use_new_zipfile_serialization=not legacy)
    )
    assert "would have to run code to load" in refuse(tiny_recipe, path, out)
    assert not planted.exists()


def test_checkpoint_of_another_model_of_ours_says_which(
    tiny_recipe: Path, out: Path, tmp_path: Path
) -> None:
    from convert.architectures.mobilenetv2 import MobileNetV2

    path = tmp_path / "weights.pth"
    path.write_bytes(saved({"state_dict": MobileNetV2(class_count=7).state_dict(), "epoch": 9}))
    text = refuse(tiny_recipe, path, out)
    assert "missing (0.bias, " in text
    assert "unexpected (classifier.1.bias, " in text
    assert f"convert run image_embedding_mobilenetv2 --checkpoint {path}`" in text


def test_the_same_weights_wrapped_and_averaged_change_nothing(
    tiny_recipe: Path, state: dict[str, Any], out: Path, tmp_path: Path
) -> None:
    path = tmp_path / "last.ckpt"
    lightning = {f"model._orig_mod.{name}": tensor for name, tensor in state.items()}
    path.write_bytes(saved({"state_dict": lightning, "optimizer_states": [], "epoch": 3}))
    before = tree(out)
    outcome = convert(
        Job(read(tiny_recipe), out, checkpoint=path, precision="float"), lambda stage: None
    )
    # the artifact names the weights by their content; only the file's own name and hash differ
    assert outcome.manifest is not None
    assert (outcome.status, outcome.manifest.version) == ("unchanged", 1)
    assert tree(out) == before
