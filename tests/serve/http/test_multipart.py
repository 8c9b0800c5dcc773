import pytest
from python_multipart.exceptions import FormParserError

from serve.http.multipart import Part, split_parts


def test_parts_keep_their_bytes_and_order() -> None:
    body = (
        b'--b\r\nContent-Disposition: form-data; name="a"; filename=""\r\n\r\n\x00\r\n--\r\n'
        b'--b\r\nX-Other: 1\r\ncontent-disposition: form-data; name="\xc3\xa9"\r\n\r\n\xff\r\n--b--'
    )
    parts = split_parts(body, b"b")
    assert parts == [Part("a", True, b"\x00\r\n--"), Part("é", False, b"\xff")]
    assert parts[1].text == "\ufffd"


@pytest.mark.parametrize(
    "body",
    [
        b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--",
        b"--b\r\n\r\nx\r\n--b--",
        b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nx',
        b"--c\r\n",
        b"--b",
    ],
)
def test_an_ill_formed_body_is_refused(body: bytes) -> None:
    with pytest.raises(FormParserError):
        split_parts(body, b"b")
