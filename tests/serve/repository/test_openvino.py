"""A real second provider: onnxruntime-openvino, in an environment of its own."""

import os
import re
import subprocess
from pathlib import Path

import httpx
import numpy as np
import pytest

from runtime import load
from runtime.artifact.golden import read_golden
from runtime.artifact.manifest import read_manifest
from runtime.engine.session import SessionOptions
from tests.support.artifacts import (
    CLASSIFIER,
    DETECTOR,
    EMBEDDING,
    GAIT,
    SEGMENTATION,
    SLOW,
    TEXT,
    VOICE,
    write_artifact,
)
from tests.support.server_process import PROJECT, environment, serving

VARIABLE = "SLIPWAY_OPENVINO_PYTHON"
PYTHON = os.environ.get(VARIABLE, "")
pytestmark = pytest.mark.skipif(
    not PYTHON, reason=f"{VARIABLE} names no python with onnxruntime-openvino"
)
GRAPHS = (CLASSIFIER, DETECTOR, EMBEDDING, GAIT, SEGMENTATION, TEXT, VOICE)
DATATYPES = {"uint8": "UINT8", "int64": "INT64", "float32": "FP32"}

# runs until its work is cancelled; then it runs once more, bound and not
CANCELLED = """
import sys, threading, time
from pathlib import Path
import numpy as np
from runtime.engine.cancellation import Cancellation
from runtime.engine.providers import OPENVINO
from runtime.engine.session import Session, SessionOptions
from runtime.errors import CancelledError

session = Session(Path(sys.argv[1]), SessionOptions(threads=1, provider=OPENVINO))
bright = {"image": np.full((1, 8, 8, 1), 255, np.uint8)}
cancellation = Cancellation()
threading.Timer(0.05, cancellation.cancel).start()
try:
    while True:
        session.bound(cancellation).run(bright)
except CancelledError:
    print("cancelled")
print(session.run(bright).keys() == session.bound(Cancellation()).run(bright).keys())
"""
ABSENT_DEVICE = """
from dataclasses import replace
from runtime.engine.providers import OPENVINO, find_providers

device = replace(OPENVINO, options={"device_type": "GPU.9"})
selection = find_providers(["openvino"], table={"openvino": device})
print([provider.name for provider in selection.usable], *selection.skipped)
"""


def output_of(code: str, *arguments: str) -> str:
    """Run code in the environment of OpenVINO; return what it prints."""
    process = subprocess.run(
        [PYTHON, "-c", code, *arguments],
        cwd=PROJECT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


def test_models_run_on_openvino_and_answer_as_on_the_cpu(tmp_path: Path) -> None:
    directories = [write_artifact(tmp_path, graph) for graph in GRAPHS]
    refused = write_artifact(tmp_path, SLOW).parent.name  # a loop
    settings = {
        "SLIPWAY_ARTIFACTS": str(tmp_path),
        "SLIPWAY_PROVIDERS": "tensorrt,cuda,openvino,cpu",
    }
    with serving(python=PYTHON, **settings) as server:
        skipped = [line for line in server.lines if "is skipped" in line]
        assert [line.split()[2] for line in skipped] == ["tensorrt", "cuda"]
        assert all("the package onnxruntime-gpu has it" in line for line in skipped)
        listed = httpx.get(f"{server.url}/v1/models", timeout=60).json()["models"]
        models = {model.pop("id"): model for model in listed}
        assert models[refused]["provider"] == "cpu"
        (warning,) = models.pop(refused)["warnings"]
        assert re.fullmatch(r"not on openvino: .* does not support .* operations.*", warning)
        assert models.keys() == {directory.parent.name for directory in directories}
        assert all(model["provider"] == "openvino" for model in models.values())
        assert all(model["warnings"] == [] for model in models.values())
        for directory in directories:
            manifest = read_manifest(directory)
            feeds = read_golden(directory, manifest).feeds(0)
            expected = load(directory, options=SessionOptions(threads=1)).run(feeds)
            inputs = [
                {
                    "name": tensor.name,
                    "datatype": DATATYPES[tensor.dtype],
                    "shape": feeds[tensor.name].shape,
                    "data": feeds[tensor.name].ravel().tolist(),
                }
                for tensor in manifest.spec.inputs
            ]
            url = f"{server.url}/v2/models/{manifest.id}/infer"
            answer = httpx.post(url, json={"inputs": inputs}, timeout=30)
            assert answer.status_code == 200, answer.text
            for output in answer.json()["outputs"]:
                array = np.array(output["data"], np.float64).reshape(output["shape"])
                reference = expected[output["name"]].astype(np.float64)
                np.testing.assert_allclose(array, reference, atol=1e-4, rtol=1e-4)


def test_a_device_that_is_absent_is_skipped_with_openvinos_reason() -> None:
    text = output_of(ABSENT_DEVICE)
    assert text.startswith("['cpu'] provider openvino is skipped: ")
    assert "GPU.9" in text


def test_cancelled_work_ends_under_openvino_too(tmp_path: Path) -> None:
    directory = write_artifact(tmp_path, CLASSIFIER)
    assert output_of(CANCELLED, str(directory / "float.onnx")) == "cancelled\nTrue\n"
