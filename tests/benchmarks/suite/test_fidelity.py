import numpy as np
import pytest

from benchmarks.suite.fidelity import cosine, lowest_cosine


def test_the_cosine_of_arrays() -> None:
    assert cosine(np.array([1.0, 0.0]), np.array([1.0, 1.0])) == pytest.approx(0.5**0.5)
    assert cosine(np.zeros(3), np.zeros(3)) == 1.0
    assert cosine(np.zeros(3), np.ones(3)) == 0.0


def test_the_worst_output_counts() -> None:
    originals = {"a": np.array([[9.0, 9.0], [1.0, 0.0]]), "b": np.array([[9.0], [2.0]])}
    outputs = {"a": np.array([[0.0, 1.0]]), "b": np.array([[1.0]])}
    assert lowest_cosine(outputs, originals, 1) == pytest.approx(0.0)
