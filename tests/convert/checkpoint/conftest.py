"""Fixtures of several tests of checkpoints: a file's path, and a small network's state_dict."""

from pathlib import Path

import pytest
import torch  # noqa: TID253 - in a process without TensorFlow

from tests.convert.support.checkpoint_files import network


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a path without an ending: readers go by content."""
    return tmp_path / "weights.bin"


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    """Return the state_dict of a convolution and its batch normalisation."""
    state: dict[str, torch.Tensor] = network().state_dict()
    return state
