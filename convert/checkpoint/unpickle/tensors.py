"""Tensors and modules from the records that describe them."""

import zipfile
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from convert.checkpoint.torch_file import as_float32
from convert.checkpoint.unpickle.archive import TorchFile, open_archive
from convert.checkpoint.unpickle.records import Record, Storage, is_a, is_index, is_module, mapping
from convert.errors import CheckpointError

PARAMETERS = ("torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state")
MAX_AXES = 16
MAX_MODULES = 20_000
MAX_DEPTH = 64
MAX_SHARING = 4  # how often tensors may view the same bytes, on average


def modules(file: TorchFile, module: Record) -> Iterator[tuple[str, Record]]:
    """Yield a module and all modules inside it with their dotted names, outer ones first.

    The name of the module itself is "".

    Raises:
        CheckpointError: there are more than MAX_MODULES, or they nest deeper than MAX_DEPTH: a
            module contains itself.
    """
    stack = [("", module)]
    for count in range(MAX_MODULES + 1):
        if not stack:
            return
        name, current = stack.pop()
        if count == MAX_MODULES or name.count(".") == MAX_DEPTH:
            raise CheckpointError(f"{file.path}: modules inside modules without end, at {name!r}")
        yield name, current
        children = _entries(current, "_modules")
        stack.extend(
            (_join(name, key), child) for key, child in reversed(children) if is_module(child)
        )


def state_dict(file: TorchFile, module: Record) -> dict[str, Any]:
    """Return the tensors of a pickled module by name, as its own state_dict has them.

    Raises:
        CheckpointError: see `tensors` and `modules`.
    """
    records: dict[str, Any] = {}
    for name, current in modules(file, module):
        non_persistent = _strings(current.state.get("_non_persistent_buffers_set"))
        for attribute in ("_parameters", "_buffers"):
            for key, value in _entries(current, attribute):
                if value is not None and key not in non_persistent:
                    records[_join(name, key)] = value
    return tensors(file, records)


def tensors(file: TorchFile, records: Mapping[str, Any]) -> dict[str, Any]:
    """Make tensors from their records.

    Args:
        file: the return value of `read`.
        records: of tensors or parameters, by name.

    Returns:
        torch tensors by name, contiguous, floating point as float32.

    Raises:
        CheckpointError: a value is no tensor; a tensor reaches beyond its storage, repeats
            elements, or holds NaN or infinity; the file lacks its bytes; the tensors together need
            more memory than the file accounts for.
    """
    storages: dict[str, Any] = {}
    by_name: dict[str, Any] = {}
    allowance = MAX_SHARING * file.path.stat().st_size
    with open_archive(file.path) as archive:
        is_big_endian = _byte_order(file, archive) == "big"
        for name, value in records.items():
            where = f"{file.path}: {name}"
            view = _checked_view(where, value)
            key = view.storage.key
            if key not in storages:
                storages[key] = _read_storage(where, f"{file.folder}data/{key}", archive)
            tensor = _make_tensor(where, view, storages[key], is_big_endian=is_big_endian)
            allowance -= tensor.nbytes
            if allowance < 0:
                raise CheckpointError(f"{where}: the tensors need more than the file has")
            by_name[name] = tensor
    return as_float32(by_name, path=file.path)


class View(NamedTuple):
    """The part of a storage that a tensor views."""

    storage: Storage
    offset: int  # elements
    size: tuple[int, ...]
    stride: tuple[int, ...]  # elements

    @property
    def elements(self) -> int:
        """Return the number of elements."""
        return int(np.prod(self.size, dtype=object))


def _byte_order(file: TorchFile, archive: zipfile.ZipFile) -> str:
    name = f"{file.folder}byteorder"  # torch before 2.1 did not write it
    order = archive.read(name).decode() if name in archive.namelist() else "little"
    if order not in ("little", "big"):
        raise CheckpointError(f"{file.path}: byteorder is {order[:20]!r}; allowed: little, big")
    return order


def _checked_view(where: str, value: Any) -> View:
    """Return the view that a record describes, which must be inside its storage."""
    while isinstance(value, Record) and value.class_name in PARAMETERS and value.args:
        value = value.args[0]
    if not is_a(value, "torch._utils._rebuild_tensor_v2") or len(value.args) < 4:
        kind = value.class_name if isinstance(value, Record) else type(value).__name__
        raise CheckpointError(f"{where}: is a {kind[:80]!r}; needed: a dense tensor")
    view = View(*value.args[:4])
    if not isinstance(view.storage, Storage) or not _is_inside(view):
        raise CheckpointError(f"{where}: the tensor reaches beyond its storage, or repeats it")
    return view


def _is_inside(view: View) -> bool:
    axes = (view.size, view.stride)
    if not all(isinstance(axis, tuple) and len(axis) <= MAX_AXES for axis in axes):
        return False
    if len(view.size) != len(view.stride):
        return False
    if not all(is_index(number) for number in (view.offset, *view.size, *view.stride)):
        return False
    if view.elements == 0:
        return True
    steps = zip(view.size, view.stride, strict=True)
    last = view.offset + sum((length - 1) * step for length, step in steps)
    # a stride of zero would make a tensor of any size from one element
    return last < view.storage.elements and view.elements <= view.storage.elements


def _read_storage(where: str, name: str, archive: zipfile.ZipFile) -> Any:
    """Return the bytes of a storage as a flat tensor of uint8."""
    import torch

    if name not in archive.namelist():
        raise CheckpointError(f"{where}: its data ({name[:80]!r}) is not in the file")
    # a bytearray: torch warns of memory that it may not write to
    data = bytearray(archive.read(name))
    return torch.frombuffer(data, dtype=torch.uint8) if data else torch.empty(0, dtype=torch.uint8)


def _make_tensor(where: str, view: View, data: Any, *, is_big_endian: bool) -> Any:
    """Return a contiguous tensor with memory of its own, in the file's dtype."""
    import torch

    dtype = getattr(torch, view.storage.dtype)
    needed = view.storage.elements * dtype.itemsize
    if len(data) < needed:
        raise CheckpointError(f"{where}: {len(data)} bytes of data; needed: {needed}")
    flat = data[:needed].view(dtype)
    tensor = flat.as_strided(view.size, view.stride, view.offset)
    tensor = tensor.clone(memory_format=torch.contiguous_format)
    if is_big_endian:
        octets = tensor.reshape(-1).view(torch.uint8).reshape(-1, dtype.itemsize)
        tensor = octets.flip(1).reshape(-1).view(dtype).reshape(view.size)
    return tensor


def _strings(value: Any) -> set[str]:
    """Return a pickled set of strings, which is a record in protocol 2 and a set in protocol 4."""
    if is_a(value, "builtins.set") and value.args:
        value = value.args[0]
    items = value if isinstance(value, set | list) else ()
    return {item for item in items if isinstance(item, str)}


def _entries(module: Record, attribute: str) -> list[tuple[str, Any]]:
    entries = mapping(module.state.get(attribute)) or {}
    return [(key, value) for key, value in entries.items() if isinstance(key, str)]


def _join(prefix: str, key: str) -> str:
    return f"{prefix}.{key}" if prefix else key
