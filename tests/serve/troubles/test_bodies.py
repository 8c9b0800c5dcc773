"""Bodies of millions of small things: refused before they are parsed, in little memory."""

from collections.abc import Callable, Sequence
from itertools import count, islice

import pytest

from tests.serve.troubles.conftest import Starter
from tests.serve.troubles.support import memory
from tests.serve.troubles.support.growth import PICTURE, warm_up
from tests.serve.troubles.support.probe import probing
from tests.serve.troubles.support.scale import Scale
from tests.serve.troubles.support.server import Server
from tests.serve.troubles.support.table import Figures
from tests.serve.troubles.support.wire import Answer, ask, head, post

LOOP_S = 0.05  # the event loop is never held longer
GROWTH_MB = 96  # a body is in memory once as it arrived and once joined
JSON = "Content-Type: application/json"
EMOTION, FACES, CUT_OUT = "/v1/models/face_emotion_xception", "/v1/face-emotion", "/v1/background"
GAIT, SIMILAR = "/v1/gait", "/v1/similarity"
INFER = "/v2/models/face_emotion_xception/infer"
BOUNDARY = "limit"
FORM = f"Content-Type: multipart/form-data; boundary={BOUNDARY}"

Make = Callable[[int], bytes]  # a request whose body has so many bytes, or about


def filled(
    size: int, pieces: Callable[[int], bytes], *, before: bytes = b"", after: bytes
) -> bytes:
    """Return a body: pieces by number, joined by commas, until it has `size` bytes."""
    room = size - len(before) - len(after)
    number = max(1, room // (len(pieces(1_000_000)) + 1))
    return before + b",".join(pieces(index) for index in islice(count(), number)) + after


def json_body(path: str, pieces: Callable[[int], bytes], *, before: bytes, after: bytes) -> Make:
    """Return how to make a JSON request of pieces between two ends."""
    return lambda size: post(path, filled(size, pieces, before=before, after=after), JSON)


def json_text(path: str, field: str, text: bytes) -> Make:
    """Return how to make a JSON request whose field is one long text."""
    start = b'{"%s":"' % field.encode()
    return lambda size: post(path, start + text * (size // len(text)) + b'"}', JSON)


def form(path: str, *parts: bytes) -> bytes:
    """Return a multipart request; each part is its head, an empty line and its content."""
    opened = b"".join(b"--limit\r\n" + part + b"\r\n" for part in parts)
    return post(path, opened + b"--limit--\r\n", FORM)


def part(name: str, data: bytes, *, file: bool = False) -> bytes:
    """Return a part of a form."""
    suffix = '; filename="f"' if file else ""
    return f'Content-Disposition: form-data; name="{name}"{suffix}\r\n\r\n'.encode() + data


def option(path: str, name: str, text: bytes, field: str = "image") -> Make:
    """Return how to make a form with a picture and one option of a long text."""
    return lambda size: form(
        path, part(field, PICTURE, file=True), part(name, text * (size // len(text)))
    )


def tensor(**fields: bytes) -> bytes:
    """Return the JSON of an infer request, some of its fields replaced."""
    entry = {
        "name": b'"image"', "datatype": b'"UINT8"', "shape": b"[1,8,8,1]",
        "data": b"[" + b",".join([b"1"] * 64) + b"]", **fields,
    }  # fmt: skip
    joined = b",".join(b'"%s":%s' % (name.encode(), value) for name, value in entry.items())
    return b'{"inputs":[{' + joined + b"}]}"


def listed(size: int, item: bytes) -> bytes:
    """Return a JSON list of about `size` bytes."""
    return b"[" + b",".join([item] * (size // (len(item) + 1))) + b"]"


BODIES: dict[str, Make] = {
    "JSON field names": json_body(
        EMOTION, lambda i: b'"f%07d":"x"' % i, before=b"{", after=b"}"),
    "JSON fields of numbers": json_body(
        EMOTION, lambda i: b'"%d":1' % i, before=b"{", after=b"}"),
    "JSON field given again": json_body(
        FACES, lambda i: b'"tta":"flip"', before=b"{", after=b"}"),
    "JSON list of pictures": json_body(
        EMOTION, lambda i: b'""', before=b'{"image":[', after=b"]}"),
    "JSON list of objects": json_body(
        EMOTION, lambda i: b"{}", before=b'{"image":[', after=b"]}"),
    "JSON list of lists": json_body(
        EMOTION, lambda i: b"[]", before=b'{"image":[', after=b"]}"),
    "JSON list of numbers": json_body(
        EMOTION, lambda i: b"1", before=b'{"image":[', after=b"]}"),
    "JSON option that is a list": json_body(
        FACES, lambda i: b"1", before=b'{"tta":[', after=b"]}"),
    "JSON nested lists": lambda size: post(EMOTION, b"[" * size, JSON),
    "JSON nested objects": lambda size: post(EMOTION, b'{"a":' * (size // 5), JSON),
    "JSON field name without end": lambda size: post(EMOTION, b'{"' + b"a" * size, JSON),
    "JSON long field name": lambda size: post(EMOTION, b'{"' + b"a" * size + b'":"x"}', JSON),
    "JSON escapes": json_text(EMOTION, "image", b"\\u0041"),
    "JSON blanks": lambda size: post(EMOTION, b" " * size, JSON),
    "JSON long number": lambda size: post(EMOTION, b'{"image":' + b"9" * size + b"}", JSON),
    "data URL parameters": json_text(EMOTION, "image", b"data:;a=,"),
    "data URL of one long parameter": json_text(EMOTION, "image", b"data:image/png;" + b"a" * 400),
    "data URL semicolons": json_text(EMOTION, "image", b"data:;;;;;;;;"),
    "base64 line breaks": json_text(EMOTION, "image", b"\\n"),
    "base64 blanks": json_text(EMOTION, "image", b"A    "),
    "base64 padding": json_text(EMOTION, "image", b"="),
    "base64 of nothing": json_text(EMOTION, "image", b"AAAA"),
    "embedding object": json_body(
        SIMILAR, lambda i: b"0.5",
        before=b'{"image_b":"","image_a":{"model":"x","embedding":[', after=b"]}}"),
    "embedding of objects": json_body(
        SIMILAR, lambda i: b"{}", before=b'{"image_b":"","image_a":{"embedding":[', after=b"]}}"),
    "weights": option(FACES, "weights", b"face_emotion_xception:1,"),
    "weights commas": option(FACES, "weights", b","),
    "weights digits": option(FACES, "weights", b"9"),
    "margin digits": option(FACES, "margin", b"9"),
    "color digits": option(CUT_OUT, "color", b"f"),
    "max_side digits": option(CUT_OUT, "max_side", b"9"),
    "tta": option(FACES, "tta", b"flip"),
    "condition words": option(GAIT, "condition", b"slow walking ", "video"),
    "condition letters": option(GAIT, "condition", b"a", "video"),
    "condition accents": option(GAIT, "condition", "\u0301".encode(), "video"),
    "text": lambda size: post(
        "/v1/models/clinical_text_minilm", b'{"text":"' + b"walk " * (size // 5) + b'"}', JSON),
    "texts": json_body(
        "/v1/models/clinical_text_minilm", lambda i: b'"walk"', before=b'{"text":[', after=b"]}"),
    "form parts": lambda size: form(EMOTION, *[part("image", b"")] * (size // 70)),
    "form field names": lambda size: form(
        EMOTION, *[part(f"f{index}", b"1") for index in range(size // 70)]),
    "form name": lambda size: form(EMOTION, part("a" * size, PICTURE, file=True)),
    "form headers": lambda size: form(
        EMOTION, b"A: b\r\n" * (size // 6) + part("image", PICTURE, file=True)),
    "form header": lambda size: form(
        EMOTION, b"A: " + b"b" * size + b"\r\n" + part("image", PICTURE, file=True)),
    "form parameters of a header": lambda size: form(
        EMOTION, b"Content-Disposition: form-data" + b"; a=b" * (size // 5) + b"\r\n\r\n"),
    "form quotes of a header": lambda size: form(
        EMOTION, b'Content-Disposition: form-data; name="' + b'\\"' * (size // 2) + b'"\r\n\r\n'),
    "form preamble": lambda size: post(EMOTION, b"\r\n--limi" * (size // 8), FORM),
    "form near boundaries": lambda size: form(
        EMOTION, part("image", b"\r\n--limi" * (size // 8), file=True)),
    "v2 shape": lambda size: post(INFER, tensor(shape=listed(size, b"1"))),
    "v2 shape of large sizes": lambda size: post(INFER, tensor(shape=listed(size, b"9" * 18))),
    "v2 digits of a size": lambda size: post(INFER, tensor(shape=b"[" + b"9" * size + b"]")),
    "v2 data": lambda size: post(INFER, tensor(data=listed(size, b"1"))),
    "v2 data of objects": lambda size: post(INFER, tensor(data=listed(size, b"{}"))),
    "v2 data of texts": lambda size: post(INFER, tensor(data=listed(size, b'""'))),
    "v2 nested data": lambda size: post(INFER, tensor(data=listed(size, b"[1]"))),
    "v2 deep data": lambda size: post(
        INFER, tensor(data=b"[" * (size // 2) + b"1" + b"]" * (size // 2))),
    "v2 datatype": lambda size: post(INFER, tensor(datatype=b'"' + b"a" * size + b'"')),
    "v2 name": lambda size: post(INFER, tensor(name=b'"' + b"a" * size + b'"')),
    "v2 inputs": lambda size: post(
        INFER, b'{"inputs":' + listed(size, b'{"name":"x"}') + b"}"),
    "v2 inputs of numbers": lambda size: post(INFER, b'{"inputs":' + listed(size, b"1") + b"}"),
    "v2 outputs": lambda size: post(
        INFER, tensor()[:-1] + b',"outputs":' + listed(size, b'{"name":"x"}') + b"}"),
    "v2 parameters": lambda size: post(
        INFER, tensor()[:-1] + filled(
            size, lambda i: b'"p%d":1' % i, before=b',"parameters":{', after=b"}}")),
    "v2 id": lambda size: post(INFER, tensor()[:-1] + b',"id":"' + b"a" * size + b'"}'),
    "v2 id of objects": lambda size: post(
        INFER, tensor()[:-1] + b',"id":' + listed(size, b"{}") + b"}"),
    "query of a POST": lambda size: head("POST", EMOTION + "?" + "a=b&" * (size // 4)) + PICTURE,
}  # fmt: skip
# measured on the release before: 13.8 MB of JSON fields took 1.2 GB
LARGEST = {"JSON field names": 13_800_000, "JSON list of objects": 13_800_000}


def statuses(figures: Figures, name: str, answer: Answer | None) -> None:
    """Expect a refusal, in JSON, that does not repeat the body."""
    allowed = (413, 400, 431) if answer is not None else ("closed",)
    figures.one_of(f"{name}: status", answer.status if answer else "closed", allowed)
    if answer is not None:
        figures.equal(f"{name}: JSON error", bool(answer.error), True)
        figures.at_most(f"{name}: size of the answer", len(answer.body), 2000, "bytes")


def send_one(server: Server, figures: Figures, name: str, make: Make, size: int) -> None:
    """Send one body and measure the server meanwhile."""
    request = make(LARGEST.get(name, size) if size > 5_000_000 else size)
    memory.reset_peak(server.pid)
    before_mb = memory.rss_mb(server.pid)
    with probing(server.port) as probe:
        answer = ask(server.port, request)
    statuses(figures, name, answer)
    figures.equal(f"{name}: probes unanswered", len(probe.failures), 0)
    figures.at_most(f"{name}: live max", probe.max_s - probe.late_s, LOOP_S, "s")
    growth_mb = memory.peak_mb(server.pid) - before_mb
    figures.at_most(f"{name}: growth", growth_mb, GROWTH_MB, "MB")


def groups(names: Sequence[str], size: int) -> list[tuple[str, ...]]:
    """Split names into groups, each for a server of its own."""
    return [tuple(names[start : start + size]) for start in range(0, len(names), size)]


@pytest.mark.parametrize("names", groups(list(BODIES), 16), ids=lambda names: names[0])
def test_millions(start: Starter, scale: Scale, figures: Figures, names: tuple[str, ...]) -> None:
    server = start()
    warm_up(server)
    for name in names:
        send_one(server, figures, name, BODIES[name], scale.body_bytes)
    figures.equal("others answered", server.answers(), True)
