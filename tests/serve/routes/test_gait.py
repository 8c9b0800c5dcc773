"""POST /v1/gait, over HTTP."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from serve.repository.provenance import SEEDED_WARNING
from serve.settings import Settings
from tests.runtime.support.recordings import shades, video
from tests.serve.conftest import Serve
from tests.serve.support.requests import FORMS, post
from tests.serve.support.server import running
from tests.support.artifacts import GAIT, NOTES, TEXT, write_artifact

TEXT_GIVEN = "e slow walk e"  # six tokens: tiny_gait gets the condition -1


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    root = tmp_path_factory.mktemp("artifacts")
    for graph in (GAIT, TEXT, NOTES):
        write_artifact(root, graph)
    with running(Settings(artifacts=root)) as client:
        yield client


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return video(shades([255] * 31), tmp_path_factory.mktemp("clip"), fps=10)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("path", ["/v1/gait", "/predict"])
def test_free_text_and_the_frames(client: httpx.Client, clip: bytes, path: str, form: str) -> None:
    response = post(client, path, form, {"video": clip}, clinical_condition=TEXT_GIVEN)
    assert response.status_code == 200, response.text
    result = response.json()["result"]
    weights = np.exp(-8 * np.abs(0 - np.array([0, 0.5, 1])))
    assert result["predicted_class"] == result["label"] == "dark"
    assert result["probabilities"]["dark"] == pytest.approx(weights[0] / weights.sum(), abs=0.02)
    assert result["condition"] == TEXT_GIVEN
    assert result["condition_read"]["read_as"] == "text"
    assert result["condition_read"]["text_model"]["model"] == "tiny_notes"
    assert result["frames"] == {
        "indices": [0, 10, 20, 30],
        "times_s": pytest.approx([0, 1, 2, 3], abs=1e-3),
        "clip_frames": 31,
        "sought": False,
    }


def test_a_known_name_is_not_read_as_text(client: httpx.Client, clip: bytes) -> None:
    result = post(client, "/v1/gait", "raw", {"video": clip}, condition="CVA").json()["result"]
    assert result["condition"] == "Ischaemic stroke"
    assert result["condition_read"] == {
        "given": "CVA",
        "read_as": "name",
        "name": "Ischaemic stroke",
        "text_model": None,
    }


def test_an_untrained_text_model_has_a_warning(tmp_path: Path, serve: Serve, clip: bytes) -> None:
    write_artifact(tmp_path, GAIT)
    write_artifact(tmp_path, NOTES, origin="seeded")
    client = serve(Settings(artifacts=tmp_path, allow_seeded=True))
    response = post(client, "/v1/gait", "raw", {"video": clip}, condition=TEXT_GIVEN)
    assert response.json()["warnings"] == [f"tiny_notes: {SEEDED_WARNING}"]
    assert response.headers["x-model-weights"] == "seeded"
    named = post(client, "/v1/gait", "raw", {"video": clip}, condition="stroke")
    assert named.json()["warnings"] == []


@pytest.mark.parametrize(
    ("data", "condition", "status", "message"),
    [
        (b"RIFF\x04\x00\x00\x00WAVE", "", 400, "the video is WAV audio; allowed: MP4"),
        (b"\x1a\x45\xdf\xa3" + bytes(60), "", 400, "the video cannot be decoded"),
        (None, "e" * 2001, 413, "the condition has 2001 characters; allowed: 2000"),
    ],
)
def test_invalid_requests_are_refused(
    client: httpx.Client, clip: bytes, data: bytes | None, condition: str, status: int, message: str
) -> None:
    response = post(
        client, "/predict", "multipart", {"video": data or clip}, clinical_condition=condition
    )
    assert response.status_code == status
    assert message in response.json()["error"]
