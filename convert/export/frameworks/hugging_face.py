"""Models of Hugging Face's transformers as networks, exported by optimum."""

import importlib
import os
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from convert.errors import ConvertError
from convert.export.frameworks import forward_by_row
from runtime.errors import one_line

# set before the import. Otherwise transformers imports TensorFlow, which does not work with torch
# in one process, and asks the hub, which is left to the downloader
SETTINGS = {
    "USE_TF": "0",
    "USE_FLAX": "0",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
}


def import_transformers() -> ModuleType:
    """Import transformers with settings of this project: torch alone, offline."""
    os.environ.update(SETTINGS)
    import transformers as library

    return library


class TransformersNetwork:
    """A PreTrainedModel in eval mode, of a task that optimum exports."""

    framework = "transformers"

    def __init__(self, module: Any, *, task: str, outputs: tuple[str, ...]) -> None:
        """Wrap a module.

        Args:
            module: transformers.PreTrainedModel, loaded; put into eval mode.
            task: optimum's name for it; optimum decides the graph's inputs and outputs by it.
            outputs: names of the outputs to use, as fields of what the module returns.
        """
        self._module = module.eval()
        self._task = task
        self._outputs = outputs

    def forward(self, *inputs: NDArray[Any]) -> tuple[NDArray[np.float32], ...]:
        """Run the module, one sample at a time; see `Network.forward`."""
        import torch

        names = list(self._configuration().inputs)

        def call(*arrays: NDArray[Any]) -> list[NDArray[Any]]:
            returned = self._module(**dict(zip(names, map(torch.from_numpy, arrays), strict=True)))
            return [returned[name].numpy() for name in self._outputs]

        with torch.inference_mode():
            return forward_by_row(call, inputs)

    def export(self) -> onnx.ModelProto:
        """Export with optimum's configuration for the architecture; see `Network.export`.

        Raises:
            ConvertError: optimum cannot export the module.
        """
        from convert.export.graph.opset import OPSET
        from convert.export.graph.surgery import free_batch, simplify

        with tempfile.TemporaryDirectory(prefix="slipway-") as directory, warnings.catch_warnings():
            path = Path(directory, "exported.onnx")
            warnings.simplefilter("ignore")  # torch's tracer warns of branches that shapes decide
            try:
                _optimum("onnx.convert").export_pytorch(
                    self._module, self._configuration(), OPSET, path
                )
            except Exception as error:  # torch's exporter, and whatever the module raises
                raise ConvertError(
                    f"optimum cannot export the module: {one_line(error)}"
                ) from error
            exported = onnx.load(path)
        return simplify(free_batch(exported))

    def weights(self) -> Mapping[str, NDArray[np.generic]]:
        """Return the state_dict as arrays."""
        return {name: tensor.numpy() for name, tensor in self._module.state_dict().items()}

    def _configuration(self) -> Any:
        _optimum("onnx.model_configs")  # registers the architectures
        construct = _optimum("tasks").TasksManager.get_exporter_config_constructor(
            "onnx", model=self._module, task=self._task, library_name="transformers"
        )
        return construct(self._module.config)


def _optimum(name: str) -> Any:
    import_transformers()
    return importlib.import_module(f"optimum.exporters.{name}")
