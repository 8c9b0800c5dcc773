"""A torch module as a `Network`."""

import os
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from convert.errors import ConvertError, RecipeError
from convert.export.frameworks import forward_by_row
from runtime.errors import one_line

TRACED = 8  # values along an axis of any size, of what the exporter traces with


class TorchNetwork:
    """An nn.Module in eval mode."""

    framework = "torch"

    def __init__(
        self,
        module: Any,
        *,
        input_shape: tuple[int, int, int] | None = None,
        inputs: Mapping[str, tuple[int | str, ...]] | None = None,
        dtypes: Mapping[str, str] | None = None,
        outputs: int = 1,
        method: str = "forward",
    ):
        """Wrap a module.

        Args:
            module: torch.nn.Module, loaded; put into eval mode.
            input_shape: (C, H, W) of one sample: the short form for a single image.
            inputs: shape of one sample of each input, in the order that `method` takes them; a
                string is an axis of any size.
            dtypes: of inputs that are not float32, by name: "int64".
            outputs: how many tensors `method` returns.
            method: which of the module's methods maps inputs to outputs.

        Raises:
            ValueError: not exactly one of `input_shape` and `inputs`.
        """
        import torch

        if (input_shape is None) == (inputs is None):
            raise ValueError("TorchNetwork takes either input_shape or inputs")

        class Called(torch.nn.Module):
            """`method` as forward, which is what the exporter traces."""

            def __init__(self) -> None:
                super().__init__()
                self.inner = module

            def forward(self, *tensors: torch.Tensor) -> Any:
                return getattr(self.inner, method)(*tensors)

        self._module = Called().eval()
        self._inputs = dict(inputs) if inputs is not None else {"x": input_shape or ()}
        self._dtypes = dict(dtypes or {})
        self._outputs = ["y"] if outputs == 1 else [f"y{i}" for i in range(outputs)]

    def forward(self, *inputs: NDArray[Any]) -> tuple[NDArray[np.float32], ...]:
        """Arrays (N, ...) to the raw outputs, row by row so that memory stays flat."""
        import torch

        def call(*arrays: NDArray[Any]) -> list[NDArray[Any]]:
            returned = self._module(*map(torch.from_numpy, arrays))
            return [tensor.numpy() for tensor in self._tensors(returned)]

        with torch.inference_mode():
            return forward_by_row(call, inputs)

    def export(self) -> onnx.ModelProto:
        """Trace to ONNX; see `Network.export`.

        Raises:
            ConvertError: an operator has no ONNX form, or the module computes outside torch.
        """
        import torch

        from convert.export.graph.opset import OPSET
        from convert.export.graph.surgery import free_batch, scale_resizes

        axes = {name: {0: "N"} for name in (*self._inputs, *self._outputs)}
        for name, shape in self._inputs.items():
            axes[name] |= {i: size for i, size in enumerate(shape, 1) if isinstance(size, str)}
        with tempfile.TemporaryDirectory(prefix="slipway-") as directory, warnings.catch_warnings():
            path = Path(directory, "traced.onnx")
            # the tracing exporter warns that it is the older one; it is ours on purpose: node names
            # without source paths, one second instead of ten, no weights beside the file
            warnings.simplefilter("ignore")
            try:
                with _without_stdout():
                    torch.onnx.export(
                        self._module,
                        tuple(map(self._blank, self._inputs)),
                        path,
                        input_names=list(self._inputs),
                        output_names=self._outputs,
                        dynamic_axes=axes,
                        opset_version=OPSET,
                        dynamo=False,
                    )
            except Exception as error:  # torch's exporter, and whatever the module raises
                raise ConvertError(f"torch cannot export the module: {one_line(error)}") from error
            traced = onnx.load(path)
        return scale_resizes(free_batch(traced))

    def _blank(self, name: str) -> Any:
        """One sample of zeros to trace with."""
        import torch

        sizes = (TRACED if isinstance(size, str) else size for size in self._inputs[name])
        return torch.zeros(1, *sizes, dtype=getattr(torch, self._dtypes.get(name, "float32")))

    def _tensors(self, given: Any) -> tuple[Any, ...]:
        """What the module returned, one tensor per output."""
        import torch

        several = tuple(given) if isinstance(given, tuple | list) else (given,)
        if len(several) != len(self._outputs) or not all(map(torch.is_tensor, several)):
            found = ", ".join(type(each).__name__ for each in several)
            raise RecipeError(
                f"the module returns {found}; the recipe says {len(self._outputs)} tensors: "
                "TorchNetwork(outputs=...), or method=... of a method that returns them"
            )
        return several

    def weights(self) -> Mapping[str, NDArray[np.generic]]:
        """The state_dict as arrays."""
        return {name: tensor.numpy() for name, tensor in self._module.state_dict().items()}


@contextmanager
def _without_stdout() -> Iterator[None]:
    """Native output to nowhere: where the exporter fails, it prints the whole graph."""
    sys.stdout.flush()
    kept = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)
