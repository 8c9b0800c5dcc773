"""Reading pickled module graphs: the tensors that torch would read, and nothing executed."""

import builtins
import io
import os
import pickle
import subprocess
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path, PosixPath
from typing import Any

import numpy as np
import pytest
import torch  # noqa: TID253 - in a process without TensorFlow
from torch import nn  # noqa: TID253

from convert.checkpoint import unpickle
from tests.convert.support.checkpoint_files import (
    POINTER,
    network,
    onnx_bytes,
    refusal,
    saved,
    scripted,
)

TORCH_2 = pickle.PROTO + b"\x02"


class Calls:
    """An object whose pickle would call a function when loaded."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self._call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self._call


class Described:
    """An object whose pickle is a tensor of any shape over the storage "0" of four float32."""

    def __init__(
        self, size: object, stride: object, *, offset: object = 0, elements: object = 4
    ) -> None:
        self.storage = Stored(elements)
        self._arguments: tuple[Any, ...] = self.storage, offset, size, stride, False, OrderedDict()

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return torch._utils._rebuild_tensor_v2, self._arguments


class Stored:
    def __init__(self, elements: object, key: object = "0", kind: object = None) -> None:
        self.pid = "storage", kind or torch.FloatStorage, key, "cpu", elements


class Writer(pickle.Pickler):
    def persistent_id(self, value: Any) -> Any:
        return value.pid if isinstance(value, Stored) else None


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "best.pt"


def pickled(root: object) -> bytes:
    buffer = io.BytesIO()
    Writer(buffer, 2).dump(root)
    return buffer.getvalue()


def archive(path: Path, data: bytes, *, compressed: bool = False, **entries: bytes) -> Path:
    """Write a torch zip around a pickle; `entries` are files by name, with "__" for "/"."""
    kind = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", kind) as file:
        file.writestr("best/data.pkl", data)
        file.writestr("best/byteorder", entries.pop("byteorder", b"little"))
        for name, content in ({"data__0": bytes(16)} | entries).items():
            file.writestr(f"best/{name.replace('__', '/')}", content)
    return path


def read_tensors(path: Path) -> dict[str, Any]:
    file = unpickle.read(path)
    described = unpickle.mapping(file.root)
    assert described is not None
    return unpickle.tensors(file, described)


def check_equal(tensors: dict[str, Any], expected: dict[str, Any]) -> None:
    assert list(tensors) == list(expected)
    for name, tensor in expected.items():
        value = tensor.float() if tensor.is_floating_point() else tensor
        assert tensors[name].dtype == value.dtype, name
        assert torch.equal(tensors[name], value), name
        assert tensors[name].is_contiguous()


def nested() -> nn.Module:
    inner = nn.ModuleDict({"a": network(), "b": nn.ParameterList([nn.Parameter(torch.ones(2))])})
    module = nn.Sequential(network(), inner, nn.Embedding(3, 2))
    module.register_buffer("seen", torch.tensor(7))
    module.register_buffer("passing", torch.zeros(3), persistent=False)
    module.register_buffer("nothing", None)
    module.add_module("again", module[0])  # shared: upstream names it twice, and so do we
    module.register_parameter("turned", nn.Parameter(torch.arange(6.0).reshape(2, 3).t()))
    return module


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("convert", [nn.Module.float, nn.Module.half, nn.Module.bfloat16])
def test_module_graph_has_the_tensors_of_its_state_dict(
    path: Path, protocol: int, convert: Callable[[nn.Module], nn.Module]
) -> None:
    module = convert(nested())
    path.write_bytes(saved({"model": module, "epoch": 3}, pickle_protocol=protocol))
    file = unpickle.read(path)
    assert file.root["epoch"] == 3
    assert unpickle.is_module(file.root["model"])
    assert file.root["model"].class_name == "torch.nn.modules.container.Sequential"
    check_equal(unpickle.state_dict(file, file.root["model"]), module.state_dict())


@pytest.mark.parametrize(
    "dtype", ["float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8",
              "uint8", "bool"],
)  # fmt: skip
@pytest.mark.parametrize("order", ["little", "big"])
def test_every_dtype_and_byte_order_is_read(path: Path, dtype: str, order: str) -> None:
    tensor = torch.tensor([[0, 1, 100], [5, 77, 126]]).to(getattr(torch, dtype))
    path.write_bytes(saved(OrderedDict(a=tensor, b=tensor.t()[1:], none=tensor[:0])))
    if order == "big":
        _swap(path, tensor.element_size())
    check_equal(read_tensors(path), {"a": tensor, "b": tensor.t()[1:], "none": tensor[:0]})


def _swap(path: Path, width: int) -> None:
    with zipfile.ZipFile(path) as file:
        entries = {info.filename: file.read(info) for info in file.infolist()}
    with zipfile.ZipFile(path, "w") as file:
        for name, content in entries.items():
            if "/data/" in name:
                content = np.frombuffer(content, f"u{width}").byteswap().tobytes()
            file.writestr(name, b"big" if name.endswith("byteorder") else content)


def test_settings_become_plain_values_or_inert_records(path: Path) -> None:
    root = {
        "model": network(),
        "best_fitness": np.float64(0.5),
        "where": PosixPath("/home/somebody"),
        "args": OrderedDict(imgsz=320),
        "names": {0: "a", 1: "b"},
        "kept": {1, 2},
    }
    path.write_bytes(saved(root))
    records = unpickle.read(path).root
    assert records["names"] == {0: "a", 1: "b"}
    assert unpickle.mapping(records["args"]) == {"imgsz": 320}
    assert unpickle.mapping(records["where"]) is None
    assert isinstance(records["best_fitness"], unpickle.Record)
    assert records["best_fitness"].class_name.endswith("multiarray.scalar")


@pytest.mark.parametrize("place", ["root", "value", "attribute", "parameter", "key"])
@pytest.mark.parametrize(
    ("function", "name"),
    [
        (os.system, "posix.system"),
        (builtins.eval, "builtins.eval"),
        (builtins.exec, "builtins.exec"),
        (builtins.open, "io.open"),
        (subprocess.check_output, "commands.check_output"),  # its name in Python 2
        (Path.touch, ""),
    ],
    ids=["system", "eval", "exec", "open", "subprocess", "method"],
)
def test_code_is_refused_and_does_not_run(
    path: Path, tmp_path: Path, place: str, function: Callable[..., Any], name: str
) -> None:
    planted = tmp_path / "planted"
    code = {
        os.system: f"touch {planted}",
        builtins.eval: f"open({str(planted)!r}, 'w')",
        builtins.exec: f"open({str(planted)!r}, 'w')",
        subprocess.check_output: ["touch", str(planted)],
        Path.touch: planted,
    }.get(function)
    payload = Calls(open, str(planted), "w") if function is open else Calls(function, code)
    module: Any = network()
    if place == "attribute":
        module.hook = payload
    if place == "parameter":
        module[0]._parameters["weight"] = payload
    root = {
        "root": payload,
        "value": {"model": module, "x": [payload]},
        "key": {(payload,): module},
    }.get(place, {"model": module})
    path.write_bytes(saved(root))
    if function is Path.touch:
        # a method is pickled as getattr(class, name); the reader does not call its result
        assert "would have to run code to load" in refusal(unpickle.read, path)
    else:
        assert f"refers to {name!r}, which is no part of a checkpoint" in refusal(
            unpickle.read, path
        )
    assert not planted.exists()


@pytest.mark.parametrize("function", [torch.save, np.save], ids=["torch", "numpy"])
def test_functions_of_packages_that_checkpoints_name_do_not_run_either(
    path: Path, tmp_path: Path, function: Callable[..., Any]
) -> None:
    planted = tmp_path / "planted.npy"
    arguments = (1, str(planted)) if function is torch.save else (str(planted), 1)
    path.write_bytes(saved({"x": Calls(function, *arguments), "model": network()}))
    file = unpickle.read(path)
    unpickle.state_dict(file, file.root["model"])
    assert not planted.exists()
    assert file.root["x"].args[0] in arguments


def test_a_record_cannot_be_made_to_change_its_class_or_another(path: Path) -> None:
    # BUILD of the class itself, and of a storage: both would outlive the file, or undo a check
    for target in (b"ctorch\nSize\n", b"(S'storage'\nctorch\nFloatStorage\nS'0'\nS'cpu'\nI4\ntQ"):
        data = TORCH_2 + target + b"}(S'class_name'\nS'x'\nS'elements'\nI99\nub."
        assert "its pickle is damaged" in refusal(unpickle.read, archive(path, data))
    assert unpickle.Record.class_name == ""


def test_a_memo_of_64_gigabytes_is_refused(path: Path) -> None:
    data = TORCH_2 + b"]r\xff\xff\xff\x7f."
    assert "LONG_BINPUT 2147483647" in refusal(unpickle.read, archive(path, data))


@pytest.mark.parametrize(
    "data",
    [b"", b"\x80", TORCH_2, TORCH_2 + b"}", TORCH_2 + b".", b"\x80\x63.", TORCH_2 + b"]X\xff\xff"],
)
def test_damaged_pickles_are_refused(path: Path, data: bytes) -> None:
    text = refusal(unpickle.read, archive(path, data))
    assert "its pickle is damaged" in text


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (Described((5,), (1,)), "reaches beyond its storage"),
        (Described((2, 2), (4, 1)), "reaches beyond its storage"),
        (Described((4,), (1,), offset=1), "reaches beyond its storage"),
        (Described((4,), (1,), offset=-1), "reaches beyond its storage"),
        (Described((4,), (-1,), offset=3), "reaches beyond its storage"),
        (Described((2**40,), (0,)), "or repeats it"),
        (Described((2**31, 2**31, 2**31), (0, 0, 0)), "or repeats it"),
        (Described((4, 1), (1,)), "reaches beyond its storage"),
        (Described((True,), (1,)), "reaches beyond its storage"),
        (Described((2.0,), (1,)), "reaches beyond its storage"),
        (Described(4, (1,)), "reaches beyond its storage"),
        (Described((1,) * 17, (1,) * 17), "reaches beyond its storage"),
        (Described((2**40,), (1,), elements=2**40), "16 bytes of data; needed: 4398046511104"),
        (Described((4,), (1,), elements=-4), "a storage without a name or a size"),
        (Described((4,), (1,), elements="4"), "a storage without a name or a size"),
        (Calls(torch._utils._rebuild_tensor_v2, 1, 0, (1,), (1,)), "reaches beyond its storage"),
        (Calls(torch._utils._rebuild_tensor_v2), "a: is a 'torch._utils._rebuild_tensor_v2'"),
        (Calls(torch._utils._rebuild_sparse_tensor, 1), "needed: a dense tensor"),
        ([1.0], "a: is a 'list'; needed: a dense tensor"),
    ],
)
def test_tensors_beyond_their_storage_are_refused(path: Path, tensor: object, message: str) -> None:
    assert message in refusal(read_tensors, archive(path, pickled({"a": tensor})))


def test_many_views_of_one_storage_are_refused_before_they_fill_the_memory(path: Path) -> None:
    size = 100_000
    tensors = {f"t{i:03d}": Described((size,), (1,), elements=size) for i in range(99)}
    shared = Stored(size)
    for tensor in tensors.values():
        tensor._arguments = shared, *tensor._arguments[1:]
    archive(path, pickled(tensors), data__0=bytes(4 * size))
    assert "the tensors need more than the file has" in refusal(read_tensors, path)


@pytest.mark.parametrize(
    ("storage", "message"),
    [
        (Stored(4, kind=torch.ComplexFloatStorage), "a storage of 'torch.ComplexFloatStorage'"),
        (Stored(4, kind=7), "a storage of 'nothing'"),
        (Stored(4, key=7), "a storage without a name or a size"),
    ],
)
def test_storages_of_other_kinds_are_refused(path: Path, storage: Stored, message: str) -> None:
    assert message in refusal(unpickle.read, archive(path, pickled({"a": storage})))


def test_a_reference_that_is_no_storage_is_refused(path: Path) -> None:
    data = TORCH_2 + b"S'module'\nQ."
    assert "something else than a storage" in refusal(unpickle.read, archive(path, data))


def test_missing_data_is_refused(path: Path) -> None:
    tensor = Described((4,), (1,))
    tensor.storage.pid = "storage", torch.FloatStorage, "../../9", "cpu", 4
    text = refusal(read_tensors, archive(path, pickled({"a": tensor})))
    assert "a: its data ('best/data/../../9') is not in the file" in text


def test_nan_is_refused(path: Path) -> None:
    path.write_bytes(saved({"a": torch.tensor([1.0, float("nan")])}))
    assert "a holds NaN or infinity" in refusal(read_tensors, path)


def test_another_byte_order_is_refused(path: Path) -> None:
    archive(path, pickled({"a": Described((4,), (1,))}), byteorder=b"middle")
    assert "byteorder is 'middle'; allowed: little, big" in refusal(read_tensors, path)


def test_a_module_that_contains_itself_is_refused(path: Path) -> None:
    deep: Any = nn.Sequential()
    deep.add_module("again", deep)
    path.write_bytes(saved({"model": deep}))
    file = unpickle.read(path)
    text = refusal(lambda _: unpickle.state_dict(file, file.root["model"]), path)
    assert "modules inside modules without end" in text
    for _ in range(30):  # 2 ** 30 paths lead to the innermost
        deep = nn.Sequential(deep, deep)
    wide: Any = nn.Identity()
    for _ in range(30):
        wide = nn.Sequential(wide, wide)
    path.write_bytes(saved({"model": wide}))
    file = unpickle.read(path)
    text = refusal(lambda _: unpickle.state_dict(file, file.root["model"]), path)
    assert "modules inside modules without end" in text


@pytest.mark.parametrize("share", [0.2, 0.6, 0.99])
def test_truncated_files_are_refused(path: Path, share: float) -> None:
    content = saved({"model": network()})
    path.write_bytes(content[: int(len(content) * share)])
    assert "damaged or truncated" in refusal(unpickle.read, path)


def test_changed_bytes_are_refused(path: Path) -> None:
    content = saved({"a": torch.full((64,), 3.0)})
    place = content.index(np.float32(3.0).tobytes() * 4)
    path.write_bytes(content[:place] + b"\x11" + content[place + 1 :])
    assert "damaged or truncated (Bad CRC-32" in refusal(read_tensors, path)


def test_compressed_zips_and_parts_larger_than_the_file_are_refused(path: Path) -> None:
    data = pickled({"a": Described((4,), (1,))})
    assert "a compressed zip" in refusal(unpickle.read, archive(path, data, compressed=True))
    content = archive(path, data).read_bytes()
    # the directory says that the storage is of 4 GB
    place = content.rindex(b"PK\x01\x02", 0, content.rindex(b"best/data/0"))
    huge = b"\xf0\xff\xff\xff" * 2
    path.write_bytes(content[: place + 20] + huge + content[place + 28 :])
    assert "its parts are larger than the file" in refusal(unpickle.read, path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (POINTER, "git-lfs pointer"),
        (onnx_bytes(), "an ONNX file; "),
        (
            saved({"a": torch.zeros(2)}, _use_new_zipfile_serialization=False),
            "of torch's format before 1.6, which is not read here; if you trust the",
        ),
        (pickle.dumps({"a": 1}), "of torch's format before 1.6"),
    ],
    ids=["empty", "git-lfs", "onnx", "legacy", "pickle"],
)
def test_other_files_are_refused(path: Path, content: bytes, message: str) -> None:
    path.write_bytes(content)
    assert message in refusal(unpickle.read, path)


def test_torchscript_is_refused(path: Path) -> None:
    path.write_bytes(scripted(network()))
    assert "a TorchScript archive" in refusal(unpickle.read, path)


def test_two_pickles_are_refused(path: Path) -> None:
    archive(path, pickled({}), data__0=b"")
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("other/data.pkl", pickled({}))
    assert "holds 2 files data.pkl; needed: one" in refusal(unpickle.read, path)


def test_real_file_is_read_without_its_classes(shared: Path) -> None:
    file = unpickle.read(shared / "checkpoints/yolov8n_coco_best.pt")
    assert file.root["model"].class_name == "ultralytics.nn.tasks.DetectionModel"
    assert file.root["ema"] is None
    names = unpickle.mapping(file.root["model"].state["names"])
    assert names is not None
    assert len(names) == 80
    state = unpickle.state_dict(file, file.root["model"])
    assert len(state) == 355
    assert state["model.0.conv.weight"].dtype == torch.float32
    assert state["model.22.dfl.conv.weight"].flatten().tolist() == list(range(16))
