"""Similarity of images: cosines, scores, and embeddings that callers send back."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime import Model, load
from runtime.errors import DecodeError, InputError
from runtime.results import Embedding
from runtime.tasks.similarity import compare, embed, read_embedding, score, similarity
from tests.support.artifacts import CLASSIFIER, EMBEDDING, SCALED, write_artifact
from tests.support.images import solid

RED, GREEN, YELLOW = solid(255, 0, 0), solid(0, 255, 0), solid(200, 200, 0)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("artifacts")


@pytest.fixture(scope="module")
def plain(root: Path) -> Model:
    return load(write_artifact(root, EMBEDDING))


@pytest.fixture(scope="module")
def scaled(root: Path) -> Model:
    return load(write_artifact(root, SCALED, version=3))


def test_an_uncalibrated_model_has_no_score(plain: Model) -> None:
    answer = similarity(RED, [YELLOW], plain).to_json()
    assert answer["cosine"] == pytest.approx(math.sqrt(0.5), abs=1e-6)  # float32
    assert answer["score"] is None
    assert answer["calibration"] == "uncalibrated"


def test_scores_are_linear_between_the_knots(scaled: Model) -> None:
    scale = scaled.spec.similarity
    assert scale is not None
    cosines = [-1, -0.5, 0, 0.125, 0.5, 0.875, 1]
    assert [score(cosine, scale) for cosine in cosines] == pytest.approx(
        [0, 0.05, 0.1, 0.2, 0.5, 0.85, 1], abs=1e-12
    )
    answer = similarity(RED, [YELLOW], scaled).to_json()
    expected = 0.3 + (math.sqrt(0.5) - 0.25) / 0.5 * 0.4
    assert answer["score"] == pytest.approx(expected, abs=1e-6)
    assert answer["calibration"] == "sha256:" + "7" * 64


def test_an_image_equals_itself(scaled: Model) -> None:
    comparison = similarity(solid(3, 77, 191), [solid(3, 77, 191)], scaled).compared[0]
    assert comparison.cosine == pytest.approx(1, abs=1e-6)
    assert comparison.cosine <= 1
    assert comparison.score is not None
    assert comparison.score >= 0.99


def test_rounding_does_not_put_a_cosine_beyond_one() -> None:
    embedding = Embedding("m", 1, "d", np.array([1.0004, 0, 0], np.float32))
    opposite = replace(embedding, values=-embedding.values)
    assert compare(embedding, embedding, None).cosine == 1.0
    assert compare(embedding, opposite, None).cosine == -1.0


def test_one_image_is_compared_with_many(scaled: Model) -> None:
    answer: dict[str, Any] = dict(similarity(RED, [GREEN, RED, YELLOW], scaled).to_json())
    assert answer["best"] == 1
    assert answer["cosine"] == pytest.approx(1, abs=1e-6)
    assert [entry["cosine"] for entry in answer["compared"]] == pytest.approx(
        [0, 1, math.sqrt(0.5)], abs=1e-6
    )
    alone = similarity(RED, [YELLOW], scaled).to_json()
    assert alone["score"] == answer["compared"][2]["score"]
    assert "best" not in alone


def test_embeddings_of_an_answer_take_the_place_of_images(scaled: Model) -> None:
    original = similarity(RED, [YELLOW, GREEN], scaled)
    embeddings = original.to_json(embeddings=True)["embeddings"]
    first, others = embeddings["first"], embeddings["others"]
    assert (first["model"], first["version"], first["digest"], first["dimensions"]) == (
        "tiny_scaled", 3, scaled.manifest.digest, 3,
    )  # fmt: skip
    files = [json.dumps(other).encode() for other in others]
    again = similarity(json.dumps({"result": first}).encode(), files, scaled)
    assert again.to_json() == original.to_json()
    mixed = similarity(original.first, [YELLOW, files[1]], scaled)
    assert mixed.to_json() == original.to_json()


def test_embeddings_of_another_digest_are_refused(plain: Model, scaled: Model) -> None:
    other = embed(RED, plain)
    with pytest.raises(InputError, match="embeddings of different digests do not compare"):
        similarity(RED, [other], scaled)
    older = replace(embed(RED, scaled), digest="0" * 64)
    with pytest.raises(InputError, match=f"of tiny_scaled, version 3, digest {'0' * 64}; this is"):
        similarity(older, [RED], scaled)
    with pytest.raises(InputError, match="allowed: of one model and digest"):
        compare(embed(RED, scaled), older, None)


COMPLETE = {"model": "m", "version": 1, "digest": "d", "embedding": [1.0, 0, 0]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"model"', "the embedding is not JSON"),
        (b"[" * 64, "the embedding is not JSON"),
        (b"[" * 100_000, "has 100000 of the character [; allowed: 64"),
        (b"[]", "the embedding has no model; needed: model, version, digest and embedding"),
        (json.dumps({**COMPLETE, "version": "1"}).encode(), "the embedding has no version"),
        (json.dumps({**COMPLETE, "version": True}).encode(), "the embedding has no version"),
        (json.dumps({**COMPLETE, "digest": None}).encode(), "the embedding has no digest"),
        (json.dumps({**COMPLETE, "embedding": []}).encode(), "is not a list of 1 to 65536 numbers"),
        (json.dumps({**COMPLETE, "embedding": [True]}).encode(), "is not a list of"),
        (json.dumps({**COMPLETE, "embedding": ["1"]}).encode(), "is not a list of"),
        (json.dumps({**COMPLETE, "embedding": [10**400]}).encode(), "a number that is too large"),
        (b'{"' + b" " * 3_000_000, "has 3000002 bytes; allowed: 2097152"),
        (b'{"a":[' + b"[]," * 64 + b"1]}", "has 65 of the character [; allowed: 64"),
        (b'{"a":[' + b"{}," * 64 + b"1]}", "has 65 of the character {; allowed: 64"),
        (b'{"a":[' + b'"",' * 2048 + b'""]}', 'has 4100 of the character "; allowed: 4096'),
        (b'{"a":[' + b"1," * 70_000 + b"1]}", "has 70000 of the character ,; allowed: 69632"),
    ],
)
def test_json_that_is_no_embedding_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(InputError) as caught:
        read_embedding(content)
    assert message in str(caught.value)


@pytest.mark.parametrize("values", [[1.0, 1.0, 0.0], [1.0, 0.0], [math.nan, 0.0, 0.0], [1e30] * 3])
def test_an_embedding_with_another_norm_or_size_is_refused(
    scaled: Model, values: list[float]
) -> None:
    embedding = Embedding("tiny_scaled", 3, scaled.manifest.digest, np.array(values, np.float32))
    with pytest.raises(InputError, match="allowed: 3 of norm 1"):
        similarity(embedding, [RED], scaled)


def test_an_embedding_beyond_float32_is_refused(scaled: Model) -> None:
    fields = {**embed(RED, scaled).to_json(), "embedding": [1e300, 0, 0]}
    with pytest.raises(InputError, match="allowed: 3 of norm 1"):
        similarity(json.dumps(fields).encode(), [RED], scaled)


def test_no_other_image_bad_files_and_other_models_are_refused(
    scaled: Model, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="nothing to compare with"):
        similarity(RED, [], scaled)
    with pytest.raises(DecodeError):
        similarity(RED, [b"no image"], scaled)
    classifier = load(write_artifact(tmp_path, CLASSIFIER))
    with pytest.raises(InputError, match="allowed: image-feature-extraction"):
        similarity(RED, [RED], classifier)
