"""A torch module as a `Network`."""

import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray


class TorchNetwork:
    """An nn.Module in eval mode."""

    framework = "torch"

    def __init__(self, module: Any, *, input_shape: tuple[int, int, int], method: str = "forward"):
        """Wrap a module.

        Args:
            module: torch.nn.Module, loaded; put into eval mode.
            input_shape: (C, H, W) of one sample.
            method: which of its methods maps input to output.
        """
        import torch

        class Called(torch.nn.Module):
            """`method` as forward, which is what the exporter traces."""

            def __init__(self) -> None:
                super().__init__()
                self.inner = module

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return getattr(self.inner, method)(x)

        self._module = Called().eval()
        self._input_shape = input_shape

    def forward(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, C, H, W) float32 to the raw output, row by row so that memory stays flat."""
        import torch

        with torch.inference_mode():
            rows = [self._module(torch.from_numpy(row[np.newaxis])).numpy() for row in x]
        return np.concatenate(rows)

    def export(self) -> onnx.ModelProto:
        """Trace to ONNX; see `Network.export`."""
        import torch

        from convert.graph import OPSET, free_batch, scale_resizes

        with tempfile.TemporaryDirectory(prefix="slipway-") as directory, warnings.catch_warnings():
            path = Path(directory, "traced.onnx")
            # the tracing exporter warns that it is the older one; it is ours on purpose: node names
            # without source paths, one second instead of ten, no weights beside the file
            warnings.simplefilter("ignore")
            torch.onnx.export(
                self._module,
                (torch.zeros(1, *self._input_shape),),
                path,
                input_names=["x"],
                output_names=["y"],
                dynamic_axes={"x": {0: "N"}, "y": {0: "N"}},
                opset_version=OPSET,
                dynamo=False,
            )
            traced = onnx.load(path)
        return scale_resizes(free_batch(traced))

    def weights(self) -> Mapping[str, NDArray[np.generic]]:
        """The state_dict as arrays."""
        return {name: tensor.numpy() for name, tensor in self._module.state_dict().items()}
