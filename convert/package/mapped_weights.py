"""Weights in a file of their own, which all processes of a server map instead of copying them.

onnxruntime packs the weights of matrix products for the CPU's kernels, in memory that no other
process shares. The file holds them packed, too: onnxruntime packs each weight while it loads, and
where the hash of the result is that of the packed form in the file, maps that form instead. On
another kind of CPU it differs, and the weight stays in memory.
"""

import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import onnx

from convert.verify.load_cost import LoadCost, measure_load
from runtime.engine.session import Feeds, Session, SessionOptions

LEAST_BYTES = 8_000_000  # of a file that is tried
LARGEST_SHARE = 0.5  # of the memory that the weights keep otherwise: more does not pay
PAGE_BYTES = 4096  # each weight begins with a page; smaller ones stay in the ONNX file
PACKED = (
    "prepacked_"  # the keys of the packed forms, whose value is "name|offset;length;blocks|..."
)


@dataclass(frozen=True, slots=True)
class Layout:
    """The costs of both layouts of a file, measured, and which was chosen."""

    mapped: bool
    one_file: LoadCost
    two_files: LoadCost

    def to_json(self) -> Mapping[str, object]:
        """Return the fields for the manifest."""
        return asdict(self)


def data_path(path: Path) -> Path:
    """Return the path of the weights beside an ONNX file."""
    return path.with_name(f"{path.name}.data")


def map_weights(path: Path, feeds: Feeds) -> Layout | None:
    """Move the weights of an ONNX file to a file beside it, if that pays on this machine.

    Args:
        path: replaced by a file without weights, if it pays; `data_path` then appears.
        feeds: one sample.

    Returns:
        The measurements; None if the file is so small that none were made.

    Raises:
        VerificationError: the graph does not run.
    """
    if path.stat().st_size < LEAST_BYTES:
        return None
    one_file = measure_load(path, feeds)
    with tempfile.TemporaryDirectory(prefix="mapped-", dir=path.parent) as directory:
        target = Path(directory, path.name)
        write_mapped(path, target)
        two_files = measure_load(target, feeds)
        pays = two_files.kept_bytes <= LARGEST_SHARE * one_file.kept_bytes
        if pays:
            os.replace(data_path(target), data_path(path))
            os.replace(target, path)
    return Layout(pays, one_file, two_files)


def write_mapped(source: Path, target: Path) -> None:
    """Write a graph without weights, and beside it a file with them, plain and packed.

    Args:
        source: the graph with its weights.
        target: the new ONNX file, in another directory.
    """
    model = onnx.load(source)
    with data_path(target).open("wb") as data:
        for tensor in model.graph.initializer:
            if len(tensor.raw_data) >= PAGE_BYTES:
                offset = _append(data, tensor.raw_data)
                _set_entries(
                    tensor,
                    location=data_path(target).name,
                    offset=str(offset),
                    length=str(len(tensor.raw_data)),
                )
                tensor.data_location = onnx.TensorProto.EXTERNAL
                tensor.ClearField("raw_data")
    _write(model, target)
    with tempfile.TemporaryDirectory(prefix="packed-", dir=target.parent) as directory:
        packed = Path(directory, "packed.onnx")
        Session(target, SessionOptions(threads=1, packed_path=packed))
        _append_packed(model, target, packed)
    _write(model, target)


def _append_packed(model: onnx.ModelProto, target: Path, packed: Path) -> None:
    """Append the packed forms of the weights to the data, and name them in the model; in place.

    Args:
        model: of `target`. What the optimizer made of a weight has another name than the weight,
            and is left out.
        target: the ONNX file.
        packed: the optimized graph of `target` that onnxruntime wrote.
    """
    forms = _packed_forms(packed)
    if not forms:
        return
    with data_path(packed).open("rb") as source, data_path(target).open("ab") as data:
        for tensor in model.graph.initializer:
            if not tensor.external_data:
                continue
            for key, value in forms.get(tensor.name, {}).items():
                name, *parts = value.split("|")
                moved = [_copy(source, data, *part.split(";")) for part in parts]
                _set_entries(tensor, **{key: "|".join([name, *moved])})


def _packed_forms(packed: Path) -> dict[str, dict[str, str]]:
    """Return the entries about packed forms, by tensor."""
    model = onnx.load(packed, load_external_data=False)
    return {
        tensor.name: entries
        for tensor in model.graph.initializer
        if (entries := dict(_packed_entries(tensor)))
    }


def _packed_entries(tensor: onnx.TensorProto) -> Iterator[tuple[str, str]]:
    return ((e.key, e.value) for e in tensor.external_data if e.key.startswith(PACKED))


def _copy(source: BinaryIO, data: BinaryIO, offset: str, length: str, *rest: str) -> str:
    """Append a part of a file to another; return the part's position there."""
    source.seek(int(offset))
    return ";".join([str(_append(data, source.read(int(length)))), length, *rest])


def _append(data: BinaryIO, content: bytes) -> int:
    """Append bytes from the next page on; return their offset."""
    data.write(bytes(-data.tell() % PAGE_BYTES))
    offset = data.tell()
    data.write(content)
    return offset


def _set_entries(tensor: onnx.TensorProto, **entries: str) -> None:
    for key, value in entries.items():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value


def _write(model: onnx.ModelProto, path: Path) -> None:
    path.write_bytes(model.SerializeToString(deterministic=True))
