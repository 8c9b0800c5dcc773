import base64

import orjson
import pytest

from runtime.errors import InputError, TooLargeError
from serve.errors import UnsupportedMediaError
from serve.uploads.form import Form
from serve.uploads.options import Text
from serve.uploads.parse import Query, Upload, is_json, parse_upload

OPTIONS = tuple(Text(name=name, example="", help="") for name in ("color", "format"))
ONE = Form(
    files=("image",),
    options=OPTIONS,
)
TWO = Form(files=("image_a", "image_b"))
MANY = Form(files=("image_a", "image_b"), most=3, objects=True)
ANY = Form(files=("image",), least=0, most=2)
TYPE = "multipart/form-data; boundary=xx"
PNG, JPEG = b"\x89PNG\r\n\x1a\n--xx\x00", b"\xff\xd8\xff\r\n"


def part(name: str, data: bytes, *, filename: str | None = "f.png") -> bytes:
    suffix = f'; filename="{filename}"' if filename is not None else ""
    head = f'--xx\r\nContent-Disposition: form-data; name="{name}"{suffix}\r\n'
    kind = "Content-Type: image/png\r\n" if filename is not None else ""
    return head.encode() + kind.encode() + b"\r\n" + data + b"\r\n"


def multipart(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--xx--\r\n"


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def parse(body: bytes, content_type: str = "", form: Form = ONE, query: Query = ()) -> Upload:
    upload = parse_upload(body, content_type=content_type, query=query, form=form, max_files=4)
    assert isinstance(upload, Upload)
    return upload


def as_json(content: object, form: Form = ONE) -> Upload:
    return parse(orjson.dumps(content), "application/json", form)


def test_a_raw_body_is_the_image_whatever_its_type() -> None:
    for content_type in ("", "image/png", "application/x-www-form-urlencoded", "nonsense"):
        assert parse(PNG, content_type) == Upload((PNG,), {})


def test_multipart_takes_any_field_name_of_a_file() -> None:
    assert parse(multipart(part("photo", PNG)), TYPE).files == (PNG,)


def test_multipart_takes_a_documented_name_without_a_file_name() -> None:
    assert parse(multipart(part("image", PNG, filename=None)), TYPE).files == (PNG,)


def test_multipart_text_fields_are_options() -> None:
    body = multipart(part("color", b"#fff", filename=None), part("image", PNG))
    assert parse(body, TYPE) == Upload((PNG,), {"color": "#fff"})


def test_two_files_come_in_the_documented_order() -> None:
    body = multipart(part("image_b", JPEG), part("image_a", PNG))
    assert parse(body, TYPE, TWO).files == (PNG, JPEG)
    body = multipart(part("x", JPEG), part("x", PNG))
    assert parse(body, TYPE, TWO).files == (JPEG, PNG)


def test_base64_json() -> None:
    upload = as_json({"image": encoded(PNG), "format": "png"})
    assert upload == Upload((PNG,), {"format": "png"})
    assert as_json({"image_b": encoded(JPEG), "image_a": encoded(PNG)}, TWO).files == (PNG, JPEG)


@pytest.mark.parametrize(
    "prefix",
    [
        "data:image/png;base64,",
        "data:;base64,",
        "data:a/b;c=d;base64,",
        "data:audio/ogg; codecs=opus;base64,",
        "data:video/webm;codecs=vp8,opus;base64,",
        'data:video/mp4;codecs="avc1.42E01E, mp4a.40.2";base64,',
        "data:image/png;name=my%20photo.png;base64,",
        "data:image/png;name=mein foto (1).png; base64,",
        "DATA:image/png;BASE64,",
    ],
)
def test_data_urls(prefix: str) -> None:
    assert as_json({"image": prefix + encoded(PNG)}).files == (PNG,)
    escaped = encoded(PNG).replace("+", "%2B").replace("/", "%2f").replace("=", "%3D")
    assert as_json({"image": prefix + escaped}).files == (PNG,)


def test_base64_of_every_dialect() -> None:
    data = bytes(range(256)) + b"\xfb\xff\xfe"
    for size in (257, 258, 259):
        standard = base64.b64encode(data[:size]).decode()
        url_safe = base64.urlsafe_b64encode(data[:size]).decode()
        mime = base64.encodebytes(data[:size]).decode()
        assert "-" in url_safe
        assert "\n" in mime
        texts = (url_safe, mime, mime.replace("\n", "\r\n"), f" {standard}\t")
        for text in (standard, *texts):
            for variant in (text, text.rstrip("=\r\n\t ")):
                assert as_json({"image": variant}).files == (data[:size],)


def test_a_field_that_repeats_keeps_the_order_of_the_client() -> None:
    body = multipart(part("image_b", b"1"), part("image_a", b"a"), part("image_b", b"2"))
    assert parse(body, TYPE, MANY).files == (b"a", b"1", b"2")
    content = {"image_b": [encoded(b"1"), encoded(b"2")], "image_a": encoded(b"a")}
    assert as_json(content, MANY).files == (b"a", b"1", b"2")
    assert as_json({**content, "image_b": encoded(b"1")}, MANY).files == (b"a", b"1")
    body = multipart(part("x", b"1"), part("y", b"2"), part("x", b"3"))
    assert parse(body, TYPE, MANY).files == (b"1", b"2", b"3")


def test_a_field_that_may_be_left_out() -> None:
    assert as_json({}, ANY).files == ()
    assert parse(multipart(part("image", PNG), part("image", JPEG)), TYPE, ANY).files == (PNG, JPEG)
    assert parse(PNG, form=ANY).files == (PNG,)


def test_an_object_may_replace_a_file_if_the_form_allows_it() -> None:
    values = [0.5] * 2000
    content = {"image_a": {"embedding": values}, "image_b": [encoded(PNG), {"b": 1}]}
    first, second, third = as_json(content, MANY).files
    assert orjson.loads(first) == {"embedding": values}
    assert (second, third) == (PNG, b'{"b":1}')
    with pytest.raises(InputError, match="'image_a' is an object; allowed: a string"):
        as_json({"image_a": {}, "image_b": encoded(PNG)}, TWO)


@pytest.mark.parametrize(
    ("body", "content_type", "query", "message"),
    [
        (multipart(*[part("image_a", PNG)] * 2, part("image_b", PNG)), TYPE, [], "'image_a' is gi"),
        (
            multipart(part("image_a", PNG)),
            TYPE,
            [],
            r"2 to 4 images \(image_a, image_b up to 3 time",
        ),
        (multipart(*[part("x", PNG)] * 5), TYPE, [], r"found 5 files .*; needed: 2 to 4 images"),
        (
            b'{"image_a": "AA==", "image_b": []}',
            "application/json",
            [],
            "a list of 0; needed: 2 to",
        ),
        (
            b'{"image_a": "AA==", "image_b": [[]]}',
            "application/json",
            [],
            "is a list; allowed: a s",
        ),
        (
            b'{"image_a": ["AA=="], "image_b": "AA=="}',
            "application/json",
            [],
            "'image_a' is a list",
        ),
        (PNG, "", [], "a raw body is 1 file; needed: 2 to 4 images"),
        (
            PNG + JPEG,
            "",
            [("first_bytes", str(len(PNG)))],
            "first_bytes is not supported; send two",
        ),
    ],
)
def test_the_number_of_files_in_a_repeated_field_is_checked(
    body: bytes, content_type: str, query: Query, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        parse(body, content_type, MANY, query)


def test_options_come_from_the_query_too() -> None:
    query = [("color", "#123456"), ("format", "jpeg")]
    assert parse(PNG, query=query).options == dict(query)


@pytest.mark.parametrize(
    ("body", "content_type", "form", "query", "message"),
    [
        (b"", "", ONE, [], r"empty; needed: 1 image \(image\)"),
        (b"", TYPE, TWO, [], r"empty; needed: 2 images \(image_a, image_b\)"),
        (multipart(part("image", b"")), TYPE, ONE, [], "file 'image' is empty"),
        (multipart(part("a", PNG), part("b", PNG)), TYPE, ONE, [], r"2 files \(a, b\); needed: 1"),
        (multipart(part("image_a", PNG)), TYPE, TWO, [], r"found 1 file \(image_a\); needed: 2"),
        (multipart(*[part("x", PNG)] * 3), TYPE, TWO, [], r"found 3 files \(x, x, x\); needed: 2"),
        (multipart(part("color", b"", filename=None)), TYPE, ONE, [], "found no file; needed: 1"),
        (multipart(part("image", PNG))[:-9], TYPE, ONE, [], "closing boundary is missing"),
        (b"no boundary in here", TYPE, ONE, [], "not well-formed multipart/form-data"),
        (
            PNG,
            "",
            TWO,
            [],
            r"a raw body is 1 file; needed: 2 images \(image_a, image_b\), as multip",
        ),
        (PNG, "", ONE, [("first_bytes", "1")], "send two files as multipart/form-data or JSON"),
        (PNG, "", ONE, [("colour", "red")], "'colour' is unknown; allowed: image, color, format"),
        (PNG, "", ONE, [("color", "a"), ("color", "b")], "'color' is given twice"),
    ],
)
def test_invalid_uploads_are_refused(
    body: bytes, content_type: str, form: Form, query: Query, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        parse(body, content_type, form, query)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "JSON body is a list; allowed: an object"),
        (None, "JSON body is null"),
        ({}, r"'image' is missing \(found: no field\); needed: 1 image"),
        ({"photo": encoded(PNG)}, r"'image' is missing \(found: photo\)"),
        ({"image": 5}, "'image' is a number; allowed: a string"),
        ({"image": True}, "'image' is a boolean"),
        ({"image": encoded(PNG), "color": ["red"]}, "'color' is a list; allowed: a string, a"),
        ({"image": encoded(PNG), "colour": None}, "'colour' is unknown; allowed: image, color"),
        ({"image": ""}, r"file 'image' is empty; needed: 1 image \(image\)"),
        ({"image": "data:;base64,"}, "file 'image' is empty"),
        ({"image": "data:image/png,abc"}, "data URL that is not base64"),
        ({"image": "a"}, "'image' is not base64"),
        ({"image": "YQ="}, "'image' is not base64: Incorrect padding"),
        ({"image": "YQ==YQ=="}, "'image' is not base64"),
        ({"image": "YQ$="}, "'image' is not base64"),
        ({"image": "YWJjZ"}, "'image' is not base64"),
        ({"image": "data:image/png;name=x,YQ=="}, "data URL that is not base64"),
        ({"image": f"data:{'x' * 600};base64,YQ=="}, "data URL that is not base64"),
        ({"image": "é==="}, "'image' is not base64: a character outside ASCII; allowed: A-Z"),
        ({"image": encoded(PNG), "image_b": ""}, "'image_b' is unknown"),
    ],
)
def test_invalid_json_is_refused(content: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        as_json(content)


def test_json_options_may_be_strings_numbers_or_booleans() -> None:
    values = (("red", "red"), (0.25, "0.25"), (3, "3"), (True, "true"), (False, "false"))
    for value, text in values:
        assert as_json({"image": encoded(PNG), "color": value}).options == {"color": text}
    assert as_json({"image": encoded(PNG), "color": None}).options == {}


def test_a_form_of_too_many_parts_is_refused() -> None:
    with pytest.raises(TooLargeError, match="the form has more than 64 parts; allowed: 64"):
        parse(multipart(*[part("x", PNG)] * 65), TYPE, TWO)


def test_an_empty_file_of_a_repeated_field_keeps_its_place() -> None:
    many = Form(("image_a", "image_b"), most=3)
    files = [part("image_b", b""), part("image_a", PNG), part("image_b", PNG)]
    assert parse(multipart(*files), TYPE, many).files == (PNG, b"", PNG)
    listed = {"image_a": encoded(PNG), "image_b": ["", encoded(PNG)]}
    assert as_json(listed, many).files == (PNG, b"", PNG)
    for empty in (files[:2], [part("image_a", b""), *[part("image_b", PNG)] * 2]):
        with pytest.raises(InputError, match=r"file 'image_[ab]' is empty"):
            parse(multipart(*empty), TYPE, many)
    for content in (
        {"image_a": "", "image_b": [encoded(PNG)] * 2},
        {"image_a": encoded(PNG), "image_b": [""]},
    ):
        with pytest.raises(InputError, match=r"'image_[ab]' is empty"):
            as_json(content, many)


def test_a_missing_and_a_third_image_in_json() -> None:
    with pytest.raises(InputError, match=r"'image_b' is missing \(found: image_a\)"):
        as_json({"image_a": encoded(PNG)}, TWO)
    three = {"image_a": encoded(PNG), "image_b": encoded(PNG), "image_c": encoded(PNG)}
    with pytest.raises(InputError, match="'image_c' is unknown; allowed: image_a, image_b"):
        as_json(three, TWO)


def test_broken_json_is_refused() -> None:
    with pytest.raises(InputError, match="the body is not JSON: "):
        parse(b'{"image": ', "application/json; charset=utf-8")


@pytest.mark.parametrize("content_type", ["multipart/mixed; boundary=xx", "multipart/form-data"])
def test_other_multipart_types_are_unsupported(content_type: str) -> None:
    with pytest.raises(UnsupportedMediaError, match="allowed: multipart/form-data with a boundary"):
        parse(PNG, content_type)


def test_is_json() -> None:
    assert is_json("Application/JSON; charset=utf-8")
    assert is_json("application/problem+json")
    assert not is_json("text/plain")
    assert not is_json("")


@pytest.mark.parametrize(
    "body",
    [
        b'{"image":[' + b"{}," * 300 + b"{}]}",
        b'{"image":' + b"[" * 300 + b"]" * 300 + b"}",
        b'{"image":[' + b"1," * 300 + b"1]}",
        b"{" + b'"a":"b",' * 100 + b'"image":"AA=="}',
    ],
)
def test_json_of_many_values_is_refused_before_it_is_read(body: bytes) -> None:
    with pytest.raises(TooLargeError, match=r"allowed: 256$"):
        parse(body, "application/json")
