"""Files of the quantized graphs that a search measures: each is quantized once, the best are kept.

A search measures 30 graphs, or 300, of up to 100 MB each. Afterwards at most four of each operator
set are needed again; the most accurate ones are among them.
"""

from collections.abc import Callable
from itertools import count
from pathlib import Path

import onnx

from convert.quantize.quantizer import QuantizationConfig

MOST_BYTES = 2**30  # of all files together


class GraphFiles:
    """Files of quantized graphs, by configuration; the least accurate are deleted to save space."""

    def __init__(
        self,
        quantize: Callable[[QuantizationConfig], onnx.ModelProto],
        directory: Path,
        *,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        """Begin without files.

        Args:
            quantize: returns the graph of a configuration; takes seconds per call.
            directory: for the files.
            most_bytes: that `keep` leaves on disk.
        """
        self._quantize = quantize
        self._directory = directory
        self._most_bytes = most_bytes
        self._numbers = count()
        self._paths: dict[QuantizationConfig, Path] = {}
        self._losses: dict[QuantizationConfig, float] = {}

    def path(self, config: QuantizationConfig) -> Path:
        """Return the file of a configuration; quantize and write it unless it is on disk."""
        path = self._paths.get(config)
        if path is None:
            path = self._directory / f"candidate-{next(self._numbers)}.onnx"
            onnx.save(self._quantize(config), path)
            self._paths[config] = path
        return path

    def keep(self, config: QuantizationConfig, *, loss: float) -> None:
        """Record the loss of a file, then delete the files of largest loss until the rest fit."""
        self._losses[config] = loss
        for worst in sorted(self._losses, key=lambda other: -self._losses[other]):
            if sum(path.stat().st_size for path in self._paths.values()) <= self._most_bytes:
                return
            self._paths.pop(worst).unlink()
            del self._losses[worst]
