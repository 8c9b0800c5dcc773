"""One line of an error."""

from runtime.errors import one_line


def test_one_line_joins_lines_and_spaces() -> None:
    assert one_line(ValueError("Fail:\n  node\t7   has no input\n")) == "Fail: node 7 has no input"


def test_one_line_is_cut_at_300_characters() -> None:
    assert one_line(ValueError("x" * 301)) == "x" * 300


def test_one_line_of_an_empty_message_is_the_class() -> None:
    assert one_line(MemoryError()) == "MemoryError"
