"""A wrong answer is refused before its server is timed."""

import json

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.errors import BenchmarkError
from benchmarks.peers.answers import check_cut_out, check_embedding
from benchmarks.peers.table import Answer

EXPECTED = np.linspace(-1.0, 2.0, 64)
ALPHA = np.zeros((32, 32), np.float32)
ALPHA[8:24, 8:24] = 1.0


def body(answer: Answer, values: NDArray[np.float64]) -> bytes:
    forms: dict[str, object] = {
        "embedding": {"embedding": values.tolist()},
        "list": values.tolist(),
        "tensor": {"outputs": [{"data": values.tolist()}]},
        "slipway": {"result": {"embedding": values.tolist()}},
    }
    return json.dumps(forms[answer]).encode()


@pytest.mark.parametrize("answer", ["embedding", "list", "tensor", "slipway"])
def test_the_embedding_of_each_form_is_compared(answer: Answer) -> None:
    check = check_embedding(answer, EXPECTED)
    assert check(body(answer, EXPECTED + 1e-7)) == pytest.approx(1.0)
    with pytest.raises(BenchmarkError, match="wrong answer: cosine"):
        check(body(answer, EXPECTED[::-1]))


@pytest.mark.parametrize(
    "values",
    [np.zeros(64), EXPECTED[:63], np.full(64, np.nan), EXPECTED + 0.05, np.ones(64)],
    ids=["zeros", "short", "nan", "near", "constant"],
)
def test_other_numbers_are_refused(values: NDArray[np.float64]) -> None:
    with pytest.raises(BenchmarkError):
        check_embedding("list", EXPECTED)(json.dumps(values.tolist()).encode())


@pytest.mark.parametrize("answer", [b"", b"{}", b"[]", b"null", b"<html>", b'{"embedding": "no"}'])
def test_what_is_no_embedding_is_refused(answer: bytes) -> None:
    with pytest.raises((BenchmarkError, ValueError)):
        check_embedding("embedding", EXPECTED)(answer)


def cut_out(alpha: NDArray[np.float32]) -> bytes:
    height, width = alpha.shape
    image = np.zeros((height, width, 4), np.uint8)
    image[..., 3] = np.round(alpha * 255)
    return bytes(cv2.imencode(".png", image)[1])


def test_the_foreground_of_a_cut_out_is_compared_at_its_size() -> None:
    check = check_cut_out(ALPHA)
    assert check(cut_out(ALPHA)) == 1.0
    assert check(cut_out(np.repeat(np.repeat(ALPHA, 2, 0), 2, 1))) > 0.95


@pytest.mark.parametrize("alpha", [1 - ALPHA, np.ones_like(ALPHA), np.zeros_like(ALPHA)])
def test_another_foreground_is_refused(alpha: NDArray[np.float32]) -> None:
    with pytest.raises(BenchmarkError, match="wrong answer: IoU"):
        check_cut_out(ALPHA)(cut_out(alpha))


def test_a_picture_without_alpha_is_refused() -> None:
    opaque = bytes(cv2.imencode(".png", np.zeros((32, 32, 3), np.uint8))[1])
    for answer in (b"", b"no picture", opaque):
        with pytest.raises(BenchmarkError, match="no picture with alpha"):
            check_cut_out(ALPHA)(answer)
