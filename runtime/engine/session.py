"""How a graph runs: the one place that knows onnxruntime.

`convert` verifies and times candidates through this module: what is measured is what serves.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from runtime.engine.resources import cpu_count
from runtime.errors import ArtifactError

Feeds = Mapping[str, NDArray[np.generic]]

# What onnxruntime raises while it loads or runs a graph. Its fifteen exception classes (Fail,
# InvalidGraph, NoSuchFile, ...) are direct children of Exception, and wrong feeds are a ValueError:
# a narrower class to catch does not exist.
OnnxruntimeError = Exception


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """Serving options of a session."""

    threads: int = 0  # within one operator; 0: as many as the container's quota allows
    optimized_path: Path | None = None  # where to dump the optimised graph (verification only)


class Session:
    """A loaded graph. Safe to run from several threads at once."""

    def __init__(self, path: Path, options: SessionOptions | None = None) -> None:
        """Load an ONNX file.

        Raises:
            ArtifactError: onnxruntime refuses the file.
        """
        try:
            # by path: from bytes onnxruntime holds a second copy of the weights while loading
            self._session = ort.InferenceSession(
                str(path), _session_options(options or SessionOptions()), ["CPUExecutionProvider"]
            )
        except OnnxruntimeError as error:
            raise ArtifactError(f"{path} is refused by onnxruntime: {error}") from error

    @property
    def metadata(self) -> Mapping[str, str]:
        """The file's metadata_props."""
        metadata: Mapping[str, str] = self._session.get_modelmeta().custom_metadata_map
        return metadata

    def run(
        self, feeds: Feeds, output_names: Sequence[str] | None = None
    ) -> dict[str, NDArray[np.generic]]:
        """Run the graph once.

        Args:
            feeds: arrays by input name, of the graph's dtypes and shapes.
            output_names: the outputs wanted; None for all.

        Returns:
            Arrays by output name, in the order asked for.
        """
        names = list(output_names or (output.name for output in self._session.get_outputs()))
        return dict(zip(names, self._session.run(names, dict(feeds)), strict=True))


def _session_options(options: SessionOptions) -> ort.SessionOptions:
    session_options = ort.SessionOptions()
    # explicit: the default is the host's physical cores, far over a container's quota
    session_options.intra_op_num_threads = options.threads or cpu_count()
    session_options.inter_op_num_threads = 1
    session_options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    # the arena keeps the largest run's memory for ever: +120 MB for u2netp, see DECISIONS.md
    session_options.enable_cpu_mem_arena = False
    # one pattern is kept per input shape, without bound, and the batch axis varies
    session_options.enable_mem_pattern = False
    session_options.log_severity_level = 3
    # a spinning thread burns the quota of a shared vCPU while nothing is asked
    session_options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session_options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    # it rounds the weights of a float convolution between integer ones, one scale for all of them
    session_options.add_session_config_entry(
        "optimization.disable_specified_optimizers", "WeightBiasQuantization"
    )
    if options.optimized_path is not None:
        session_options.optimized_model_filepath = str(options.optimized_path)
    return session_options
