import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import httpx
import numpy as np
import pytest

from runtime import Model, load
from runtime.engine.session import Feeds, Session
from serve.protocol_v2.chunks import run_in_chunks
from serve.protocol_v2.request import HEADER_LENGTH
from serve.protocol_v2.tensors import Array
from serve.scheduling.rows import CHUNK_BYTES, row_cost, rows_per_run
from tests.support.artifacts import CLASSIFIER, TENSORS, write_artifact
from tests.support.server_process import peak_mib, serving

IMAGE_BYTES = 8 * 8  # of one image of the tiny classifier


@dataclass
class RecordingSession:
    """A session that notes the bytes of the inputs of each run."""

    session: Session
    run_bytes: list[int] = field(default_factory=list)

    def run(self, feeds: Feeds, output_names: Any) -> dict[str, Any]:
        self.run_bytes.append(sum(array.nbytes for array in feeds.values()))
        return self.session.run(feeds, output_names)


def record(model: Model) -> tuple[Model, list[int]]:
    """Return the model with a recording session, and the list that fills with the bytes of runs."""
    session = RecordingSession(model.session)
    return replace(model, session=cast(Session, session)), session.run_bytes


def images(rows: int) -> dict[str, Array]:
    return {"image": np.random.default_rng(0).integers(0, 256, (rows, 8, 8, 1), np.uint8)}


def binary_request(rows: int) -> tuple[bytes, bytes]:
    """Return the JSON and the bytes of a request whose answer comes as bytes."""
    size_bytes = rows * IMAGE_BYTES
    image = {
        "name": "image",
        "datatype": "UINT8",
        "shape": [rows, 8, 8, 1],
        "parameters": {"binary_data_size": size_bytes},
    }
    content = {"inputs": [image], "parameters": {"binary_data_output": True}}
    return json.dumps(content).encode(), bytes(size_bytes)


def classifier(tmp_path: Path, *, batch_invariant: bool = True) -> Model:
    return load(write_artifact(tmp_path, CLASSIFIER, batch_invariant=batch_invariant))


def test_a_batch_in_chunks_equals_the_batch(tmp_path: Path) -> None:
    model, feeds = classifier(tmp_path), images(6000)
    chunked = run_in_chunks(model, feeds, ["probabilities"])["probabilities"]
    whole = model.run(feeds)["probabilities"]
    assert chunked.shape == (6000, 3)
    difference = np.asarray(chunked, np.float64) - np.asarray(whole, np.float64)
    assert np.abs(difference).max() <= 1e-6  # float32 sums in another order


def test_a_large_batch_runs_in_pieces_of_bounded_size(tmp_path: Path) -> None:
    model, run_bytes = record(classifier(tmp_path))
    run_in_chunks(model, images(12_000), ["probabilities"])
    full = CHUNK_BYTES // IMAGE_BYTES
    assert run_bytes == [CHUNK_BYTES, CHUNK_BYTES, (12_000 - 2 * full) * IMAGE_BYTES]


def test_a_small_batch_runs_whole(tmp_path: Path) -> None:
    model, run_bytes = record(classifier(tmp_path))
    run_in_chunks(model, images(100), ["probabilities"])
    assert run_bytes == [100 * IMAGE_BYTES]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_a_large_batch_takes_little_memory(tmp_path: Path) -> None:
    """10 MB of images: 20 MiB for the body and its copies; run whole, they take 60 MiB.

    The answer comes as bytes: as JSON it may take another 30 MiB while its buffer grows.
    """
    write_artifact(tmp_path, CLASSIFIER)
    rows = 10 * 2**20 // IMAGE_BYTES - 10  # room for the JSON
    head, images = binary_request(rows)
    with serving("--artifacts", str(tmp_path)) as server:
        url = f"{server.url}/v2/models/face_emotion_xception/infer"
        first, image = binary_request(1)
        headers = {HEADER_LENGTH: str(len(first))}
        assert (
            httpx.post(url, content=first + image, headers=headers, timeout=60).status_code == 200
        )
        before = peak_mib(server.process)
        headers = {HEADER_LENGTH: str(len(head))}
        response = httpx.post(url, content=head + images, headers=headers, timeout=60)
        assert response.status_code == 200
        assert peak_mib(server.process) - before < 40


def test_rows_per_run() -> None:
    assert rows_per_run(320 * 320 * 3) == 1  # an image of u2netp
    assert rows_per_run(224 * 224 * 3) == 2
    assert rows_per_run(10_000_000) == 1
    assert rows_per_run(0) == CHUNK_BYTES


def test_tokens_weigh_more_than_pixels() -> None:
    ids = np.zeros((500, 256), np.int64)
    cost = row_cost({"input_ids": ids, "attention_mask": ids}, 500)
    assert rows_per_run(cost) == 10
    assert row_cost({"image": np.zeros((3, 8, 8, 1), np.uint8)}, 3) == IMAGE_BYTES


def test_rows_run_alone_if_the_artifact_is_not_batch_invariant(tmp_path: Path) -> None:
    model, run_bytes = record(classifier(tmp_path, batch_invariant=False))
    feeds = images(5)
    outputs = run_in_chunks(model, feeds, ["probabilities"])["probabilities"]
    assert run_bytes == [IMAGE_BYTES] * 5
    alone = [model.run({"image": row[np.newaxis]})["probabilities"] for row in feeds["image"]]
    assert np.array_equal(outputs, np.concatenate(alone))


def test_chunks_hold_the_same_rows_of_every_input(tmp_path: Path) -> None:
    model = load(write_artifact(tmp_path, TENSORS))
    rows = 30_000  # 136 bytes of cost a row: thirteen chunks
    values = np.arange(2 * rows, dtype=np.float32).reshape(rows, 2)
    feeds: dict[str, Array] = {"values": values, "counts": np.full((rows, 2), 4, np.int64)}
    outputs = run_in_chunks(model, feeds, ["quotients", "doubled"])
    assert list(outputs) == ["quotients", "doubled"]
    assert np.array_equal(outputs["quotients"], values / np.float32(4))
    assert np.all(outputs["doubled"] == 8)
