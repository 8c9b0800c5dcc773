"""Pickled torch modules, read without running anything that the file names.

Every class and function in the pickle becomes an inert `Record` of its name, arguments and state.
The reader makes tensors from records later, and only those that the caller requests.

torch's own weights-only reader cannot replace this package: it reads no pickles of protocol 4 or 5,
and accepts changed bytes in a tensor (it ignores the zip's CRC-32).

Source: the layout that torch.save writes since torch 1.6, as torch 2.13 reads it
(`serialization.py`, `_utils.py`).
"""

from convert.checkpoint.unpickle.archive import TorchFile, read
from convert.checkpoint.unpickle.records import Record, is_module, mapping
from convert.checkpoint.unpickle.tensors import modules, state_dict, tensors

__all__ = [
    "Record",
    "TorchFile",
    "is_module",
    "mapping",
    "modules",
    "read",
    "state_dict",
    "tensors",
]
