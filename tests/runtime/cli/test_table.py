from runtime.cli.table import align


def test_columns_are_aligned() -> None:
    assert align([("a", "bb", "c"), ("aaa", "b", "")]) == ["a    bb  c", "aaa  b"]
