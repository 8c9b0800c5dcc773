"""Fixtures of the benchmark tests."""

from pathlib import Path

import pytest

from tests.benchmarks.support.artifacts import write_measurable


@pytest.fixture(scope="session")
def measurable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write artifacts that can be measured. Tests only read them."""
    root = tmp_path_factory.mktemp("measurable")
    write_measurable(root)
    return root
