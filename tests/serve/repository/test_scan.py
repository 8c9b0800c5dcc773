"""Texts for clients name no folder above that of all models."""

import pytest

from serve.repository.scan import without_root


@pytest.mark.parametrize(
    ("text", "root", "public"),
    [
        ("/srv/a/m/1/x.onnx has 3 bytes", "/srv/a", "m/1/x.onnx has 3 bytes"),
        ("'/srv/a/m' and /srv/a/n", "/srv/a/", "'m' and n"),
        ("a/m/1 holds no data/x", "a", "m/1 holds no data/x"),
        ("/other/srv/a/m", "/srv/a", "/other/srv/a/m"),
        ("/m/1 is gone", "/", "m/1 is gone"),
        ("/srv/a/m", "", "/srv/a/m"),
    ],
)
def test_a_path_begins_below_the_root(text: str, root: str, public: str) -> None:
    assert without_root(text, root) == public
