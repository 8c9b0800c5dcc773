import pytest

from serve.text.integers import parse_integer


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("7", 7), ("007", 7), ("10", 10)])
def test_digits_in_range(text: str, value: int) -> None:
    assert parse_integer(text, 0, 10) == value


@pytest.mark.parametrize("text", ["", "-1", "+1", " 1", "1_0", "1.0", "0x1", "٣", "11", "9" * 5000])
def test_any_other_text_is_none(text: str) -> None:
    assert parse_integer(text, 0, 10) is None
