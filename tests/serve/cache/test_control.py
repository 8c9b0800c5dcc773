"""Cache-Control of a request."""

import pytest

from serve.cache.control import Control, control_of

ANY = Control()


@pytest.mark.parametrize(
    ("header", "control"),
    [
        ("", ANY),
        ("no-store", Control(may_read=False, may_store=False)),
        ("No-Cache", Control(may_read=False)),
        ("no-cache, no-store", Control(may_read=False, may_store=False)),
        ("max-age=0", Control(may_read=False, max_age_s=0)),
        ("max-age=5", Control(max_age_s=5)),
        ('max-age="5", max-age=3', Control(max_age_s=3)),
        ("max-age=-1", ANY),
        ("max-age=" + "9" * 400, ANY),
        ("max-stale, private", ANY),
        ("no-store" + "," * 2000, ANY),
    ],
)
def test_what_a_client_asks(header: str, control: Control) -> None:
    assert control_of(header) == control
