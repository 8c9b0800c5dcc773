"""Inert stand-ins for the classes that training scripts leave beside the weights.

torch's weights-only reader refuses every class it does not know. Those below hold settings; the
names are mapped to classes of this module, so that nothing of the file's choosing is ever called.
numpy's own are replaced as well: its `dtype.__setstate__` trusts what it is given.
"""

import re
from collections.abc import Callable
from typing import Any

import numpy as np

# booleans, integers, floats and text; objects, structures and dates are not decoded
PLAIN_DTYPE = re.compile(r"b1|[iu][1248]|f[248]|U\d{1,4}")


class Ignored:
    """A value that nobody asks for: a path, a date, a version."""

    def __new__(cls, *_: Any) -> "Ignored":
        """Of whatever arguments."""
        return super().__new__(cls)

    def __setstate__(self, state: Any) -> None:
        """Forget it."""


class Settings(dict[str, Any]):
    """The attributes of an argparse.Namespace and the like."""

    def __new__(cls, *_: Any) -> "Settings":
        """Of whatever arguments."""
        return super().__new__(cls)

    def __init__(self, *_: Any) -> None:
        super().__init__()

    def __setstate__(self, state: Any) -> None:
        """Take the attributes over as items."""
        if isinstance(state, dict):
            self.update(state)


class Dtype:
    """numpy.dtype: a code such as "f8" or "U5", and a byte order."""

    def __init__(self, code: Any = "", *_: Any) -> None:
        self._code = str(code)
        self._order = "="

    def __setstate__(self, state: Any) -> None:
        """Numpy's state is (version, byte order, ...)."""
        if isinstance(state, tuple) and len(state) > 1 and state[1] in ("<", ">"):
            self._order = state[1]

    def decode(self, data: Any) -> list[Any]:
        """Bytes to Python values; [] where the dtype is not a plain one or the length is wrong."""
        if not isinstance(data, bytes) or not PLAIN_DTYPE.fullmatch(self._code):
            return []
        dtype = np.dtype(self._code).newbyteorder(self._order)  # type: ignore[arg-type] # "<", ">" or "="
        if dtype.itemsize == 0 or len(data) % dtype.itemsize:
            return []
        values: list[Any] = np.frombuffer(data, dtype).tolist()
        return values


class Array(list[Any]):
    """A numpy array as the flat list of its values."""

    def __new__(cls, *_: Any) -> "Array":
        """Of whatever arguments."""
        return super().__new__(cls)

    def __init__(self, *_: Any) -> None:
        super().__init__()

    def __setstate__(self, state: Any) -> None:
        """Numpy's state is (version, shape, dtype, in Fortran's order, data)."""
        if isinstance(state, tuple) and len(state) == 5 and isinstance(state[2], Dtype):
            # an array of objects has them as a list
            self[:] = state[4] if isinstance(state[4], list) else state[2].decode(state[4])


def scalar(dtype: Any, data: Any = b"") -> Any:
    """A numpy scalar as a Python value; `Ignored` where it is not a plain one."""
    found = dtype.decode(data) if isinstance(dtype, Dtype) else []
    return found[0] if len(found) == 1 else Ignored()


def stubs() -> list[Callable[..., Any] | tuple[Callable[..., Any], str]]:
    """What stands in for which name, as torch.serialization.safe_globals takes it."""
    paths = ("Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath")
    by_class: dict[Callable[..., Any], list[str]] = {
        Settings: ["argparse.Namespace", "types.SimpleNamespace"],
        Dtype: ["numpy.dtype"],
        Array: ["numpy.ndarray"],
        Ignored: [
            "torch.torch_version.TorchVersion",
            "datetime.datetime",
            "datetime.date",
            "datetime.timedelta",
            *(f"{module}.{name}" for module in ("pathlib", "pathlib._local") for name in paths),
        ],
    }
    for package in ("numpy.core", "numpy._core"):
        by_class[Array].append(f"{package}.multiarray._reconstruct")
        by_class.setdefault(scalar, []).append(f"{package}.multiarray.scalar")
    return [(stand_in, name) for stand_in, names in by_class.items() for name in names]
