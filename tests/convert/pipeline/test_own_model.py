"""Run every block of convert/README.md; each artifact must answer as its framework does.

The whole path: bytes in, result out, against the framework with its own preprocessing.
"""

import os
import re
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch  # noqa: TID253 - in a process without TensorFlow
from PIL import Image

import runtime
from runtime.artifact.manifest import read_manifest
from runtime.results import Classification
from tests.convert.support.command_line import PROJECT
from tests.convert.support.keras_process import in_keras

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# \.\./mine/(\w+\.py)\n")
LABELS = ("red", "green", "blue")
# probabilities: half a grey level of each pixel's rounding; and what the recipes allow to INT8
FLOAT_TOLERANCE, INT8_TOLERANCE = 5e-3, 0.03
CONVERT, RUN = ".venv-convert/bin/python -m convert run ", ".venv/bin/python -m runtime run "

pytestmark = [
    pytest.mark.slow,  # two scripts train, six conversions run
    pytest.mark.skipif(
        not all((PROJECT / name / "bin/python").exists() for name in (".venv", ".venv-convert")),
        reason="both environments are needed: make lint creates them",
    ),
]


@dataclass(frozen=True)
class Walkthrough:
    """The files that the page's blocks and commands wrote, and what the commands printed."""

    mine: Path
    artifacts: Path
    outputs: dict[str, str]  # by command

    def answer(self, model: str) -> np.ndarray:
        photo = (self.mine / "photo.png").read_bytes()
        result = runtime.load(self.artifacts / model).predict(photo)
        assert isinstance(result, Classification)
        assert result.labels == LABELS
        return result.probabilities

    def assert_answers(self, model: str, expected: np.ndarray) -> None:
        best = read_manifest(self.artifacts / model / "1").variants[0]
        tolerance = FLOAT_TOLERANCE if best.precision == "float" else INT8_TOLERANCE
        np.testing.assert_allclose(self.answer(model), expected, atol=tolerance)


def page() -> list[tuple[str, str]]:
    """Return language and text of each block."""
    text = (PROJECT / "convert/README.md").read_text(encoding="utf-8")
    return [(match[1], match[2]) for match in BLOCK.finditer(text)]


def run(line: str, directory: Path) -> str:
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        shlex.split(line),
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def walkthrough(tmp_path_factory: pytest.TempPathFactory) -> Walkthrough:
    """Follow the page in a checkout of links, so that it leaves nothing in this one."""
    directory = tmp_path_factory.mktemp("own")
    checkout, mine = directory / "checkout", directory / "mine"
    checkout.mkdir()
    mine.mkdir()
    for name in ("convert", "runtime", ".venv", ".venv-convert"):
        (checkout / name).symlink_to(PROJECT / name)
    outputs: dict[str, str] = {}
    for language, text in page():
        header = FILE.match(text)
        if language == "python" and header:
            (mine / header[1]).write_text(text, encoding="utf-8")
            if header[1].startswith("make_"):
                run(f"{PROJECT / '.venv-convert/bin/python'} {header[1]}", mine)
        elif language == "sh":
            outputs |= {line: run(line, checkout) for line in text.splitlines()}
    return Walkthrough(mine, checkout / "artifacts", outputs)


def test_every_block_is_a_file_or_commands_of_a_known_kind() -> None:
    files = []
    for language, text in page():
        assert language in ("python", "sh")
        if language == "sh":
            assert all(line.startswith((CONVERT, RUN)) for line in text.splitlines()), text
        else:
            header = FILE.match(text)
            assert header, text
            files.append(header[1])
    assert files == [
        *("make_torch.py", "colour_torch.py", "make_keras.py", "colour_keras.py"),
        *("colour_onnx.py", "colour_nhwc.py"),
    ]


def test_the_commands_package_and_answer(walkthrough: Walkthrough) -> None:
    conversions = {
        line: output for line, output in walkthrough.outputs.items() if line.startswith(CONVERT)
    }
    assert len(conversions) == 5
    # the .h5 holds what the .keras does: the same graph to the last byte, and no new version
    endings = ["(unchanged)" if ".h5" in line else "(packaged)" for line in conversions]
    for output, ending in zip(conversions.values(), endings, strict=True):
        assert "pretrained" in output
        assert ending in output
    answers = [output for line, output in walkthrough.outputs.items() if line.startswith(RUN)]
    assert len(answers) == 4
    for output in answers:
        assert any(label in output for label in LABELS)


def torch_answer(mine: Path) -> np.ndarray:
    """Answer with torch alone: PIL's bilinear to 32 x 32, pixel / 255, the net, softmax."""
    nn = torch.nn
    net = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 3),
    ).eval()  # fmt: skip
    net.load_state_dict(torch.load(mine / "colour.pth", weights_only=True))
    photo = Image.open(mine / "photo.png").convert("RGB")
    pixels = np.asarray(photo.resize((32, 32), Image.Resampling.BILINEAR), np.float32) / 255
    with torch.inference_mode():
        logits = net(torch.from_numpy(pixels.transpose(2, 0, 1).copy())[None])
    return torch.softmax(logits, dim=1)[0].numpy()


def test_torch_whole_path(walkthrough: Walkthrough) -> None:
    expected = torch_answer(walkthrough.mine)
    walkthrough.assert_answers("colour_torch", expected)
    walkthrough.assert_answers("colour_onnx", expected)  # the same net as an ONNX file


def test_keras_whole_path(walkthrough: Walkthrough) -> None:
    photo = str(walkthrough.mine / "photo.png")
    expected = np.array(in_keras("answer", str(walkthrough.mine / "colour.keras"), photo))
    walkthrough.assert_answers("colour_keras", expected)
    walkthrough.assert_answers("colour_nhwc", expected)  # the same model, exported by Keras


def test_a_wrong_channel_order_or_scale_would_be_seen(walkthrough: Walkthrough) -> None:
    # channels in another order, or another scale, must not pass as the same
    answer = walkthrough.answer("colour_torch")
    assert np.abs(answer - answer[::-1]).max() > 10 * FLOAT_TOLERANCE
    assert answer.max() < 0.99
