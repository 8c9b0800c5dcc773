"""Artifacts that the tests of the transport send."""

from pathlib import Path

import pytest


@pytest.fixture
def artifacts(tmp_path: Path) -> Path:
    """Return a directory for artifacts that are sent."""
    return tmp_path / "artifacts"
