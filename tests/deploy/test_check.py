"""Run deploy.check against a server that passes and against several that do not."""

import json
import shutil
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest

from deploy.check import check, main
from deploy.client import ask
from deploy.rows import Row
from runtime.artifact.manifest import SCHEMA_VERSION, read_manifest
from runtime.errors import ArtifactError
from tests.runtime.support.recordings import shades, sound, tone, video
from tests.support.artifacts import (
    CLASSIFIER,
    DETECTOR,
    EMBEDDING,
    EMOTIONS,
    GAIT,
    OTHER_EMOTIONS,
    SEGMENTATION,
    SLOW,
    TEXT,
    VOICE,
    add_samples,
    edit_manifest,
    rewrite_golden,
    write_artifact,
)
from tests.support.artifacts import FACES as DETECTOR_OF_FACES
from tests.support.images import half_white, png, solid
from tests.support.server_process import serving

FACES, PAIRS, MASKS = "face_emotion_xception", "image_embedding_mobilenetv2", "background_u2netp"
VOICES, GAITS, TEXTS = "voice_emotion_wav2vec2", "gait_student", "clinical_text_minilm"
MEDIA = (png(half_white()), solid(10, 200, 30, height=40, width=40))
FORMS = ("multipart", "raw", "JSON")
FORMS_OF_PAIRS = ("multipart", "JSON")  # a raw body is one file


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the artifacts of this module's server: a model per task and a second classifier."""
    root = tmp_path_factory.mktemp("served")
    for graph in (CLASSIFIER, EMBEDDING, SEGMENTATION, DETECTOR):
        add_samples(write_artifact(root, graph), *MEDIA)
    add_samples(write_artifact(root, SLOW), solid(2, 2, 2))  # it is slow for bright images
    add_samples(write_artifact(root, VOICE), sound(tone()), sound(tone(level=0.1)))
    clip = video(shades(range(0, 250, 10)), root, kind="avi", codec="MJPG")
    add_samples(write_artifact(root, GAIT, origin="synthetic"), clip, condition="stroke")
    add_samples(write_artifact(root, TEXT), 'Slowly "walking", é.'.encode())
    return root


@pytest.fixture(scope="module")
def url(served: Path) -> Iterator[str]:
    with serving("--artifacts", str(served)) as server:
        yield server.url


@pytest.fixture
def changed(served: Path, tmp_path: Path) -> Path:
    """Copy the artifacts, so that a test can make them differ from those of the server."""
    shutil.copytree(served, tmp_path / "changed")
    return tmp_path / "changed"


def problems(rows: Sequence[Row]) -> dict[str, str]:
    return {row.route: row.problem for row in rows if row.problem}


def alter(directory: Path, array: str, *, by: float) -> None:
    """Add a number to the first row of a golden array."""
    with np.load(directory / "golden.npz") as file:
        arrays = dict(file)
    arrays[array][0] += by
    rewrite_golden(directory, arrays)


def set_verification(directory: Path, verification: object) -> None:
    variant = json.loads((directory / "manifest.json").read_text())["variants"][0]
    edit_manifest(directory, {"variants": [{**variant, "verification": verification}]})


def run_main(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["check", *arguments])
    return main()


def test_a_server_that_answers_as_verified_passes(
    url: str, served: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_main(monkeypatch, "--url", url, "--artifacts", str(served)) == 0
    *rows, last = capsys.readouterr().out.splitlines()[1:]
    assert last == f"{len(rows)} of {len(rows)} as verified at conversion"
    assert all(row.endswith(" ok") for row in rows)


def test_every_route_is_asked_once_in_every_form(url: str, served: Path) -> None:
    routes = [row.route for row in check(url, served)]
    people = ("face-emotion", "similarity", "background", "voice-emotion", "gait")
    names = (FACES, PAIRS, MASKS, VOICES, GAITS, TEXTS, "tiny_detector", "tiny_slow")
    models = (f"models/{model}" for model in names)
    for route in (*people, *models):
        for form in FORMS_OF_PAIRS if route == "similarity" else FORMS:
            assert routes.count(f"POST /v1/{route} ({form})") == 1
    assert len(routes) == len(set(routes))


@pytest.mark.parametrize(
    ("model", "output", "route"),
    [
        (FACES, "probabilities", "/v1/face-emotion"),
        (PAIRS, "embedding", "/v1/similarity"),
        (MASKS, "alpha", "/v1/background"),
        (VOICES, "probabilities", "/v1/voice-emotion"),
        (GAITS, "probabilities", "/v1/gait"),
        (TEXTS, "embedding", f"/v1/models/{TEXTS}"),
    ],
)
def test_a_different_output_fails_every_route_of_the_model(
    url: str, changed: Path, model: str, output: str, route: str
) -> None:
    alter(changed / model / "1", f"output/{output}", by=0.01)
    failures = problems(check(url, changed))
    forms = FORMS_OF_PAIRS if model == PAIRS else FORMS
    assert {f"POST {route} ({form})" for form in forms} <= failures.keys()
    assert {
        f"POST /v2/models/{model}/infer ({form})" for form in ("JSON", "binary")
    } <= failures.keys()
    assert all(model in name or route in name for name in failures)
    assert "largest" in failures[f"POST {route} (JSON)"]


@pytest.mark.parametrize(("output", "by"), [("scores", 0.01), ("boxes_xyxy", 0.1)])
def test_a_different_tensor_of_a_detector_fails_its_tensors_alone(
    url: str, changed: Path, output: str, by: float
) -> None:
    alter(changed / "tiny_detector" / "1", f"output/{output}", by=by)
    failures = problems(check(url, changed))
    routes = [f"POST /v2/models/tiny_detector/infer ({form})" for form in ("JSON", "binary")]
    assert sorted(failures) == routes


def test_coordinates_may_differ_by_a_share_of_the_side(url: str, changed: Path) -> None:
    alter(changed / "tiny_detector" / "1", "output/boxes_xyxy", by=0.015)  # of 16 px; allowed 0.016
    assert problems(check(url, changed)) == {}


def test_detections_that_contradict_the_tensors_fail(url: str, changed: Path) -> None:
    path = changed / "tiny_detector" / "1" / "manifest.json"
    path.write_text(path.read_text().replace('"score_threshold": 0.6', '"score_threshold": 1.0'))
    failures = problems(check(url, changed))
    assert sorted(failures) == sorted(f"POST /v1/models/tiny_detector ({form})" for form in FORMS)
    assert all(text.endswith("; the tensors say []") for text in failures.values())


def test_recorded_differences_are_allowed(url: str, changed: Path) -> None:
    alter(changed / FACES / "1", "output/probabilities", by=0.01)
    recorded = {"golden": {"probabilities": {"mean_abs": 0.01, "max_abs": 0.01}}}
    set_verification(changed / FACES / "1", recorded)
    assert problems(check(url, changed)) == {}


@pytest.mark.parametrize(("mean", "differs"), [(0.005, False), (0.003, True)])
def test_the_first_of_two_samples_may_hold_all_of_their_mean(
    url: str, changed: Path, mean: float, differs: bool
) -> None:
    alter(changed / FACES / "1", "output/probabilities", by=0.01)
    recorded = {"golden": {"probabilities": {"mean_abs": mean, "max_abs": 0.01}}}
    set_verification(changed / FACES / "1", recorded)
    assert bool(problems(check(url, changed))) is differs


def test_the_pair_is_the_first_two_pictures_if_there_are_two(url: str, changed: Path) -> None:
    """Compare two pictures whose cosine is 0.63; that of a picture with itself is 1."""
    with np.load(changed / PAIRS / "1" / "golden.npz") as golden:
        first, second = golden["output/embedding"]
    assert abs(float(first @ second)) < 0.9
    add_samples(changed / PAIRS / "1", MEDIA[0])
    routes = [row for row in check(url, changed) if "similarity" in row.route]
    assert [row.problem for row in routes] == ["", ""]


def test_different_labels_fail_without_a_traceback(url: str, changed: Path) -> None:
    path = changed / FACES / "1" / "manifest.json"
    path.write_text(path.read_text().replace('"grey"', '"gray"'))
    failures = problems(check(url, changed))
    assert failures.keys() == {
        f"POST /v1/{route} ({form})"
        for route in ("face-emotion", f"models/{FACES}")
        for form in FORMS
    }


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"result": [], "outputs": {}},
        {"result": {"probabilities": [], "embedding": "", "cosine": "x"}, "outputs": [1]},
        {"result": {"foreground_fraction": None, "cosine": None}, "outputs": [{"name": "alpha"}]},
    ],
)
def test_answers_of_another_structure_fail_without_a_traceback(
    answer: dict[str, object], served: Path
) -> None:
    models = (FACES, PAIRS, MASKS, "tiny_detector")
    digests = {model: read_manifest(served / model / "1").digest for model in models}

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            card = {"version": 1, "digest": digests.get(Path(self.path).name), "variant": "float"}
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({**card, **answer}).encode())

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        rows = check(f"http://127.0.0.1:{server.server_port}", served)
        server.shutdown()
        thread.join()
    assert all(row.problem for row in rows if row.route.startswith("POST"))
    assert sum(row.route.startswith("POST") for row in rows) == 4 * (2 + 3) + 3 + 2 + 3


def test_a_task_route_is_checked_for_the_model_that_answers_it_alone(
    served: Path,
) -> None:
    environ = {"SLIPWAY_FACE_EMOTION_MODEL": "tiny_slow"}
    with serving("--artifacts", str(served), **environ) as server:
        rows = check(server.url, served)
    assert problems(rows) == {}
    answers = [row.reply for row in rows if "/v1/face-emotion" in row.route]
    assert [reply.headers["x-model"] for reply in answers] == ["tiny_slow"] * 3


def test_each_member_of_a_vote_is_checked_alone(tmp_path: Path) -> None:
    image = half_white(height=64, width=64)
    image[16:32, 16:32] = (220, 20, 0)  # a face to the detector: by default the route crops to it
    for graph in (EMOTIONS, OTHER_EMOTIONS, DETECTOR_OF_FACES):
        add_samples(write_artifact(tmp_path, graph), png(image))
    with serving("--artifacts", str(tmp_path)) as server:
        rows = check(server.url, tmp_path)
    assert problems(rows) == {}
    answers = [row.reply for row in rows if "/v1/face-emotion" in row.route]
    members = ["face_emotion_arcface", "face_emotion_efficientnet_b3"]
    assert [reply.headers["x-model"] for reply in answers] == [members[0]] * 3 + [members[1]] * 3


def test_another_version_of_the_model_is_named(url: str, changed: Path) -> None:
    (changed / FACES / "1").rename(changed / FACES / "2")
    edit_manifest(changed / FACES / "2", {"version": 2})
    failures = problems(check(url, changed))
    assert failures.keys() == {f"GET /v1/models/{FACES}"}
    assert "serves version 1" in failures[f"GET /v1/models/{FACES}"]


def test_a_model_that_is_not_served_is_named(url: str, tmp_path: Path) -> None:
    directory = write_artifact(tmp_path, CLASSIFIER)
    add_samples(directory, *MEDIA)
    other = tmp_path / "other" / "1"
    directory.parent.rename(other.parent)
    path = other / "manifest.json"
    path.write_text(path.read_text().replace(FACES, "other"))
    assert problems(check(url, tmp_path)).keys() == {"GET /v1/models/other"}


def test_an_address_without_a_server_fails(served: Path) -> None:
    failures = problems(check("http://127.0.0.1:9", served))
    assert "GET /health" in failures


def test_requests_to_this_machine_bypass_the_proxy_of_the_environment(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert ask(url, "/health").status == 200
    assert (
        ask("http://elsewhere.invalid", "/health").status == 0
    )  # sent to the proxy, which does not exist


def test_golden_samples_of_another_hash_are_refused(url: str, changed: Path) -> None:
    path = changed / FACES / "1" / "golden.npz"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(ArtifactError, match=r"golden\.npz has sha256"):
        check(url, changed)


def test_a_manifest_without_recorded_differences_is_refused(url: str, changed: Path) -> None:
    set_verification(changed / FACES / "1", {})
    with pytest.raises(ArtifactError, match=r"verification\.golden lacks 'probabilities'"):
        check(url, changed)


@pytest.mark.parametrize("content", [None, "empty", "broken"])
def test_missing_artifacts_print_one_line(
    content: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = tmp_path / "artifacts"
    if content is not None:
        root.mkdir()
    if content == "broken":
        (root / "model" / "1").mkdir(parents=True)
        (root / "model" / "1" / "manifest.json").write_text(
            f'{{"schema_version": {SCHEMA_VERSION}}}'
        )
    assert run_main(monkeypatch, "--url", "http://127.0.0.1:9", "--artifacts", str(root)) == 1
    message = capsys.readouterr().err
    assert message.startswith("check: ")
    assert message.count("\n") == 1
