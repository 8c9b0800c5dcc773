"""How alike images are."""

import json
import math
from dataclasses import replace
from pathlib import Path

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


def test_without_a_scale_there_is_no_score(plain: Model) -> None:
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


def test_an_image_is_itself(scaled: Model) -> None:
    found = similarity(solid(3, 77, 191), [solid(3, 77, 191)], scaled).compared[0]
    assert found.cosine == pytest.approx(1, abs=1e-6)
    assert found.cosine <= 1
    assert found.score is not None
    assert found.score >= 0.99


def test_rounding_does_not_take_a_cosine_beyond_one() -> None:
    made = Embedding("m", 1, "d", np.array([1.0004, 0, 0], np.float32))
    assert compare(made, made, None).cosine == 1.0
    assert compare(made, replace(made, values=-made.values), None).cosine == -1.0


def test_one_against_many(scaled: Model) -> None:
    answer = similarity(RED, [GREEN, RED, YELLOW], scaled).to_json()
    assert answer["best"] == 1
    assert answer["cosine"] == pytest.approx(1, abs=1e-6)
    assert [each["cosine"] for each in answer["compared"]] == pytest.approx(
        [0, 1, math.sqrt(0.5)], abs=1e-6
    )
    alone = similarity(RED, [YELLOW], scaled).to_json()
    assert alone["score"] == answer["compared"][2]["score"]
    assert "best" not in alone


def test_embeddings_go_out_and_come_back(scaled: Model) -> None:
    made = similarity(RED, [YELLOW, GREEN], scaled)
    out = made.to_json(embeddings=True)["embeddings"]
    first, others = out["first"], out["others"]
    assert (first["model"], first["version"], first["digest"], first["dimensions"]) == (
        "tiny_scaled", 3, scaled.manifest.digest, 3,
    )  # fmt: skip
    sent = [json.dumps(other).encode() for other in others]
    again = similarity(json.dumps({"result": first}).encode(), sent, scaled)
    assert again.to_json() == made.to_json()
    mixed = similarity(made.first, [YELLOW, sent[1]], scaled)
    assert mixed.to_json() == made.to_json()


def test_embeddings_of_another_digest_are_refused(plain: Model, scaled: Model) -> None:
    other = embed(RED, plain)
    with pytest.raises(InputError, match="embeddings of different digests do not compare"):
        similarity(RED, [other], scaled)
    older = replace(embed(RED, scaled), digest="0" * 64)
    with pytest.raises(InputError, match=f"of tiny_scaled, version 3, digest {'0' * 64}; this is"):
        similarity(older, [RED], scaled)
    with pytest.raises(InputError, match="allowed: of one model and digest"):
        compare(embed(RED, scaled), older, None)


WHOLE = {"model": "m", "version": 1, "digest": "d", "embedding": [1.0, 0, 0]}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'{"model"', "the embedding is not JSON"),
        (b"[" * 100_000, "the embedding is not JSON"),
        (b"[]", "the embedding has no model; needed: model, version, digest and embedding"),
        (json.dumps({**WHOLE, "version": "1"}).encode(), "the embedding has no version"),
        (json.dumps({**WHOLE, "version": True}).encode(), "the embedding has no version"),
        (json.dumps({**WHOLE, "digest": None}).encode(), "the embedding has no digest"),
        (json.dumps({**WHOLE, "embedding": []}).encode(), "is not a list of 1 to 65536 numbers"),
        (json.dumps({**WHOLE, "embedding": [True]}).encode(), "is not a list of"),
        (json.dumps({**WHOLE, "embedding": ["1"]}).encode(), "is not a list of"),
        (json.dumps({**WHOLE, "embedding": [10**400]}).encode(), "a number that is too large"),
        (b'{"' + b" " * 3_000_000, "has 3000002 bytes; allowed: 2097152"),
    ],
)
def test_what_is_no_embedding_is_refused(content: bytes, says: str) -> None:
    with pytest.raises(InputError) as caught:
        read_embedding(content)
    assert says in str(caught.value)


@pytest.mark.parametrize("values", [[1.0, 1.0, 0.0], [1.0, 0.0], [math.nan, 0.0, 0.0], [1e30] * 3])
def test_an_embedding_that_no_model_gives_is_refused(scaled: Model, values: list[float]) -> None:
    made = Embedding("tiny_scaled", 3, scaled.manifest.digest, np.array(values, np.float32))
    with pytest.raises(InputError, match="allowed: 3 of norm 1"):
        similarity(made, [RED], scaled)


def test_an_embedding_beyond_float32_is_refused(scaled: Model) -> None:
    made = {**embed(RED, scaled).to_json(), "embedding": [1e300, 0, 0]}
    with pytest.raises(InputError, match="allowed: 3 of norm 1"):
        similarity(json.dumps(made).encode(), [RED], scaled)


def test_what_cannot_be_compared_is_refused(scaled: Model, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing to compare with"):
        similarity(RED, [], scaled)
    with pytest.raises(DecodeError):
        similarity(RED, [b"no image"], scaled)
    classifier = load(write_artifact(tmp_path, CLASSIFIER))
    with pytest.raises(InputError, match="allowed: image-feature-extraction"):
        similarity(RED, [RED], classifier)
