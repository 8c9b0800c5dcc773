"""The folder of real media that SLIPWAY_TEST_DATA names; tests that need it skip without it."""

import os
from pathlib import Path

import pytest

DATA = Path(os.environ.get("SLIPWAY_TEST_DATA", "")) / "data"
needs_data = pytest.mark.skipif(
    "SLIPWAY_TEST_DATA" not in os.environ, reason="SLIPWAY_TEST_DATA is not set"
)
