"""Execution providers of onnxruntime: what they are, and which of those asked for start here."""

import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import onnxruntime as ort

from runtime.engine.resources import cpu_count
from runtime.errors import InputError

START_S = 60.0  # a provider that has not started then is skipped; CUDA takes seconds
LONGEST_REASON = 300  # characters

# y = x of shape (1,): an ONNX file of 65 bytes, to start a provider with
_IDENTITY = (
    "08083a370a100a017812017922084964656e746974791201675a0f0a0178120a0a08080112040a02"
    "0801620f0a0179120a0a08080112040a02080142040a00100d"
)
# In a process of its own: its log is the only place that has the reason of a failure, and a driver
# that crashes or hangs takes that process with it. On standard output: the providers in effect.
_START = f"""
import json, sys
import onnxruntime as ort
graph, options = bytes.fromhex("{_IDENTITY}"), ort.SessionOptions()
provider = (sys.argv[1], json.loads(sys.argv[2]))
print(ort.InferenceSession(graph, options, [provider], enable_fallback=0).get_providers()[0])
"""
_ERROR = re.compile(r"\[E:onnxruntime:[^\]]*\] (.*)")
_REASON = re.compile(r" : FAIL : |\[ERROR\] ")  # the text after it is for people


@dataclass(frozen=True, slots=True)
class Provider:
    """An execution provider: code that runs the operators of a graph, on a CPU or a GPU."""

    name: str  # as in SLIPWAY_PROVIDERS
    registered: str  # as onnxruntime calls it
    package: str  # the build of onnxruntime that has it
    on_gpu: bool = False
    options: Mapping[str, str] = field(default_factory=dict)
    has_streams: bool = False  # it runs as many requests in parallel as it has streams

    def options_for(self, threads: int) -> dict[str, str]:
        """Return the provider's options for runs of a number of threads, one run per CPU."""
        if not self.has_streams:
            return dict(self.options)
        streams = max(1, cpu_count() // threads)
        of_all = {"num_streams": str(streams), "num_of_threads": str(streams * threads)}
        return {**self.options, **of_all}


CPU = Provider("cpu", "CPUExecutionProvider", "onnxruntime")
OPENVINO = Provider(
    "openvino",
    "OpenVINOExecutionProvider",
    "onnxruntime-openvino",
    # on its own OpenVINO rounds to bf16 where the CPU has it
    options={"device_type": "CPU", "precision": "FP32"},
    has_streams=True,
)
CUDA = Provider(
    "cuda",
    "CUDAExecutionProvider",
    "onnxruntime-gpu",
    on_gpu=True,
    # TF32 has 10 bits of fraction; an exhaustive search for algorithms repeats for each batch size
    options={"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"},
)
TENSORRT = Provider("tensorrt", "TensorrtExecutionProvider", "onnxruntime-gpu", on_gpu=True)
PROVIDERS: Mapping[str, Provider] = {p.name: p for p in (TENSORRT, CUDA, OPENVINO, CPU)}


@dataclass(frozen=True, slots=True)
class Providers:
    """The providers that start here, in the order of preference, and why others do not."""

    usable: tuple[Provider, ...]  # the last one is the CPU's
    skipped: tuple[str, ...] = ()  # a sentence for each that was asked for in vain


def find_providers(
    names: Sequence[str],
    *,
    disable_gpu: bool = False,
    table: Mapping[str, Provider] = PROVIDERS,
) -> Providers:
    """Return the providers of these names that start on this machine.

    Each but the CPU's is started once in a process of its own, with a graph of one operator. The
    CPU's provider runs what no other does: it comes last if it is not named.

    Args:
        names: in the order of preference; what follows "cpu" is never reached.
        disable_gpu: skip the providers that run on a GPU.
        table: the providers by name.

    Raises:
        InputError: a name is unknown.
    """
    usable, skipped = list[Provider](), list[str]()
    for name in names:
        if name not in table:
            raise InputError(f"provider {name!r} is unknown; allowed: {', '.join(table)}")
        if name == CPU.name:
            break
        reason = _reason_to_skip(table[name], disable_gpu=disable_gpu)
        if reason:
            skipped.append(f"provider {name} is skipped: {reason}")
        else:
            usable.append(table[name])
    return Providers((*usable, CPU), tuple(skipped))


def registration(provider: Provider, threads: int) -> list[tuple[str, dict[str, str]]]:
    """Return what onnxruntime registers: the provider, and those that run the rest of a graph."""
    rest = [CUDA, CPU] if provider == TENSORRT else [CPU]
    present = ort.get_available_providers()
    behind = [p for p in rest if p != provider and p.registered in present]
    return [(p.registered, p.options_for(threads)) for p in (provider, *behind)]


def _reason_to_skip(provider: Provider, *, disable_gpu: bool) -> str:
    """Return why a provider cannot be used, or ""."""
    if disable_gpu and provider.on_gpu:
        return "it runs on a GPU, and DISABLE_GPU is set"
    present = ort.get_available_providers()
    if provider.registered not in present:
        here = [p.name for p in PROVIDERS.values() if p.registered in present]
        return (
            f"onnxruntime {ort.__version__} is installed with {', '.join(here)} alone; "
            f"the package {provider.package} has it"
        )
    return _failure_to_start(provider)


def _failure_to_start(provider: Provider) -> str:
    """Start a provider in a process of its own; return why it does not start, or ""."""
    command = [sys.executable, "-c", _START, provider.registered]
    try:
        process = subprocess.run(
            [*command, json.dumps(provider.options_for(threads=1))],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=START_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"it did not start within {START_S:.0f} s"
    if process.returncode < 0:
        return f"signal {-process.returncode} ended the process that started it"
    if process.stdout.decode(errors="replace").split()[-1:] == [provider.registered]:
        return ""
    return _reason_in(process.stderr.decode(errors="replace"))


def _reason_in(log: str) -> str:
    """Return the reason in what a process that started a provider wrote to standard error."""
    errors = _ERROR.findall(log) or log.strip().splitlines()[-1:]  # of a traceback
    text = _REASON.split(errors[0])[-1] if errors else ""
    return text.strip()[:LONGEST_REASON] or "it does not start, without a reason"
