"""Run a graph with onnxruntime.

`convert` verifies and times its candidates with this module too, so that it measures the settings
that serve.
"""

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from runtime.engine.cancellation import Cancellation
from runtime.engine.providers import CPU, LONGEST_REASON, PROVIDERS, Provider, registration
from runtime.engine.resources import cpu_count
from runtime.errors import ArtifactError, ProviderError, one_line

Feeds = Mapping[str, NDArray[np.generic]]
Outputs = dict[str, NDArray[np.generic]]
Around = Callable[[Feeds], AbstractContextManager[None]]
# returns the outputs of these names: those of the function, which runs the graph, or equal ones
Recall = Callable[[Feeds, Sequence[str], Callable[[], Outputs]], Outputs]
# runs a graph in the place of a session, for the feeds and the names of the outputs
Runner = Callable[[Feeds, Sequence[str]], Outputs]

# What onnxruntime raises while it loads or runs a graph. Its fifteen exception classes (Fail,
# InvalidGraph, NoSuchFile, ...) are direct children of Exception, and wrong feeds are a ValueError:
# a narrower class to catch does not exist.
OnnxruntimeError = Exception

_SAVE_PACKED = {
    "session.save_external_prepacked_constant_initializers": "1",
    "session.optimized_model_external_initializers_min_size_in_bytes": "1024",
}


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """The options of a session; the defaults are those that serve."""

    threads: int = 0  # within one operator; 0: the CPUs of the container's quota
    provider: Provider = CPU  # runs the graph; the CPU's runs the operators that it does not have
    optimized_path: Path | None = None  # file for the optimised graph; for verification only
    packed_path: Path | None = None  # the same with its weights, and these as packed, in files


class Session:
    """A loaded graph. Safe to run from several threads at once."""

    provider: str  # its name; onnxruntime was asked whether it is in effect
    operators_by_provider: Mapping[str, int]  # how many each runs; those of the CPU's session: 0
    first_run_s: float | None = None  # usually a warm-up, which takes longer than later runs
    first_feed_bytes: int = 0  # the size of its inputs
    _cancellation: Cancellation | None = None
    _around: Around = staticmethod(lambda feeds: nullcontext())
    _recall: Recall = staticmethod(lambda feeds, names, run: run())
    _runner: Runner | None = None

    def __init__(self, path: Path, options: SessionOptions | None = None) -> None:
        """Load an ONNX file.

        Raises:
            ArtifactError: onnxruntime refuses the file.
            ProviderError: the provider, which is not the CPU's, does not start or refuses the file.
        """
        options = options or SessionOptions()
        threads = options.threads or cpu_count()
        try:
            # from bytes onnxruntime would hold a second copy of the weights while it loads
            self._session = ort.InferenceSession(
                str(path),
                _session_options(options, threads),
                registration(options.provider, threads),
                enable_fallback=0,  # it would print to standard output and run on the CPU
            )
        except OnnxruntimeError as error:
            if options.provider != CPU:
                text = one_line(error, most=100_000)[-LONGEST_REASON:]  # the reason comes last
                raise ProviderError(f"{path} is refused: {text}") from error
            raise ArtifactError(f"{path} is refused by onnxruntime: {error}") from error
        self.provider = options.provider.name
        effective = self._session.get_providers()[0]
        if effective != options.provider.registered:
            raise ProviderError(f"{path}: {effective} is in effect; {self.provider} did not start")
        self.operators_by_provider = _operators_by_provider(self._session, options.provider)
        if self.provider not in self.operators_by_provider:
            raise ProviderError(f"{path}: {self.provider} runs none of its operators")

    @property
    def metadata(self) -> Mapping[str, str]:
        """Return the metadata_props of the ONNX file."""
        metadata: Mapping[str, str] = self._session.get_modelmeta().custom_metadata_map
        return metadata

    def bound(
        self,
        cancellation: Cancellation,
        around: Around = lambda feeds: nullcontext(),
        recall: Recall | None = None,
    ) -> "Session":
        """Return this session for one piece of work; the loaded graph is shared.

        Args:
            cancellation: ends a run within some milliseconds, and refuses later ones. onnxruntime
                stops between two operators; OpenVINO and TensorRT make one operator of many, so a
                run of theirs may go on to its end.
            around: makes a context of the feeds that surrounds each run; the run begins when it is
                entered.
            recall: decides for each run whether outputs that are known take its place; None: never.
        """
        session = copy.copy(self)
        session._cancellation = cancellation
        session._around = around
        session._recall = recall or self._recall
        return session

    def run_by(self, runner: Runner) -> "Session":
        """Return this session, with a function that makes its runs; the loaded graph is shared."""
        session = copy.copy(self)
        session._runner = runner
        return session

    def run(self, feeds: Feeds, output_names: Sequence[str] | None = None) -> Outputs:
        """Run the graph once.

        Args:
            feeds: arrays by input name, of the graph's dtypes and shapes.
            output_names: outputs to return; None for all.

        Returns:
            Arrays by output name, in the order of `output_names`.

        Raises:
            CancelledError: the session is bound, and its work was cancelled before or meanwhile.
        """
        names = list(output_names or (output.name for output in self._session.get_outputs()))

        def run() -> Outputs:
            if self._runner is not None:
                return self._runner(feeds, names)
            with self._around(feeds):
                arrays = self._run(names, dict(feeds))
            return dict(zip(names, arrays, strict=True))

        return self._recall(feeds, names, run)

    def _run(
        self, names: Sequence[str], feeds: dict[str, NDArray[np.generic]]
    ) -> Sequence[NDArray[np.generic]]:
        if self._cancellation is None:
            start_s = time.perf_counter()
            arrays: Sequence[NDArray[np.generic]] = self._session.run(names, feeds)
            if self.first_run_s is None:
                self.first_run_s = time.perf_counter() - start_s
                self.first_feed_bytes = feed_bytes(feeds)
            return arrays
        options = ort.RunOptions()  # of this run alone: one that was terminated stays so
        options.log_severity_level = 4  # a terminated run is no error

        def terminate() -> None:
            options.terminate = True

        with self._cancellation.stopping(terminate):
            try:
                arrays = self._session.run(names, feeds, options)
            except OnnxruntimeError:
                self._cancellation.check()
                raise
        self._cancellation.check()  # a provider may run the whole graph as one operator
        return arrays


def feed_bytes(feeds: Feeds) -> int:
    """Return the size of the inputs of a run."""
    return sum(array.nbytes for array in feeds.values())


def _operators_by_provider(session: ort.InferenceSession, provider: Provider) -> dict[str, int]:
    """Return how many operators of a graph each provider runs, by the provider's name."""
    if provider == CPU:
        return {CPU.name: 0}  # all; onnxruntime records them for other providers alone
    names = {p.registered: p.name for p in (*PROVIDERS.values(), provider)}
    counts = dict[str, int]()
    for part in session.get_provider_graph_assignment_info():
        name = names.get(part.ep_name, part.ep_name)
        counts[name] = counts.get(name, 0) + len(part.get_nodes())
    return counts


def _session_options(options: SessionOptions, threads: int) -> ort.SessionOptions:
    session_options = ort.SessionOptions()
    # the default is the number of the host's physical cores, far over a container's quota
    session_options.intra_op_num_threads = threads
    session_options.inter_op_num_threads = 1
    session_options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    # the arena never frees the memory of the largest run: +120 MB for u2netp, see DECISIONS.md
    session_options.enable_cpu_mem_arena = False
    # onnxruntime keeps a pattern per input shape, without bound, and the batch axis varies
    session_options.enable_mem_pattern = False
    session_options.log_severity_level = 3
    # a spinning thread uses up the quota of a shared vCPU between requests
    session_options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session_options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    # this optimizer would round the weights of a float convolution that lies between integer ones,
    # with one scale for all channels
    session_options.add_session_config_entry(
        "optimization.disable_specified_optimizers", "WeightBiasQuantization"
    )
    if options.provider != CPU:
        session_options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    path = options.packed_path or options.optimized_path
    if path is not None:
        session_options.optimized_model_filepath = str(path)
    if options.packed_path is not None:
        for name, value in _SAVE_PACKED.items():
            session_options.add_session_config_entry(name, value)
        name = "session.optimized_model_external_initializers_file_name"
        session_options.add_session_config_entry(name, f"{options.packed_path.name}.data")
    return session_options
