"""Weights in a file of their own: equal answers, less memory, and what may not be read."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import runtime
from convert.files import sha256
from convert.package import mapped_weights
from convert.package.artifact import file_entry, same_layout
from convert.package.mapped_weights import data_path, map_weights, write_mapped
from convert.verify.load_cost import measure_load
from runtime.artifact.manifest import read_manifest
from runtime.artifact.schema import to_json
from runtime.engine.session import Session, SessionOptions
from runtime.errors import ArtifactError
from tests.support.artifacts import CLASSIFIER, write_artifact

WIDTH = 1024
LAYERS = 4  # of 4 MB each
FEEDS = {"x": np.linspace(-1, 1, WIDTH, dtype=np.float32)[None]}
ONE_THREAD = SessionOptions(threads=1)


def write_products(path: Path, *, width: int = WIDTH) -> Path:
    """Write matrix products, whose weights onnxruntime packs in memory."""
    rng = np.random.default_rng(3)
    # 100 bytes more than a page: what follows begins with the next one
    nodes, weights = [], [numpy_helper.from_array(np.zeros(1049, np.float32), "odd")]
    for index in range(LAYERS):
        source, target = f"v{index}" if index else "x", f"v{index + 1}"
        matrix = rng.standard_normal((width, width), dtype=np.float32) / 32
        weights.append(numpy_helper.from_array(matrix, f"w{index}"))
        nodes.append(helper.make_node("MatMul", [source, f"w{index}"], [target]))
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "products",
        [value("x", TensorProto.FLOAT, ["N", width])],
        [value(f"v{LAYERS}", TensorProto.FLOAT, ["N", width])], weights,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.save(model, path)
    return path


def run(path: Path) -> np.ndarray:
    return np.asarray(Session(path, ONE_THREAD).run(FEEDS)[f"v{LAYERS}"])


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_products(tmp_path_factory.mktemp("source") / "float.onnx")


@pytest.fixture(scope="module")
def mapped(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mapped") / "float.onnx"
    write_mapped(source, path)
    return path


def entries(path: Path) -> dict[str, dict[str, str]]:
    tensors = onnx.load(path, load_external_data=False).graph.initializer
    return {tensor.name: {e.key: e.value for e in tensor.external_data} for tensor in tensors}


def edit(path: Path, target: Path, **changes: str) -> Path:
    """Copy a mapped pair with other entries of every weight."""
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            entry.value = changes.get(entry.key, entry.value)
    target.write_bytes(model.SerializeToString())
    data_path(target).write_bytes(data_path(path).read_bytes())
    return target


def test_the_answers_are_those_of_one_file_and_the_memory_is_not(
    source: Path, tmp_path: Path
) -> None:
    path = tmp_path / "float.onnx"
    path.write_bytes(source.read_bytes())
    layout = map_weights(path, FEEDS)
    assert layout is not None
    assert layout.mapped
    np.testing.assert_array_equal(run(path), run(source))
    weight_bytes = LAYERS * 4 * WIDTH**2
    assert layout.one_file.kept_bytes > weight_bytes
    assert layout.two_files.kept_bytes < weight_bytes / 2
    assert sorted(file.name for file in tmp_path.iterdir()) == ["float.onnx", "float.onnx.data"]


def test_each_weight_lies_plain_and_packed_at_the_begin_of_a_page(mapped: Path) -> None:
    size = data_path(mapped).stat().st_size
    for name, weight in entries(mapped).items():
        if name == "odd":  # no operator packs it
            continue
        assert set(weight) == {"location", "offset", "length", "prepacked_0"}
        kernel, packed = weight["prepacked_0"].split("|")
        assert kernel.startswith("MatMul+")
        for begin, length in ((weight["offset"], weight["length"]), packed.split(";")[:2]):
            assert int(begin) % 4096 == 0
            assert int(begin) + int(length) <= size


def test_weights_that_another_cpu_packs_otherwise_stay_in_memory(
    source: Path, mapped: Path, tmp_path: Path
) -> None:
    packed = entries(mapped)["w0"]["prepacked_0"].replace("MatMul+", "MatMul+1")
    other = edit(mapped, tmp_path / "float.onnx", prepacked_0=packed)
    np.testing.assert_array_equal(run(other), run(source))
    assert measure_load(other, FEEDS).kept_bytes > LAYERS * 4 * WIDTH**2


def test_two_conversions_write_the_same_bytes(source: Path, mapped: Path, tmp_path: Path) -> None:
    path = tmp_path / "float.onnx"
    write_mapped(source, path)
    assert sha256(path) == sha256(mapped)
    assert sha256(data_path(path)) == sha256(data_path(mapped))


def test_small_files_are_not_tried(tmp_path: Path) -> None:
    path = write_products(tmp_path / "float.onnx", width=64)
    assert map_weights(path, {"x": FEEDS["x"][:, :64]}) is None
    assert list(tmp_path.iterdir()) == [path]


def test_what_does_not_pay_stays_one_file(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "float.onnx"
    path.write_bytes(source.read_bytes())
    monkeypatch.setattr(mapped_weights, "LARGEST_SHARE", 0.0)
    layout = map_weights(path, FEEDS)
    assert layout is not None
    assert not layout.mapped
    assert list(tmp_path.iterdir()) == [path]
    assert sha256(path) == sha256(source)


# in an artifact


def publish(root: Path) -> Path:
    """Write an artifact whose classifier has a further weight, in a mapped pair of files."""
    directory = write_artifact(root, CLASSIFIER)
    path = directory / "float.onnx"
    one_file = directory / "one.onnx"
    path.rename(one_file)
    model = onnx.load(one_file)
    model.graph.initializer.append(
        numpy_helper.from_array(np.arange(4096, dtype=np.float32), "unused")
    )
    onnx.save(model, one_file)
    write_mapped(one_file, path)
    one_file.unlink()
    relist(directory)
    return directory


def relist(directory: Path, *, without_data: bool = False) -> None:
    """Write the files of the variant into the manifest."""
    manifest = read_manifest(directory)
    paths = [directory / "float.onnx", *([] if without_data else [directory / "float.onnx.data"])]
    variant = replace(manifest.variants[0], files=tuple(map(file_entry, paths)))
    content: Any = to_json(replace(manifest, variants=(variant,)))
    (directory / "manifest.json").write_text(json.dumps(content), encoding="utf-8")


def test_an_artifact_loads_and_answers_as_in_one_file(tmp_path: Path) -> None:
    one = runtime.load(write_artifact(tmp_path / "one", CLASSIFIER), options=ONE_THREAD)
    two = runtime.load(publish(tmp_path / "two"), options=ONE_THREAD)
    image = np.random.default_rng(0).integers(0, 256, (17, 23, 3)).astype(np.uint8)
    assert one.predict(image).to_json() == two.predict(image).to_json()
    assert not same_layout(one.manifest, two.manifest)
    assert same_layout(two.manifest, two.manifest)


def test_a_changed_data_file_is_refused(tmp_path: Path) -> None:
    directory = publish(tmp_path)
    data = directory / "float.onnx.data"
    content = bytearray(data.read_bytes())
    content[0] ^= 1
    data.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"float\.onnx\.data has sha256 "):
        runtime.load(directory)
    data.unlink()
    with pytest.raises(ArtifactError, match=r"float\.onnx\.data cannot be read"):
        runtime.load(directory)


def test_a_data_file_that_no_hash_covers_is_refused(tmp_path: Path) -> None:
    directory = publish(tmp_path)
    relist(directory, without_data=True)
    message = r"weights in 'float\.onnx\.data'; files of the variant for them: none"
    with pytest.raises(ArtifactError, match=message):
        runtime.load(directory)


@pytest.mark.parametrize("location", ["../../secret", "/etc/passwd", "./float.onnx.data", ""])
def test_weights_elsewhere_are_refused(tmp_path: Path, location: str) -> None:
    directory = publish(tmp_path)
    edited = edit(directory / "float.onnx", tmp_path / "float.onnx", location=location)
    edited.rename(directory / "float.onnx")
    relist(directory)
    with pytest.raises(ArtifactError, match="has weights in"):
        runtime.load(directory)


@pytest.mark.parametrize(
    "change", [{"offset": "-4096"}, {"offset": "4096000000"}, {"length": "4096000000"}]
)
def test_weights_behind_the_end_are_refused(tmp_path: Path, change: dict[str, str]) -> None:
    directory = publish(tmp_path)
    edit(directory / "float.onnx", tmp_path / "float.onnx", **change).rename(
        directory / "float.onnx"
    )
    relist(directory)
    with pytest.raises(ArtifactError, match=r"has weights behind the end of float\.onnx\.data"):
        runtime.load(directory)
