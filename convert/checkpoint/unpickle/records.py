"""Pickles as inert records: reading one imports, calls and looks up nothing that it names."""

import io
import pickle
import pickletools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TypeGuard

from convert.errors import CheckpointError

# packages whose classes a file may name; they stay names. Another is a sign of no checkpoint
PACKAGES = (
    "__main__", "collections", "copyreg", "datetime", "efficientnet_pytorch", "model", "models",
    "numpy", "pathlib", "timm", "torch", "torchvision", "ultralytics", "utils",
)  # fmt: skip
NAMES = frozenset(
    {
        "_codecs.encode",  # bytes, as protocol 2 writes them
        "argparse.Namespace",
        "functools.partial",  # of a layer's class and its settings
        "types.SimpleNamespace",
        # getattr: a fused network is saved with a method as an attribute
        *(f"builtins.{name}" for name in (
            "bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "getattr",
            "int", "list", "object", "range", "set", "slice", "str", "tuple",
        )),
    }
)  # fmt: skip
STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}


class Record:
    """The description of one object in a pickle. Subclasses differ in `class_name` alone."""

    class_name: ClassVar[str] = ""  # module and name, as the file writes them
    __slots__ = ("args", "items", "state")
    args: tuple[Any, ...]  # of the call that would have made the object
    items: dict[Any, Any]  # of a dictionary-like object
    state: dict[Any, Any]  # attributes

    def __new__(cls, *args: Any, **_: Any) -> "Record":
        """Store the arguments, whatever they are."""
        record = super().__new__(cls)
        record.args, record.items, record.state = args, {}, {}
        return record

    def __setstate__(self, state: Any) -> None:
        # objects with slots have a pair: attributes, slots
        for part in state if isinstance(state, tuple) else (state,):
            if isinstance(part, dict):
                self.state.update(part)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.items[key] = value

    def append(self, value: Any) -> None:
        """Drop an element of a list-like object: no reader needs one."""

    def extend(self, values: Any) -> None:
        """Drop elements, as `append`."""


class Storage(NamedTuple):
    """Bytes of the zip that tensors view. A tuple: a pickle cannot change it after the check."""

    dtype: str
    key: str
    elements: int


def loads(data: bytes, *, path: Path) -> Any:
    """Read a pickle into plain values, Records and Storages.

    Args:
        data: the pickle, of any protocol.
        path: the file, for the message.

    Raises:
        CheckpointError: the pickle is damaged, or names anything but the parts of a checkpoint.
    """
    try:
        _check_memo(data)
        return _Unpickler(path, data).load()
    except CheckpointError:
        raise
    except Exception as error:  # a damaged pickle raises one of a dozen types
        raise CheckpointError(
            f"{path}: its pickle is damaged, or would have to run code to load "
            f"({str(error)[:200] or type(error).__name__})"
        ) from error


def mapping(value: Any) -> Mapping[Any, Any] | None:
    """Return the entries of a dict, an OrderedDict or a namespace; None: the value is none."""
    if isinstance(value, dict):
        return value
    if not isinstance(value, Record):
        return None
    name = value.class_name
    if name in ("collections.OrderedDict", "collections.defaultdict"):
        return value.items
    return value.state if name.endswith("Namespace") else None


def is_module(value: Any) -> TypeGuard[Record]:
    """Return whether a value is the record of a torch.nn.Module."""
    return isinstance(value, Record) and mapping(value.state.get("_modules")) is not None


def is_a(value: Any, class_name: str) -> TypeGuard[Record]:
    """Return whether a value is the record of an object of exactly this class."""
    return isinstance(value, Record) and value.class_name == class_name


def is_index(value: Any) -> bool:
    """Return whether a value can be a size or an offset: no bool, no Record, nothing huge."""
    return type(value) is int and 0 <= value < 2**62


class _Unpickler(pickle.Unpickler):
    """An unpickler that returns a Record for every name, so that a pickle can call nothing else."""

    def __init__(self, path: Path, data: bytes) -> None:
        super().__init__(io.BytesIO(data))
        self._path = path
        self._classes: dict[str, type[Record]] = {}

    def find_class(self, module: str, name: str) -> Any:
        # protocol 2 writes Python 2's names
        module = {"__builtin__": "builtins", "copy_reg": "copyreg"}.get(module, module)
        full = f"{module}.{name}"
        if module.partition(".")[0] not in PACKAGES and full not in NAMES:
            raise CheckpointError(
                f"{self._path}: refers to {full[:80]!r}, which is no part of a checkpoint; "
                f"allowed: {', '.join(PACKAGES)} and plain containers. Nothing in the file was "
                "run; if you trust it, save its state_dict() instead"
            )
        if full not in self._classes:
            members = {"class_name": full, "__slots__": ()}
            self._classes[full] = type("Record", (Record,), members)
        return self._classes[full]

    def persistent_load(self, pid: Any) -> Storage:
        """Return the Storage of a ("storage", storage class, key, device, count) of torch.save."""
        if not isinstance(pid, tuple) or len(pid) != 5 or pid[0] != "storage":
            raise CheckpointError(f"{self._path}: refers to something else than a storage")
        _, cls, key, _, count = pid
        name = cls.class_name if isinstance(cls, type) and issubclass(cls, Record) else "nothing"
        dtype = STORAGES.get(name.rpartition(".")[2])
        if dtype is None:
            raise CheckpointError(
                f"{self._path}: a storage of {name[:80]!r}; allowed: {', '.join(STORAGES)}"
            )
        if not isinstance(key, str) or not is_index(count):
            raise CheckpointError(f"{self._path}: a storage without a name or a size")
        return Storage(dtype, key, count)


def _check_memo(data: bytes) -> None:
    """Refuse a memo index that is larger than the pickle.

    Python's unpickler allocates its memo up to the largest index, however few there are: five
    bytes allocate 64 GB.

    Raises:
        ValueError: there is such an index.
    """
    for opcode, argument, _ in pickletools.genops(data):
        index = argument if isinstance(argument, int) else 0
        if opcode.name in ("PUT", "LONG_BINPUT") and index > len(data):
            raise ValueError(f"{opcode.name} {argument}")
