"""The number of rows that pay in one run."""

from collections.abc import Mapping
from typing import Any

import pytest

from runtime.artifact.batch_times import cheapest_rows
from runtime.artifact.manifest import Variant


@pytest.mark.parametrize(
    ("times_ms", "rows"),
    [
        ({}, 1),  # an artifact of before
        ({1: 10.0}, 1),
        ({1: 10.0, 2: 18.2}, 1),  # a row is 9 % cheaper
        ({1: 10.0, 2: 18.0}, 1),
        ({1: 10.0, 2: 17.9}, 2),
        ({1: 10.0, 2: 16.0, 4: 30.0, 8: 64.0, 16: 160.0}, 4),  # the cheapest row
        ({1: 10.0, 2: 19.0, 4: 20.0}, 1),  # two rows do not pay, and a batch may be that small
        ({1: 10.0, 2: 10.0, 4: 10.0, 8: 10.0, 16: 10.0, 32: 10.0}, 8),  # as many as are allowed
        ({2: 1.0}, 1),
    ],
)
def test_a_batch_is_as_large_as_its_rows_get_cheaper(times_ms: dict[int, float], rows: int) -> None:
    assert cheapest_rows(times_ms, 8) == rows


@pytest.mark.parametrize(
    ("recorded", "times_ms"),
    [
        ({"batch_milliseconds": {"4": 9, "1": 2.5}}, {1: 2.5, 4: 9.0}),
        ({}, {}),
        ({"batch_milliseconds": None}, {}),
        ({"batch_milliseconds": {"two": 1.0, "2": "1", "4": -1.0, "8": 1.0}}, {8: 1.0}),
    ],
)
def test_times_are_read_from_the_verification(
    recorded: Mapping[str, Any], times_ms: dict[int, float]
) -> None:
    variant = Variant("float", "float", (), (), recorded, True)
    assert variant.batch_times_ms == times_ms
    assert list(variant.batch_times_ms) == sorted(times_ms)
