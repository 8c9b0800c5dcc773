"""Files of the quantized graphs that a search tries: each is quantized once, the best stay on disk.

A search tries 30 graphs, or 300, of up to 100 MB each; afterwards at most four of each set of
operators are needed again, among them the most accurate.
"""

from collections.abc import Callable
from itertools import count
from pathlib import Path

import onnx

from convert.quantize.quantizer import Setting

MOST_BYTES = 2**30  # of all files together


class GraphFiles:
    """Quantized graphs on disk, by setting; the least accurate are deleted when space is short."""

    def __init__(
        self,
        quantize: Callable[[Setting], onnx.ModelProto],
        directory: Path,
        *,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        """Begin without files.

        Args:
            quantize: makes the graph of a setting; seconds per call.
            directory: for the files.
            most_bytes: that `keep` leaves on disk.
        """
        self._quantize = quantize
        self._directory = directory
        self._most_bytes = most_bytes
        self._numbers = count()
        self._paths: dict[Setting, Path] = {}
        self._losses: dict[Setting, float] = {}

    def path(self, setting: Setting) -> Path:
        """Return the file of a setting; quantize and write it unless it is on disk."""
        path = self._paths.get(setting)
        if path is None:
            path = self._directory / f"candidate-{next(self._numbers)}.onnx"
            onnx.save(self._quantize(setting), path)
            self._paths[setting] = path
        return path

    def keep(self, setting: Setting, *, loss: float) -> None:
        """Remember a file's loss, then delete the files of largest loss until the rest fit."""
        self._losses[setting] = loss
        for worst in sorted(self._losses, key=lambda each: -self._losses[each]):
            if sum(path.stat().st_size for path in self._paths.values()) <= self._most_bytes:
                return
            self._paths.pop(worst).unlink()
            del self._losses[worst]
