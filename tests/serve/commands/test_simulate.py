"""`python -m serve simulate` with artifacts whose manifests have measurements."""

import json
from pathlib import Path

import pytest

from serve.commands import plan
from serve.commands.simulate import main
from serve.commands.simulation import arrivals
from tests.serve.commands.test_plan import FAST, SLOW, measure
from tests.support.artifacts import CLASSIFIER, EMBEDDING, write_artifact


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    measure(write_artifact(tmp_path, CLASSIFIER), {"1": 7.0})
    measure(write_artifact(tmp_path, EMBEDDING), {"1": 17.0})
    return tmp_path


def simulate(folder: Path, *arguments: str) -> int:
    fixed = ("--around-ms", "3", "--runs", "2", "--seconds", "20")
    return main(["--artifacts", str(folder), "--rps", "60", *fixed, *arguments])


def test_a_simulation_in_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate(folder, "--json", "--models", f"{FAST}=3", SLOW) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["answered"] == content["requests"] == pytest.approx(1200, rel=0.1)
    assert content["utilisation"] == pytest.approx((45 * 0.01 + 15 * 0.02) / 2, rel=0.1)
    figures = content["models"]
    assert figures[FAST]["p50_s"] == pytest.approx(0.01, rel=0.2)
    assert figures[SLOW]["p50_s"] == pytest.approx(0.02, rel=0.2)
    assert content["replicas"] == [[0.0, 1]]


def test_requests_that_are_refused_and_replicas_that_come(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ("--rps", "300", "--most", "4", "--start-seconds", "5", "--up-delay", "2")
    assert simulate(folder, *more) == 1
    lines = capsys.readouterr().out.splitlines()
    assert " refused" in lines[0]
    assert any(line.endswith("replicas") for line in lines)


def test_arrivals_of_a_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "arrivals.csv"
    path.write_text(f"1.5,{FAST}\n0.5,{SLOW}\n", "utf-8")
    assert simulate(folder, "--json", "--arrivals", str(path)) == 0
    models = json.loads(capsys.readouterr().out)["models"]
    assert models[FAST]["mean_s"] == pytest.approx(0.010)
    assert models[SLOW]["mean_s"] == pytest.approx(0.020)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"x,y\n", "line 1 is 'x,y'; allowed: SECONDS,MODEL"),
        (b"1,2,3\n", "line 1 is '1,2,3'; allowed: SECONDS,MODEL"),
        (b"-1,face_emotion_xception\n", "line 1 has -1 seconds; allowed: 0 to 2678400"),
        (b"1e12,face_emotion_xception\n", "line 1 has 1e12 seconds; allowed: 0 to 2678400"),
        (b"nan,face_emotion_xception\n", "line 1 has nan seconds"),
        (b"1,nothing\n", "has the model 'nothing'; allowed: face_emotion_xception, image_"),
        (b"\xff\n", "cannot be read"),
    ],
)
def test_files_are_refused(
    folder: Path, content: bytes, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "arrivals.csv"
    path.write_bytes(content)
    assert simulate(folder, "--arrivals", str(path)) == 1
    assert message in capsys.readouterr().err


def test_a_load_without_end_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert simulate(folder, "--seconds", "1e300") == 1
    assert "allowed: 2000000: simulate fewer seconds" in capsys.readouterr().err
    assert simulate(folder, "--seconds", "1e9", "--rps", "1e-6") == 1
    assert "the arrivals last 1e+09 s; allowed: 2678400" in capsys.readouterr().err
    monkeypatch.setattr(arrivals, "MOST", 1)
    path = folder / "arrivals.csv"
    path.write_text(f"1,{FAST}\n2,{FAST}\n", "utf-8")
    assert simulate(folder, "--arrivals", str(path)) == 1
    assert "there are 2 requests; allowed: 1" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["0", "1", "nan"])
def test_a_utilisation_that_replicas_cannot_be_kept_at_is_refused(
    folder: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (main, plan.main):
        with pytest.raises(SystemExit):
            command(["--artifacts", str(folder), "--rps", "1", "--utilisation", text])
        assert f"{text} is not above 0 and below 1" in capsys.readouterr().err
