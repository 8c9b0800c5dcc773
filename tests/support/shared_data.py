"""The folder of real media that SLIPWAY_TEST_DATA names; tests that need it skip without it."""

import os
from pathlib import Path

import pytest

_ROOT = Path(os.environ.get("SLIPWAY_TEST_DATA", ""))
DATA = _ROOT / "data"
CASES = _ROOT / "cases"  # small inputs, each with the answer that is right
needs_data = pytest.mark.skipif(
    "SLIPWAY_TEST_DATA" not in os.environ, reason="SLIPWAY_TEST_DATA is not set"
)
