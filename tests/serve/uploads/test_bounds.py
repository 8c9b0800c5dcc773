"""Try values of an upload that are a million times longer than they should be."""

import base64

import pytest

from runtime.errors import InputError, TooLargeError
from serve.errors import UnsupportedMediaError
from serve.uploads.base64_text import from_base64
from serve.uploads.form import Form
from serve.uploads.options import Text
from serve.uploads.parse import MAX_QUERY_FIELDS, parse_upload, read_query
from tests.support.memory import peak_bytes

SIZE = 2**20  # of a hostile body; a real one may have fourteen times as much
MOST_COPIES = 4  # of the body, in memory at once
MULTIPART = "multipart/form-data; boundary=xx"
JSON = "application/json"
OPTIONS = tuple(Text(name=name, example="", help="") for name in ("tta", "weights"))
ONE = Form(("image",), OPTIONS)
MANY = Form(("image_a", "image_b"), most=3, objects=True)
TEXT = Form(("text",), noun="text", is_text=True)
EMOJI = "\N{GRINNING FACE}".encode()


def option(name: bytes, data: bytes) -> bytes:
    head = b'--xx\r\nContent-Disposition: form-data; name="%b"\r\n\r\n' % name
    file = b'--xx\r\nContent-Disposition: form-data; name="image"; filename="f"\r\n\r\nx\r\n'
    return head + data + b"\r\n" + file + b"--xx--\r\n"


def refusal_of(body: bytes, content_type: str, form: Form) -> InputError | None:
    """Return the error of a body."""
    try:
        upload = parse_upload(body, content_type=content_type, query=(), form=form, max_files=4)
    except InputError as error:
        return error
    assert not isinstance(upload, tuple)
    return None


def repeated(pattern: bytes) -> bytes:
    return pattern * (SIZE // len(pattern))


@pytest.mark.parametrize(
    ("body", "content_type", "form"),
    [
        (option(b"weights", repeated(b"a,")), MULTIPART, ONE),
        (option(b"tta", repeated(b"\xff")), MULTIPART, ONE),
        (option(b"tta", repeated(b"a") + EMOJI), MULTIPART, ONE),
        (b'{"image":"","tta":"%b"}' % (repeated(b"a") + EMOJI), JSON, ONE),
        (b'{"image":"","tta":1%b}' % repeated(b"0"), JSON, ONE),
        (b'{"image":"","%b":""}' % repeated(b"a"), JSON, ONE),
        (b'{"image":"","%b" :""}' % (repeated(b"a") + EMOJI), JSON, ONE),
        (b'{"image":""%b}' % repeated(b" "), JSON, ONE),
        (b'{"image":[%b""]}' % repeated(b'"",'), JSON, ONE),
        (b'{"image_a":[%b1]}' % repeated(b"{},"), JSON, MANY),
        (b'{"image_a":[%b1]}' % (b"[]," * 4096), JSON, MANY),
        (b'{"text":[%b1]}' % (b"{}," * (SIZE // 3 - 20)), JSON, TEXT),
        (b'{"text":[%b1]}' % (b'"",' * (SIZE // 3 - 20)), JSON, TEXT),
    ],
    ids=lambda value: value[:24].decode("latin-1") if isinstance(value, bytes) else "",
)
def test_what_is_too_long_is_413_and_takes_little_memory(
    body: bytes, content_type: str, form: Form
) -> None:
    errors: list[InputError | None] = []
    peak = peak_bytes(lambda: errors.append(refusal_of(body, content_type, form)))
    assert isinstance(errors[0], TooLargeError)
    assert len(str(errors[0])) < 300
    assert peak < MOST_COPIES * len(body)


@pytest.mark.parametrize(
    "text",
    [
        repeated(b"%2B"),
        repeated(b"%41"),
        repeated(b"A") + EMOJI,
        EMOJI + repeated(b"A"),
        repeated(b"A") + rb"\ud83d\ude00",
        repeated(rb"\u0041"),
        repeated(rb"\n"),
        repeated(rb"\/"),
        repeated(b"A"),
        b"data:;base64," + repeated(b"%2B"),
        b"data:" + repeated(b";"),
        b"data:" + repeated(b"; "),
        b"data:;" + repeated(b" "),
        b"data:;base64" + repeated(b" "),
        b"data:" + repeated(b";base64"),
    ],
    ids=lambda text: text[:16].decode("latin-1") + "..." + text[-4:].decode("latin-1"),
)
def test_a_file_in_json_takes_a_few_times_its_size(text: bytes) -> None:
    body = b'{"image":"%b"}' % text
    errors: list[InputError | None] = []
    peak = peak_bytes(lambda: errors.append(refusal_of(body, JSON, ONE)))
    assert peak < MOST_COPIES * len(body)
    assert errors[0] is None or len(str(errors[0])) < 300


@pytest.mark.parametrize("size", [*range(12), 49_151, 49_152, 49_153, 65_536, 200_001])
@pytest.mark.parametrize("width", [0, 4, 76])
def test_blocks_of_base64_are_those_of_the_whole(size: int, width: int) -> None:
    data = bytes(range(251)) * (size // 251 + 1)
    data = data[:size]
    text = base64.b64encode(data)
    lines = [text[i : i + width] for i in range(0, len(text), width)] if width else [text]
    for line_break in (b"", rb"\n", rb"\r\n", b"%0D%0a"):
        escaped = line_break.join(lines).replace(b"+", b"%2b").replace(b"/", rb"\/")
        assert from_base64("image", b'"%b"' % escaped) == data
        assert from_base64("image", b'"data:a\\/b;base64,%b"' % escaped.rstrip(b"=")) == data


@pytest.mark.parametrize("tail", [b"AA==AA==", b"AAA=A", b"AA=", b"A", b"AA$A"])
@pytest.mark.parametrize("head", [0, 4, 2**16 - 8, 2**16 - 4, 2**16])
def test_errors_of_base64_are_found_in_every_block(head: int, tail: bytes) -> None:
    result = from_base64("image", b'"%b%b"' % (b"A" * head, tail))
    assert isinstance(result, InputError)
    assert "'image' is not base64" in str(result)


def test_long_options_texts_and_nested_objects() -> None:
    condition = "é" * 2000
    form = Form(("video",), (Text(name="condition", example="", help=""),))
    body = f'{{"video":"AAAA","condition":"{condition}"}}'.encode()
    upload = parse_upload(body, content_type=JSON, query=(), form=form, max_files=1)
    assert not isinstance(upload, tuple)
    assert upload.options == {"condition": condition}
    text = 'a "quoted" text, {[,]} ' * 4000
    body = b'{"text":["%b","b"]}' % text.replace('"', '\\"').encode()
    uploads = parse_upload(body, content_type=JSON, query=(), form=TEXT, max_files=2)
    assert isinstance(uploads, tuple)
    files = [upload.files for upload in uploads if not isinstance(upload, InputError)]
    assert files == [(text.encode(),), (b"b",)]
    deep = b'{"image_a":{"a":%b%b},"image_b":""}' % (b"[" * 300, b"]" * 300)
    with pytest.raises(InputError, match="'image_a' is an object that is nested too deeply"):
        parse_upload(deep, content_type=JSON, query=(), form=MANY, max_files=1)


def test_a_query_of_many_fields_or_a_long_one_is_refused() -> None:
    assert read_query(b"a=1&b=%20&c") == [("a", "1"), ("b", " "), ("c", "")]
    with pytest.raises(TooLargeError, match="the query has 65 fields; allowed: 64"):
        read_query(b"&" * MAX_QUERY_FIELDS)
    query = [("tta", "a" * 20_000)]
    with pytest.raises(TooLargeError, match="'tta' has 20000 bytes; allowed for an option: 16384"):
        parse_upload(b"x", content_type="", query=query, form=ONE, max_files=1)


def test_a_long_content_type_is_refused() -> None:
    content_type = f"multipart/form-data; boundary={'x' * 60_001}"
    with pytest.raises(UnsupportedMediaError, match="Content-Type has 60031 bytes; allowed: 1024"):
        parse_upload(b"--x", content_type=content_type, query=(), form=ONE, max_files=1)
