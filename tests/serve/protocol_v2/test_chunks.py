from pathlib import Path

import numpy as np

import serve.protocol_v2.chunks
from runtime import Model, load
from serve.protocol_v2.chunks import row_cost, rows_per_run, run_in_chunks
from serve.protocol_v2.tensors import Array
from tests.support.artifacts import CLASSIFIER, TENSORS, write_artifact


def images(rows: int) -> dict[str, Array]:
    pixels = np.random.default_rng(0).integers(0, 256, (rows, 8, 8, 1), np.uint8)
    return {"image": pixels}


def classifier(tmp_path: Path, *, batch_invariant: bool = True) -> Model:
    return load(write_artifact(tmp_path, CLASSIFIER, batch_invariant=batch_invariant))


def test_a_batch_in_chunks_equals_the_batch(tmp_path: Path) -> None:
    model, feeds = classifier(tmp_path), images(6000)  # 384 kB: two chunks of at most 5120 rows
    assert feeds["image"].nbytes > serve.protocol_v2.chunks.CHUNK_BYTES
    chunked = run_in_chunks(model, feeds, ["probabilities"])["probabilities"]
    whole = model.run(feeds)["probabilities"]
    assert chunked.shape == (6000, 3)
    difference = np.asarray(chunked, np.float64) - np.asarray(whole, np.float64)
    assert np.abs(difference).max() <= 1e-6  # float32 sums in another order


def test_rows_per_run() -> None:
    assert rows_per_run(320 * 320 * 3, batch_invariant=True) == 1  # an image of u2netp
    assert rows_per_run(224 * 224 * 3, batch_invariant=True) == 2
    assert rows_per_run(10_000_000, batch_invariant=True) == 1
    assert rows_per_run(64, batch_invariant=False) == 1


def test_tokens_weigh_more_than_pixels() -> None:
    ids = np.zeros((500, 256), np.int64)
    cost = row_cost({"input_ids": ids, "attention_mask": ids}, 500)
    assert rows_per_run(cost, batch_invariant=True) == 10
    assert row_cost({"image": np.zeros((3, 8, 8, 1), np.uint8)}, 3) == 64


def test_rows_run_alone_where_the_artifact_is_not_batch_invariant(tmp_path: Path) -> None:
    model, feeds = classifier(tmp_path, batch_invariant=False), images(5)
    found = run_in_chunks(model, feeds, ["probabilities"])["probabilities"]
    alone = [model.run({"image": row[np.newaxis]})["probabilities"] for row in feeds["image"]]
    assert np.array_equal(found, np.concatenate(alone))


def test_every_input_is_cut_at_the_same_rows(tmp_path: Path) -> None:
    model = load(write_artifact(tmp_path, TENSORS))
    rows = 30_000  # 24 bytes a row: three chunks
    values = np.arange(2 * rows, dtype=np.float32).reshape(rows, 2)
    feeds: dict[str, Array] = {"values": values, "counts": np.full((rows, 2), 4, np.int64)}
    found = run_in_chunks(model, feeds, ["quotients", "doubled"])
    assert list(found) == ["quotients", "doubled"]
    assert np.array_equal(found["quotients"], values / np.float32(4))
    assert np.all(found["doubled"] == 8)
