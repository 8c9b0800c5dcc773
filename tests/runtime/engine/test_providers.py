"""Providers: absent ones, ones that do not start, their order, and what onnxruntime says of them.

The deployed onnxruntime has a second provider, Azure's, which starts and runs no operator here.
"""

from pathlib import Path

import numpy as np
import pytest

from runtime.engine import providers
from runtime.engine.providers import CPU, CUDA, OPENVINO, TENSORRT, Provider, find_providers
from runtime.engine.resources import cpu_count
from runtime.engine.session import Session, SessionOptions
from runtime.errors import InputError, ProviderError
from tests.support.artifacts import CLASSIFIER, DATA

AZURE = Provider("azure", "AzureExecutionProvider", "onnxruntime")
TABLE = {**providers.PROVIDERS, "azure": AZURE}
# what onnxruntime-gpu 1.31.1 writes on a machine without CUDA
LOG = """\x1b[1;31m2026-11-29 22:47:20.2 [E:onnxruntime:Default, bridge.cc:2458 operator()] \
/onnxruntime_src/onnxruntime/core/session/provider_bridge_ort.cc:2043 onnxruntime::Provider& \
onnxruntime::ProviderLibrary::Get() [ONNXRuntimeError] : 1 : FAIL : Failed to load library \
libonnxruntime_providers_cuda.so with error: libcublasLt.so.13: cannot open shared object file
\x1b[m
\x1b[0;93m2026-11-29 22:47:20.2 [W:onnxruntime:Default, onnxruntime_pybind_state.cc:1295 Create] \
Failed to create CUDAExecutionProvider. Require cuDNN 9.* and CUDA 13.*.\x1b[m
"""


def in_the_process_that_starts_it(
    code: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[str, ...]:
    """Run code at the beginning of the process that starts Azure's provider; return the reasons."""
    (folder / "sitecustomize.py").write_text(f"import os, sys, time\n{code}\n", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    selection = find_providers(["azure", "cpu"], table=TABLE)
    assert selection.usable == (CPU,)
    return selection.skipped


def test_without_a_wish_the_cpu_runs_everything() -> None:
    assert find_providers(["cpu"]) == find_providers([]) == providers.Providers((CPU,))


def test_absent_providers_are_skipped_each_with_its_name_and_package() -> None:
    selection = find_providers(["tensorrt", "openvino", "cpu"])
    assert selection.usable == (CPU,)
    tensorrt, openvino = selection.skipped
    assert tensorrt.startswith("provider tensorrt is skipped: onnxruntime 1.")
    assert tensorrt.endswith("installed with cpu alone; the package onnxruntime-gpu has it")
    assert openvino.startswith("provider openvino is skipped: ")
    assert openvino.endswith("the package onnxruntime-openvino has it")


def test_the_order_is_kept_and_the_cpu_ends_it() -> None:
    assert find_providers(["azure"], table=TABLE).usable == (AZURE, CPU)
    assert find_providers(["cpu", "azure", "cuda"], table=TABLE) == providers.Providers((CPU,))


def test_disable_gpu_skips_the_providers_of_gpus_alone() -> None:
    selection = find_providers(["tensorrt", "cuda", "azure"], disable_gpu=True, table=TABLE)
    assert selection.usable == (AZURE, CPU)
    assert selection.skipped == tuple(
        f"provider {name} is skipped: it runs on a GPU, and DISABLE_GPU is set"
        for name in ("tensorrt", "cuda")
    )


def test_an_unknown_provider_is_refused() -> None:
    with pytest.raises(InputError, match="'vulkan' is unknown; allowed: tensorrt, cuda, openvino"):
        find_providers(["vulkan"])


def test_the_reason_of_a_failure_is_that_of_onnxruntime(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = f"sys.stderr.write({LOG!r}); print('CPUExecutionProvider', flush=True); os._exit(0)"
    assert in_the_process_that_starts_it(code, tmp_path, monkeypatch) == (
        "provider azure is skipped: Failed to load library libonnxruntime_providers_cuda.so "
        "with error: libcublasLt.so.13: cannot open shared object file",
    )


def test_a_driver_that_crashes_takes_no_server_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "os.kill(os.getpid(), 11)"
    assert in_the_process_that_starts_it(code, tmp_path, monkeypatch) == (
        "provider azure is skipped: signal 11 ended the process that started it",
    )


def test_a_driver_that_hangs_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "START_S", 0.5)
    (reason,) = in_the_process_that_starts_it("time.sleep(60)", tmp_path, monkeypatch)
    assert reason.startswith("provider azure is skipped: it did not start within")


def test_an_exception_is_a_reason_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('libcudart is missing')")
    reasons = in_the_process_that_starts_it("", tmp_path, monkeypatch)
    assert reasons == ("provider azure is skipped: ImportError: libcudart is missing",)


def test_the_provider_of_a_session_is_the_one_in_effect() -> None:
    path = DATA / f"{CLASSIFIER}.onnx"
    assert Session(path, SessionOptions(threads=1)).provider == "cpu"
    with (
        pytest.warns(UserWarning, match="CUDAExecutionProvider"),  # onnxruntime falls back
        pytest.raises(ProviderError, match="CPUExecutionProvider is in effect; cuda did not start"),
    ):
        Session(path, SessionOptions(threads=1, provider=CUDA))
    with pytest.raises(ProviderError, match="azure runs none of its operators"):
        Session(path, SessionOptions(threads=1, provider=AZURE))


def test_each_provider_gets_its_own_options() -> None:
    for threads, streams in ((1, cpu_count()), (4 * cpu_count(), 1)):
        options = {
            "device_type": "CPU",
            "precision": "FP32",
            "num_streams": str(streams),
            "num_of_threads": str(streams * threads),
        }
        assert providers.registration(OPENVINO, threads) == [
            ("OpenVINOExecutionProvider", options),
            ("CPUExecutionProvider", {}),
        ]
    assert providers.registration(CPU, 3) == [("CPUExecutionProvider", {})]
    # CUDA's would run the rest of a graph, where it is installed
    assert [name for name, _ in providers.registration(TENSORRT, 1)] == [
        "TensorrtExecutionProvider",
        "CPUExecutionProvider",
    ]


def test_the_process_that_starts_a_provider_holds_a_graph_that_runs() -> None:
    import onnxruntime as ort

    session = ort.InferenceSession(bytes.fromhex(providers._IDENTITY))
    (y,) = session.run(None, {"x": np.array([3], np.float32)})
    assert y.tolist() == [3]
