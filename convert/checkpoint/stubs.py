"""Inert stubs for the classes that training scripts pickle with the weights.

torch's weights-only reader refuses every class that it does not know. The classes below hold
settings; the reader gets a stub from this module for each of their names, so that it never calls
anything that the file chooses. numpy's classes have stubs as well: the real `dtype.__setstate__`
trusts its argument.
"""

import re
from collections.abc import Callable
from typing import Any

import numpy as np

# booleans, integers, floats and text; objects, structures and dates are not decoded
PLAIN_DTYPE = re.compile(r"b1|[iu][1248]|f[248]|U\d{1,4}")


class Ignored:
    """A value that no reader needs: a path, a date, a version."""

    def __new__(cls, *_: Any) -> "Ignored":
        """Accept any arguments."""
        return super().__new__(cls)

    def __setstate__(self, state: Any) -> None:
        """Forget the state."""


class Settings(dict[str, Any]):
    """The attributes of an argparse.Namespace or a SimpleNamespace."""

    def __new__(cls, *_: Any) -> "Settings":
        """Accept any arguments."""
        return super().__new__(cls)

    def __init__(self, *_: Any) -> None:
        super().__init__()

    def __setstate__(self, state: Any) -> None:
        """Store the attributes as items."""
        if isinstance(state, dict):
            self.update(state)


class Dtype:
    """A numpy.dtype: a code such as "f8" or "U5", and a byte order."""

    def __init__(self, code: Any = "", *_: Any) -> None:
        self._code = str(code)
        self._order = "="

    def __setstate__(self, state: Any) -> None:
        """Store the byte order; numpy's state is (version, byte order, ...)."""
        if isinstance(state, tuple) and len(state) > 1 and state[1] in ("<", ">"):
            self._order = state[1]

    def decode(self, data: Any) -> list[Any]:
        """Return bytes as Python values; [] if the dtype is not plain or the length is wrong."""
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
        """Accept any arguments."""
        return super().__new__(cls)

    def __init__(self, *_: Any) -> None:
        super().__init__()

    def __setstate__(self, state: Any) -> None:
        """Store the values; numpy's state is (version, shape, dtype, Fortran order, data)."""
        if isinstance(state, tuple) and len(state) == 5 and isinstance(state[2], Dtype):
            # the data of an array of objects is a list
            self[:] = state[4] if isinstance(state[4], list) else state[2].decode(state[4])


def scalar(dtype: Any, data: Any = b"") -> Any:
    """Return a numpy scalar as a Python value; `Ignored` if its dtype is not plain."""
    values = dtype.decode(data) if isinstance(dtype, Dtype) else []
    return values[0] if len(values) == 1 else Ignored()


def stubs() -> list[Callable[..., Any] | tuple[Callable[..., Any], str]]:
    """Return (stub, name in the pickle) pairs, for torch.serialization.safe_globals."""
    paths = ("Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath")
    names_by_stub: dict[Callable[..., Any], list[str]] = {
        Settings: ["argparse.Namespace", "types.SimpleNamespace"],
        Dtype: ["numpy.dtype"],
        Array: ["numpy.ndarray"],
        scalar: [],
        Ignored: [
            "torch.torch_version.TorchVersion",
            "datetime.datetime",
            "datetime.date",
            "datetime.timedelta",
            *(f"{module}.{name}" for module in ("pathlib", "pathlib._local") for name in paths),
        ],
    }
    for package in ("numpy.core", "numpy._core"):
        names_by_stub[Array].append(f"{package}.multiarray._reconstruct")
        names_by_stub[scalar].append(f"{package}.multiarray.scalar")
    return [(stub, name) for stub, names in names_by_stub.items() for name in names]
