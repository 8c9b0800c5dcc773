"""CONTRIBUTING.md, walked through: its files are written, its edits made, and the result runs."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.support.artifacts import CLASSIFIER, write_artifact
from tests.support.checkout import ENVIRONMENTS, copy_of_checkout
from tests.support.documents import read_blocks

PROJECT = Path(__file__).parents[1]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not all((PROJECT / name / ".installed").exists() for name in ENVIRONMENTS),
        reason="both environments are needed: make lint creates them",
    ),
]

REGRESSION = (  # edits of README's recipe: two numbers instead of three classes
    ("    Probabilities,\n", ""),
    ("LABELS =", "from convert.export.numerics.values import Values\n\nLABELS ="),
    ("Probabilities(softmax=True)", "Values()"),
    ('task="image-classification"', 'task="image-regression"'),
    (
        'Tolerance(at_least={"top1_agreement": 0.99}, at_most={"probability_distance": 0.02})',
        'Tolerance(at_most={"mean_abs_error": 0.02})',
    ),
)
PASS = """
import numpy as np, onnx
from onnx import TensorProto, helper
from convert.quantize.passes.drop_identity import drop_identity
from onnxruntime import InferenceSession

x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])
y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])
chain = (("Identity", "x", "a"), ("Identity", "a", "b"), ("Relu", "b", "c"), ("Identity", "c", "y"))
nodes = [helper.make_node(op, [source], [target]) for op, source, target in chain]
graph = helper.make_graph(nodes, "g", [x], [y])
model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)])
feeds = {"x": np.array([-1, 2], np.float32)}

def run():
    return InferenceSession(model.SerializeToString()).run(None, feeds)[0].tolist()

before = run()
drop_identity(model)
print([node.op_type for node in model.graph.node], run() == before)
"""
ROUTE = """
import sys
from pathlib import Path
from starlette.testclient import TestClient
from serve.app import create_app
from serve.repository.opening import open_repository
from serve.settings import Settings

settings = Settings(artifacts=Path(sys.argv[1]))
app = create_app(settings, open_repository(settings))
with TestClient(app) as client:
    answer = client.post("/v1/scene", files={"image": Path(sys.argv[2]).read_bytes()})
print(answer.status_code, answer.text)
"""


def make_edit(text: str, directory: Path) -> None:
    """Make the edit of a `diff` block: its first line names the file, the others are marked."""
    heading, *lines = text.splitlines()
    path = directory / heading.removeprefix("# ")
    before, after = (
        "".join(f"{line[1:]}\n" for line in lines if line[:1] in (" ", mark)) for mark in "-+"
    )
    content = path.read_text(encoding="utf-8")
    assert content.count(before) == 1, f"{path}: CONTRIBUTING.md edits what is not there once"
    path.write_text(content.replace(before, after), encoding="utf-8")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the checkout with every file and edit of CONTRIBUTING.md."""
    directory = copy_of_checkout(tmp_path_factory.mktemp("contributing"))
    for block in read_blocks(PROJECT / "CONTRIBUTING.md"):
        if block.language == "python":
            path = directory / block.text.splitlines()[0].removeprefix("# ")
            path.write_text(block.text.partition("\n")[2], encoding="utf-8")
        else:
            assert block.language == "diff"
            make_edit(block.text, directory)
    return directory


def run(*arguments: str | Path, directory: Path) -> str:
    finished = subprocess.run(
        list(map(str, arguments)),
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(directory), "SLIPWAY_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def readme_recipe() -> str:
    blocks = read_blocks(PROJECT / "README.md")
    return next(block.text for block in blocks if block.text.startswith("# traffic_light.py"))


def write_photo(directory: Path) -> Path:
    import cv2
    import numpy as np

    path = directory / "photo.png"
    assert cv2.imwrite(str(path), np.full((96, 96, 3), 80, np.uint8))
    return path


def test_the_edits_keep_the_rules(checkout: Path) -> None:
    run(".venv/bin/ruff", "check", ".", directory=checkout)
    run(".venv/bin/ruff", "format", "--check", ".", directory=checkout)
    run(".venv/bin/lint-imports", "--no-cache", directory=checkout)
    run(".venv/bin/python", "-m", "mypy", "runtime", "serve", directory=checkout)


def test_add_a_model(checkout: Path) -> None:
    recipe = checkout / "convert/models/traffic_light.py"
    recipe.write_text(readme_recipe(), encoding="utf-8")
    python = ".venv-convert/bin/python"
    listed = run(python, "-m", "convert", "list", directory=checkout)
    assert "traffic_light" in listed
    settings = ("--weights", "seeded", "--precision", "float")
    run(python, "-m", "convert", "run", "traffic_light", *settings, directory=checkout)
    assert (checkout / "artifacts/traffic_light/1/manifest.json").is_file()


def test_add_a_task(checkout: Path) -> None:
    text = readme_recipe()
    for old, new in REGRESSION:
        assert old in text
        text = text.replace(old, new)
    (checkout / "distance.py").write_text(text, encoding="utf-8")
    arguments = ("--recipe", "distance.py", "--weights", "seeded")
    run(".venv-convert/bin/python", "-m", "convert", "run", *arguments, directory=checkout)
    photo = write_photo(checkout)
    command = (".venv/bin/python", "-m", "runtime", "run", "artifacts/distance", photo, "--json")
    answer = json.loads(run(*command, directory=checkout))
    assert list(answer["result"]) == ["red", "amber", "green"]
    manifest = json.loads((checkout / "artifacts/distance/1/manifest.json").read_text())
    errors = [
        candidate["fidelity"]["mean_abs_error"]
        for candidate in manifest["candidates"]
        if "fidelity" in candidate
    ]
    assert errors
    assert all(0 < error < 1 for error in errors)


def test_add_a_quantization_pass(checkout: Path) -> None:
    printed = run(".venv-convert/bin/python", "-c", PASS, directory=checkout)
    assert printed.split("\n")[0] == "['Relu', 'Identity'] True"


def test_add_a_route(checkout: Path, tmp_path: Path) -> None:
    write_artifact(tmp_path, CLASSIFIER)
    photo = write_photo(tmp_path)
    printed = run(".venv/bin/python", "-c", ROUTE, tmp_path, photo, directory=checkout)
    status, _, body = printed.partition(" ")
    assert status == "200"
    assert json.loads(body)["result"].keys() == {"label"}
