"""Pickled torch modules, read without running anything that the file names.

Every class and function of the pickle becomes an inert `Record` of its name, its arguments and its
state; tensors are made afterwards from the records that describe them, and only where they are
asked for.

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
