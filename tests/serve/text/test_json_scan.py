import orjson
import pytest

from runtime.errors import InputError, TooLargeError
from serve.text.json_scan import check_begin, cut_out, strings


def strings_of(text: bytes) -> list[bytes]:
    return [text[first:last] for first, last in strings(text, len(text))]


def test_strings_end_at_the_first_quote_that_is_not_escaped() -> None:
    values = ["", "a", 'quo"te', "\\", '\\"', 'x\\\\"', "é\n", "]}"]
    text = orjson.dumps({value: [value] for value in values})
    assert [orjson.loads(string) for string in strings_of(text)] == [
        v for v in values for _ in (1, 2)
    ]


def test_a_string_without_an_end_is_left_out() -> None:
    assert strings_of(rb'"a","b') == [b'"a"']
    assert strings_of(rb'"a","b\"') == [b'"a"']
    assert list(strings(b'"a","b"', 5)) == [(0, 3)]


def test_parts_are_taken_out_and_found_again() -> None:
    text = b'{"a": "long", "b": ["long", 5]}'
    spans = [span for span in strings(text, len(text)) if text[slice(*span)] == b'"long"']
    cut = cut_out(text, spans, end=len(text), limit=100, place="the text")
    content = orjson.loads(cut.rest)
    names = [content["a"], content["b"][0]]
    assert len(set(names)) == 2
    assert [cut.part(name) for name in names] == [b'"long"'] * 2
    assert cut.part("long") is cut.part(5) is None


def test_a_client_cannot_name_a_part() -> None:
    cuts = [cut_out(b'"x"', [(0, 3)], end=3, limit=9, place="") for _ in range(2)]
    assert cuts[0].parts.keys() != cuts[1].parts.keys()


def test_the_rest_is_bounded() -> None:
    with pytest.raises(TooLargeError, match="the text has 11 bytes; allowed: 10"):
        cut_out(b'"x"' + b" " * 11, [(0, 3)], end=14, limit=10, place="the text")


def test_what_begins_as_no_json_is_refused() -> None:
    for text in (b"", b"{}", b" \n[", b'"a"', b"-1", b"true", b"null", b" " * 9):
        check_begin(text, "the text")
    with pytest.raises(InputError, match="the text is not JSON: it begins with bytes 89 50 4e 47"):
        check_begin(b"\r\n\x89PNG", "the text")
