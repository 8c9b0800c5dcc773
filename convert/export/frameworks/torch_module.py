"""Torch modules as networks."""

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

TRACED_SIZE = 8  # of an axis of any size, in the sample that the exporter traces with


class TorchNetwork:
    """A torch.nn.Module in eval mode."""

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
            input_shape: (C, H, W) of one sample; short for `inputs` of a single image.
            inputs: shape of one sample by input name, in the order of `method`'s parameters; a
                string is an axis of any size.
            dtypes: by input name, where it is not float32: "int64".
            outputs: number of tensors that `method` returns.
            method: name of the module's method that maps inputs to outputs.

        Raises:
            ValueError: both of `input_shape` and `inputs` are given, or neither.
        """
        import torch

        if (input_shape is None) == (inputs is None):
            raise ValueError("TorchNetwork takes either input_shape or inputs")

        class Method(torch.nn.Module):
            """The module with `method` as forward, because the exporter traces forward."""

            def __init__(self) -> None:
                super().__init__()
                self.inner = module

            def forward(self, *tensors: torch.Tensor) -> Any:
                return getattr(self.inner, method)(*tensors)

        self._module = Method().eval()
        self._inputs = dict(inputs) if inputs is not None else {"x": input_shape or ()}
        self._dtypes = dict(dtypes or {})
        self._outputs = ["y"] if outputs == 1 else [f"y{i}" for i in range(outputs)]

    def forward(self, *inputs: NDArray[Any]) -> tuple[NDArray[np.float32], ...]:
        """Run the module, one sample at a time; see `Network.forward`.

        Raises:
            RecipeError: the module returns other things than the number of tensors stated.
        """
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
            # the tracing exporter warns that it is the older one. It is preferred: node names have
            # no source paths, it takes one second instead of ten, and writes a single file
            warnings.simplefilter("ignore")
            try:
                with _without_stdout():
                    torch.onnx.export(
                        self._module,
                        tuple(map(self._zeros, self._inputs)),
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

    def _zeros(self, name: str) -> Any:
        """Return one sample of an input to trace with."""
        import torch

        sizes = (TRACED_SIZE if isinstance(size, str) else size for size in self._inputs[name])
        return torch.zeros(1, *sizes, dtype=getattr(torch, self._dtypes.get(name, "float32")))

    def _tensors(self, returned: Any) -> tuple[Any, ...]:
        """Return what the module returned, checked to be one tensor per output."""
        import torch

        values = tuple(returned) if isinstance(returned, tuple | list) else (returned,)
        if len(values) != len(self._outputs) or not all(map(torch.is_tensor, values)):
            types = ", ".join(type(value).__name__ for value in values)
            raise RecipeError(
                f"the module returns {types}; the recipe says {len(self._outputs)} tensors: "
                "TorchNetwork(outputs=...), or method=... of a method that returns them"
            )
        return values

    def weights(self) -> Mapping[str, NDArray[np.generic]]:
        """Return the state_dict as arrays."""
        return {name: tensor.numpy() for name, tensor in self._module.state_dict().items()}


@contextmanager
def _without_stdout() -> Iterator[None]:
    """Discard what native code prints: the exporter prints the whole graph when it fails."""
    sys.stdout.flush()
    stdout = os.dup(1)
    null_device = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null_device, 1)
    try:
        yield
    finally:
        os.dup2(stdout, 1)
        os.close(stdout)
        os.close(null_device)
