"""POST /v1/face-emotion, over HTTP: the voting models, the options and the answer."""

import base64
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from runtime.artifact.manifest import Origin
from runtime.errors import ArtifactError
from runtime.tasks import defaults
from serve.repository.provenance import SEEDED_WARNING
from serve.repository.task_models import (
    check_ensemble,
    check_task_models,
    find_detector,
    task_models,
)
from serve.routes.face_emotion import NO_DETECTOR
from serve.settings import Settings, from_environment
from tests.serve.conftest import Serve
from tests.serve.support.repository import load_all
from tests.serve.support.requests import FORMS, post
from tests.serve.support.server import running
from tests.support.artifacts import (
    CLASSIFIER,
    DETECTOR,
    EMBEDDING,
    EMOTION_BOXES,
    EMOTIONS,
    FACES,
    OTHER_EMOTIONS,
    write_artifact,
)
from tests.support.images import png, solid

ROUTE = "/v1/face-emotion"
FINDER, BOXES = "face_detector_yunet", "face_emotion_yolov8n"
FIRST, SECOND, ALONE = (
    "face_emotion_efficientnet_b3",
    "face_emotion_arcface",
    "face_emotion_xception",
)
GRAPHS = (FACES, EMOTION_BOXES, EMOTIONS, OTHER_EMOTIONS, CLASSIFIER, EMBEDDING)


def picture(*places: tuple[int, int]) -> bytes:
    """Return a PNG of 64 x 64 px with a face in each cell of 16 px at (row, column)."""
    image = np.zeros((64, 64, 3), np.uint8)
    for row, column in places:
        image[row * 16 : row * 16 + 16, column * 16 : column * 16 + 16] = (204, 51, 102)
    return png(image)


@pytest.fixture(scope="module")
def artifact_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("artifact_root")
    for graph in GRAPHS:
        write_artifact(root, graph)
    return root


@pytest.fixture(scope="module")
def client(artifact_root: Path) -> Iterator[httpx.Client]:
    with running(Settings(artifacts=artifact_root)) as client:
        yield client


def test_the_members_vote(client: httpx.Client) -> None:
    answer = client.post(ROUTE, content=picture((1, 2)), params={"early_exit": "false"}).json()
    assert (answer["model"], answer["weights_origin"], answer["warnings"]) == (
        BOXES,
        "pretrained",
        [],
    )
    result = answer["result"]
    assert set(result) == {
        "label", "confidence", "probabilities", "face_found", "found_by", "faces_found", "faces",
        "models", "left_out", "tta",
    }  # fmt: skip
    (face,) = result["faces"]
    assert set(face) == {
        "box", "score", "crop", "label", "confidence", "probabilities", "members",
    }  # fmt: skip
    assert (result["found_by"], result["faces_found"], result["tta"]) == (FINDER, 1, "none")
    assert [model["model"] for model in result["models"]] == [BOXES, FIRST, SECOND, FINDER]
    members = {member["model"]: member for member in face["members"]}
    assert set(members) == {BOXES, FIRST, SECOND}
    weights = {BOXES: 0.4, FIRST: 0.4, SECOND: 0.2}
    for label, share in result["probabilities"].items():
        expected = sum(weights[name] * members[name]["probabilities"][label] for name in weights)
        assert share == pytest.approx(expected, abs=1e-6)
    assert sum(result["probabilities"].values()) == pytest.approx(1, abs=1e-6)


def test_the_three_forms_get_one_answer(client: httpx.Client) -> None:
    image, options = picture((1, 2), (3, 0)), {"faces": "all", "tta": "flip", "margin": "0.2"}
    replies = [post(client, ROUTE, form, {"image": image}, **options) for form in FORMS]
    assert [reply.status_code for reply in replies] == [200] * 3
    assert replies[0].json() == replies[1].json() == replies[2].json()
    result = replies[0].json()["result"]
    assert (len(result["faces"]), result["faces_found"], result["tta"]) == (2, 2, "flip")


def test_weights_of_a_request(client: httpx.Client) -> None:
    image = picture((1, 2))
    alone = client.post(ROUTE, content=image, params={"vote_weights": f"{ALONE}:0.3"}).json()
    assert alone["model"] == ALONE
    assert alone["result"]["label"] in ("dark", "grey", "bright")
    pair = client.post(
        ROUTE, content=image, params={"vote_weights": f"{FIRST}:1,{SECOND}:3"}
    ).json()
    assert pair["model"] == SECOND
    members = pair["result"]["faces"][0]["members"]
    assert [(member["model"], member["weight"]) for member in members] == [(SECOND, 3), (FIRST, 1)]


def test_the_former_name_of_the_option_still_works(client: httpx.Client) -> None:
    image, text = picture((1, 2)), f"{FIRST}:1,{SECOND}:3"
    answer = client.post(ROUTE, content=image, params={"weights": text})
    assert answer.json() == client.post(ROUTE, content=image, params={"vote_weights": text}).json()
    both = client.post(ROUTE, content=image, params={"weights": FIRST, "vote_weights": SECOND})
    assert both.status_code == 400
    assert both.json() == {"error": "vote_weights and weights differ; allowed: one of them"}


def test_the_answer_says_why_an_embedding_has_no_vote(client: httpx.Client) -> None:
    pair = "image_embedding_mobilenetv2"
    answer = client.post(
        ROUTE, content=picture((1, 2)), params={"vote_weights": f"{FIRST}:0.8,{pair}:0.2"}
    )
    assert answer.json()["result"]["left_out"] == {
        pair: "returns embeddings only: its checkpoint has no class centres"
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"faces": "two"}, "faces is 'two'; allowed: largest, all"),
        ({"crop": "yes"}, "crop is 'yes'; allowed: auto, none"),
        ({"tta": "5"}, "tta is '5'; allowed: none, flip, full"),
        ({"margin": "wide"}, "margin is 'wide'; allowed: a number"),
        ({"margin": "inf"}, "margin is 'inf'; allowed: a number"),
        ({"margin": "1.5"}, "margin is 1.5; allowed: 0 to 1"),
        ({"early_exit": "perhaps"}, "early_exit is 'perhaps'; allowed: true, false"),
        ({"vote_weights": "one;two"}, "weights are 'one;two'; allowed: model:weight"),
        ({"vote_weights": "nobody:1"}, "vote_weights name nobody; served are: "),
        ({"vote_weights": FINDER}, f"{FINDER} detects no emotions: its labels are others"),
        ({"vote_weights": f"{FIRST},{ALONE}"}, "allowed: members with the same labels"),
        ({"size": "3"}, "tta, vote_weights, weights, early_exit"),
    ],
)
def test_bad_options(client: httpx.Client, options: dict[str, str], message: str) -> None:
    response = client.post(ROUTE, content=picture((0, 0)), params=options)
    assert response.status_code == 400
    assert message in response.json()["error"]


def test_long_options_are_not_repeated_in_full(client: httpx.Client) -> None:
    for name in ("faces", "vote_weights", "margin"):
        image = base64.b64encode(picture()).decode()
        response = client.post(ROUTE, json={"image": image, name: "x" * 100_000})
        assert response.status_code == 413
        assert len(response.content) < 1000


def test_without_a_face_the_whole_picture_is_classified(client: httpx.Client) -> None:
    result = client.post(ROUTE, content=solid(9, 9, 9)).json()["result"]
    assert (result["face_found"], result["found_by"], result["faces_found"]) == (False, None, 0)
    assert (result["faces"][0]["box"], result["faces"][0]["score"]) == (None, None)
    assert result["faces"][0]["crop"] == {"x1": 0, "y1": 0, "x2": 30, "y2": 20}
    statuses = {m["model"]: m["status"] for m in result["faces"][0]["members"]}
    assert statuses[BOXES] == "abstained"


def test_without_a_detector_a_warning_says_that_no_face_was_looked_for(
    tmp_path: Path, serve: Serve
) -> None:
    write_artifact(tmp_path, CLASSIFIER)
    client = serve(Settings(artifacts=tmp_path))
    (warning,) = client.post(ROUTE, content=solid(9, 9, 9)).json()["warnings"]
    assert warning == NO_DETECTOR
    stated = client.post(ROUTE, content=solid(9, 9, 9), params={"crop": "none"})
    assert stated.json()["warnings"] == []


def test_a_warning_counts_the_faces_left_out(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.tasks.face_emotion.MOST_FACES", 2)
    crowd = picture((0, 0), (1, 1), (2, 2))
    answer = client.post(ROUTE, content=crowd, params={"faces": "all"}).json()
    assert answer["warnings"] == ["2 of 3 faces are answered, the largest"]
    assert client.post(ROUTE, content=crowd).json()["warnings"] == []


@pytest.mark.parametrize("seeded", [FACES, EMOTION_BOXES, OTHER_EMOTIONS])
def test_the_warnings_of_all_models_are_in_the_answer(
    tmp_path: Path, serve: Serve, seeded: str
) -> None:
    for graph in (FACES, EMOTION_BOXES, EMOTIONS, OTHER_EMOTIONS):
        origin: Origin = "seeded" if graph == seeded else "pretrained"
        directory = write_artifact(tmp_path, graph, origin=origin)
        if graph == seeded:
            name = directory.parent.name
    client = serve(Settings(artifacts=tmp_path, allow_seeded=True))
    params = {"early_exit": "false"}
    response = client.post(ROUTE, content=picture((1, 1)), params=params)
    assert response.json()["warnings"] == [f"{name}: {SEEDED_WARNING}"]
    assert response.headers["x-warnings"] == f"{name}: {SEEDED_WARNING}"
    assert response.json()["weights_origin"] == response.headers["x-model-weights"] == "seeded"
    others = {"vote_weights": FIRST, "crop": "none"}
    spared = client.post(ROUTE, content=picture((1, 1)), params=others).json()
    assert (spared["weights_origin"], spared["warnings"]) == ("pretrained", [])


def test_a_setting_holds_the_weights(artifact_root: Path, serve: Serve) -> None:
    settings = Settings(
        artifacts=artifact_root, face_emotion_weights=((SECOND, 1.0), ("absent", 5.0))
    )
    answer = serve(settings).post(ROUTE, content=picture((1, 1))).json()
    assert answer["model"] == SECOND
    assert len(answer["result"]["faces"][0]["members"]) == 1


def test_a_model_named_alone_answers_alone(artifact_root: Path, serve: Serve) -> None:
    environ = {"SLIPWAY_ARTIFACTS": str(artifact_root), "SLIPWAY_FACE_EMOTION_MODEL": ALONE}
    answer = serve(from_environment(environ)).post(ROUTE, content=picture((1, 1))).json()
    assert answer["model"] == ALONE


def test_the_fallback_model_answers_if_no_member_is_served(tmp_path: Path, serve: Serve) -> None:
    for graph in (CLASSIFIER, FACES):
        write_artifact(tmp_path, graph)
    answer = serve(Settings(artifacts=tmp_path)).post(ROUTE, content=picture((1, 1))).json()
    assert answer["model"] == ALONE
    assert answer["result"]["found_by"] == FINDER


def test_the_fallback_model_answers_if_the_member_is_an_embedding(
    tmp_path: Path, serve: Serve
) -> None:
    for graph in (CLASSIFIER, EMBEDDING):
        write_artifact(tmp_path, graph)
    pair = "image_embedding_mobilenetv2"
    settings = Settings(artifacts=tmp_path, face_emotion_weights=((pair, 1.0),))
    answer = serve(settings).post(ROUTE, content=picture((1, 1))).json()
    assert answer["model"] == ALONE
    assert list(answer["result"]["left_out"]) == [pair]


def test_without_any_emotion_model_the_route_is_404(tmp_path: Path, serve: Serve) -> None:
    write_artifact(tmp_path, EMBEDDING)
    client = serve(Settings(artifacts=tmp_path))
    response = client.post(ROUTE, content=picture())
    assert response.status_code == 404
    assert response.json()["error"].startswith(f"model '{ALONE}' is unknown; known: image_")


def test_members_with_different_labels_are_refused_at_start_up(artifact_root: Path) -> None:
    repository = load_all(artifact_root)
    check_ensemble(repository, Settings())
    check_ensemble(
        repository, Settings(face_emotion_weights=(("nobody", 1.0),), face_emotion_model="x")
    )
    with pytest.raises(
        ArtifactError, match=r"SLIPWAY_FACE_EMOTION_WEIGHTS: .* the labels dark, grey, bright"
    ):
        check_ensemble(repository, Settings(face_emotion_weights=((FIRST, 2.0), (ALONE, 1.0))))


def test_the_task_of_the_face_detector_is_checked_at_start_up(
    artifact_root: Path, tmp_path: Path
) -> None:
    repository = load_all(artifact_root)
    check_task_models(repository.tasks, task_models(Settings()))
    with pytest.raises(ArtifactError, match=r"SLIPWAY_FACE_DETECTOR_MODEL .* object-detection"):
        check_task_models(repository.tasks, task_models(Settings(face_detector_model=FIRST)))


def test_another_detector_stands_in_for_the_default_one(artifact_root: Path) -> None:
    served = load_all(artifact_root)
    yunet = served[FINDER]
    only = {defaults.FACE_DETECTOR_FALLBACK: served[BOXES]}
    assert find_detector({**only, FINDER: yunet}, Settings()) is yunet
    assert find_detector(only, Settings()) is served[BOXES]
    assert find_detector(only, Settings(face_detector_model="mine")) is None  # the user's choice
    assert find_detector({}, Settings()) is None


def test_a_setting_names_the_face_detector(tmp_path: Path, serve: Serve) -> None:
    for graph in (EMOTIONS, DETECTOR):
        write_artifact(tmp_path, graph)
    client = serve(Settings(artifacts=tmp_path, face_detector_model="tiny_detector"))
    assert client.post(ROUTE, content=picture((2, 2))).json()["result"]["found_by"] == DETECTOR
