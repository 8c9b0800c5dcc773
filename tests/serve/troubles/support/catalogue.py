"""Requests to every route of the server: valid ones with their answers, and invalid ones."""

import base64
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from serve.openapi.routes import ASSETS
from serve.page.files import read_static_files
from tests.runtime.support.recordings import sound, tone
from tests.serve.troubles.support.load import RAW, result_of
from tests.serve.troubles.support.media import clip, colours, photos
from tests.serve.troubles.support.wire import Answer, ask, get, head, post

Key = tuple[str, str]  # method and template of a route
ADMIN_KEY = "administrator"
ADMIN = f"Authorization: Bearer {ADMIN_KEY}"
JSON = "Content-Type: application/json"
FORM = "Content-Type: multipart/form-data; boundary=b"
ENCODED = "Inference-Header-Content-Length: 0"
ASYNC = "Prefer: respond-async"
EMOTION, DETECTOR = "face_emotion_xception", "face_detector_yunet"
EMBEDDING, TEXT = "image_embedding_mobilenetv2", "clinical_text_minilm"
MASK, VOICE, GAIT = "background_u2netp", "voice_emotion_wav2vec2", "gait_student"
TENSORS, SPARE = "tiny_tensors", "tiny_types"  # nobody but the administrator asks for the spare one
INFER = f"/v2/models/{TENSORS}/infer"
TOLERANCE = 2e-3  # of numbers: rows of a batch differ in the last digits
READY = frozenset((200, 503))  # a model that is loaded anew is not ready

# their answers change while the server works
CHANGING = frozenset(
    (
        "/metrics", "/health", "/health/live", "/health/ready", "/page/facts", "/v1/models",
        "/v1/models/{model}", "/v1/ab", "/v1/routing", "/v1/memory", "/v2/health/live",
        "/v2/health/ready", "/v2/models/stats", "/v2/models/{model}/ready",
        "/v2/models/{model}/stats", "/v2/models/{model}/versions/{version}/ready",
        "/v2/models/{model}/versions/{version}/stats",
    )
)  # fmt: skip
# how often an operation of the administrator comes, against one of another route
RARE: Mapping[Key, float] = {
    ("POST", "/v1/memory/clear"): 0.002,
    ("POST", "/v1/routing"): 0.05,
    ("POST", "/v1/routing/reload"): 0.05,
    ("POST", "/v2/repository/models/{model}/load"): 0.05,
    ("POST", "/v2/repository/models/{model}/unload"): 0.05,
}


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and what may answer it."""

    key: Key
    request: bytes
    statuses: frozenset[int]
    result: Any = None  # None: any; else that of `row_of`
    model: str = ""  # that runs for it; "" for none

    def fault(self, answer: Answer) -> str:
        """Return what is wrong with an answer; "" if nothing is."""
        name = " ".join(self.key)
        if answer.status not in self.statuses:
            allowed = sorted(self.statuses)
            return f"{name}: status {answer.status}, allowed: {allowed}: {answer.body[:120]!r}"
        if self.result is not None and not is_close(row_of(self.key, answer), self.result):
            return f"{name}: another answer than its own: {answer.body[:120]!r}"
        return ""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Requests of all kinds."""

    plain: Mapping[Key, Sequence[Exchange]]  # valid, without a run of a model
    runs: Sequence[Exchange]  # valid, with a run
    invalid: Sequence[Exchange]
    jobs: Sequence[Exchange] = field(default=())  # valid, with a run, answered 202

    @property
    def keys(self) -> frozenset[Key]:
        """Return the operations that have a valid request."""
        runs = [*self.runs, *self.jobs]
        return frozenset(self.plain) | {one.key for one in runs} | JOB_KEYS


TAKES_ANYTHING = ("/v2/repository/index", "/api/predict-async")  # an error is the job's
JOB_KEYS = frozenset(
    (("GET", "/v1/jobs/{job}"), ("DELETE", "/v1/jobs/{job}"), ("GET", "/v1/jobs/{job}/result"))
)


def operations(port: int) -> frozenset[Key]:
    """Return method and path of every route, as the server's own API document names them."""
    answer = get(port, "/openapi.json")
    assert answer is not None
    paths = answer.json()["paths"]
    return frozenset((method.upper(), path) for path, entry in paths.items() for method in entry)


def row_of(key: Key, answer: Answer) -> Any:
    """Return what must be equal in two answers to one request of a model."""
    content_type = answer.headers.get("content-type", "")
    if key[0] == "GET" or not content_type.startswith("application/json"):
        return answer.body
    content = answer.json()
    if isinstance(content, dict) and "results" in content:
        return [one.get("result", one) for one in content["results"]]
    return result_of(answer) if isinstance(content, dict) and len(content) > 1 else content


def is_close(one: Any, other: Any) -> bool:
    """Return whether two rows are equal but for the last digits of their numbers."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(is_close(one[k], other[k]) for k in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_close, one, other))
    if isinstance(one, float | int) and isinstance(other, float | int):
        return abs(one - other) <= TOLERANCE * max(1, abs(other))
    return bool(one == other)


def form(files: Iterable[tuple[str, bytes]], **options: str) -> bytes:
    """Return a multipart body with the boundary `b`."""
    parts = [
        f'--b\r\nContent-Disposition: form-data; name="{name}"; filename="f"\r\n\r\n'.encode()
        + data
        for name, data in files
    ]
    parts += [
        f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode()
        for name, value in options.items()
    ]
    return b"\r\n".join([*parts, b"--b--\r\n"])


def as_json(**fields: Any) -> bytes:
    """Return a JSON body; bytes become base64."""

    def text(value: Any) -> Any:
        if isinstance(value, list):
            return [text(one) for one in value]
        return base64.b64encode(value).decode() if isinstance(value, bytes) else value

    return json.dumps({name: text(value) for name, value in fields.items()}).encode()


def tensors(value: int, rows: int) -> tuple[bytes, list[float]]:
    """Return an infer request of rows with value / 4, and its output."""
    content = {
        "inputs": [
            {"name": "values", "datatype": "FP32", "shape": [rows, 2], "data": [value] * 2 * rows},
            {"name": "counts", "datatype": "INT64", "shape": [rows, 2], "data": [4] * 2 * rows},
        ],
        "outputs": [{"name": "quotients"}],
    }
    return json.dumps(content).encode(), [value / 4] * 2 * rows


def binary_tensors(value: int) -> bytes:
    """Return an infer request of one row in binary."""
    data = np.array([value, value], "<f4").tobytes() + np.array([4, 4], "<i8").tobytes()
    inputs = [
        {"name": "values", "datatype": "FP32", "shape": [1, 2], "parameters": _size(8)},
        {"name": "counts", "datatype": "INT64", "shape": [1, 2], "parameters": _size(16)},
    ]
    content = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    return post(INFER, content + data, f"Inference-Header-Content-Length: {len(content)}")


def catalogue_of(port: int, folder: Path) -> Catalogue:
    """Ask an idle server for the right answers to all valid requests.

    Args:
        port: of the server.
        folder: for files on the way.
    """
    models = (EMOTION, DETECTOR, EMBEDDING, TEXT, MASK, VOICE, GAIT, TENSORS)
    plain: dict[Key, list[Exchange]] = {}
    for key in sorted(operations(port)):
        if key[0] == "GET" and key not in JOB_KEYS:
            plain[key] = [_read(port, key, path) for path in _paths(key[1], models)]
    for one in _administration():
        plain.setdefault(one.key, []).append(one)
    runs = [_answered(port, *entry) for entry in task_requests(folder)]
    accepted = frozenset((202,))
    jobs = [
        replace(one, request=with_fields(one.request, ASYNC), statuses=accepted)
        for one in runs
        if one.key[1] in ("/v1/face-emotion", "/v1/models/{model}", "/v1/similarity")
    ]
    old, new = b"/api/predict ", b"/api/predict-async "
    jobs += [
        replace(
            one,
            key=("POST", "/api/predict-async"),
            request=one.request.replace(old, new, 1),
            statuses=accepted,
        )
        for one in runs
        if one.key[1] == "/api/predict"
    ]
    return Catalogue(plain, runs, _invalid(port), jobs)


def with_fields(request: bytes, *fields: str) -> bytes:
    """Return a request with more fields in its head."""
    first, mark, rest = request.partition(b"\r\n")
    return first + mark + "".join(f"{line}\r\n" for line in fields).encode() + rest


def _size(count: int) -> dict[str, int]:
    return {"binary_data_size": count}


def _paths(template: str, models: Sequence[str]) -> list[str]:
    """Return the paths of a route that are asked for."""
    if "{asset}" in template:
        return [template.replace("{asset}", name) for name in ASSETS]
    if "{file}" in template:
        return [template.replace("{file}", name) for name in read_static_files()]
    if "{model}" in template:
        return [template.replace("{model}", m).replace("{version}", "1") for m in models]
    return [template]


def _read(port: int, key: Key, path: str) -> Exchange:
    """Return a GET; its answer is that of the idle server, unless it changes."""
    request = head("GET", path)
    answer = ask(port, request)
    assert answer is not None
    assert answer.status == 200, (path, answer.body)
    if key[1] in CHANGING:
        return Exchange(key, request, READY if key[1].endswith("/ready") else frozenset((200,)))
    return Exchange(key, request, frozenset((200,)), answer.body)


def _administration() -> list[Exchange]:
    """Return what the administrator asks for; the spare model alone is changed."""
    ok = frozenset((200,))
    index = "/v2/repository/index"
    spare, template = f"/v2/repository/models/{SPARE}", "/v2/repository/models/{model}"
    route = as_json(model=EMOTION, command="newest")
    outcome = as_json(model=EMOTION, version=1, correct=1, wrong=1)
    clear, reload = "/v1/memory/clear", "/v1/routing/reload"
    return [
        Exchange(("POST", index), post(index, b"{}", JSON), ok),
        Exchange(("POST", f"{template}/load"), post(f"{spare}/load", b"", ADMIN), ok),
        Exchange(("POST", f"{template}/unload"), post(f"{spare}/unload", b"", ADMIN), ok),
        Exchange(("POST", "/v1/routing"), post("/v1/routing", route, ADMIN, JSON), ok),
        Exchange(("POST", reload), post(reload, b"", ADMIN), ok),
        Exchange(("POST", clear), post(clear, b"", ADMIN), ok),
        Exchange(("POST", "/v1/outcomes"), post("/v1/outcomes", outcome, ADMIN, JSON), ok, {}),
    ]


def task_requests(folder: Path) -> list[tuple[str, bytes, str, Any]]:
    """Return template, request, model and known result (None: the idle server tells)."""
    pictures = [*photos(6, height=120, width=160), *colours(6)]
    sounds = [sound(tone(seconds=1 + index / 4, level=0.1 + index / 10)) for index in range(4)]
    clips = [clip(folder, level=level) for level in (40, 120, 250)]
    words = ("walk", "walking slowly", "slow", "walks with a stick", "slowly")
    any_model, infer = "/v1/models/{model}", "/v2/models/{model}/infer"
    versioned = "/v2/models/{model}/versions/{version}/infer"
    media: dict[str, Sequence[bytes]] = {
        EMOTION: pictures, DETECTOR: pictures[:4], EMBEDDING: pictures, MASK: pictures[:6],
        VOICE: sounds, GAIT: clips, TEXT: [word.encode() for word in words],
    }  # fmt: skip
    entries: list[tuple[str, bytes, str, Any]] = [
        (any_model, post(f"/v1/models/{model}", data, RAW), model, None)
        for model, files in media.items()
        for data in files
    ]
    for index, data in enumerate(pictures):
        other = pictures[index - 1]
        image, two = form([("image", data)], margin="0.2"), as_json(image=[data, other])
        pair = as_json(image_a=data, image_b=other)
        on_white = "/api/remove-background"
        entries += [
            ("/v1/face-emotion", post("/v1/face-emotion", image, FORM), EMOTION, None),
            ("/api/predict", post("/api/predict", data, RAW), EMOTION, None),
            ("/v1/background", post("/v1/background", data, RAW), MASK, None),
            (on_white, post(f"{on_white}?color=fff", data, RAW), MASK, None),
            ("/v1/similarity", post("/v1/similarity", pair, JSON), EMBEDDING, None),
            (any_model, post(f"/v1/models/{EMOTION}", two, JSON), EMOTION, None),
            (infer, post(f"/v2/models/{EMOTION}/infer", data, ENCODED), EMOTION, None),
        ]
    for data in sounds:
        voice = form([("audio", data)], window_s="1")
        entries.append(("/v1/voice-emotion", post("/v1/voice-emotion", voice, FORM), VOICE, None))
    for data in clips:
        walk = form([("video", data)], condition="stroke")
        entries.append(("/v1/gait", post("/v1/gait", walk, FORM), GAIT, None))
        entries.append(("/predict", post("/predict", data, RAW), GAIT, None))
    for value in range(1, 21):
        body, result = tensors(value, 1 + value % 3)
        version = f"/v2/models/{TENSORS}/versions/1/infer"
        entries += [
            (infer, post(INFER, body, JSON), TENSORS, result),
            (versioned, post(version, body, JSON), TENSORS, result),
            (infer, binary_tensors(value), TENSORS, None),
        ]
    return entries


def _answered(port: int, template: str, request: bytes, model: str, result: Any) -> Exchange:
    key = ("POST", template)
    # computed, so that a stored answer is compared with it
    answer = ask(port, with_fields(request, "Cache-Control: no-store"))
    assert answer is not None
    assert answer.status == 200, (template, answer.body[:300])
    row = row_of(key, answer)
    assert result is None or is_close(row, result), (template, row, result)
    return Exchange(key, request, frozenset((200,)), row, model)


def _invalid(port: int) -> list[Exchange]:
    """Return requests that get an error: some to every route, and one of each kind."""
    methods: dict[str, set[str]] = {}
    for method, template in sorted(operations(port)):
        methods.setdefault(template, set()).add(method)
    entries: list[tuple[Key, bytes]] = []
    for template, allowed in methods.items():
        path = _paths(template, (EMOTION,))[0].replace("{job}", "unknown")
        missing_path = re.sub(r"\{\w+\}", "unknown", template)
        entries.append((("PUT", template), head("PUT", path, "Content-Length: 0")))
        for method in sorted(allowed):
            if missing_path != template:
                empty = head(method, missing_path, ADMIN, "Content-Length: 0")
                entries.append(((method, template), empty))
            if method == "POST" and template not in TAKES_ANYTHING:
                entries.append(((method, template), post(path, b'{"image": [', JSON)))
    entries += [(("POST", "/v1/models/{model}"), request) for request in _bad_files()]
    entries += [(("POST", "/v2/models/{model}/infer"), request) for request in _bad_tensors()]
    entries += [(("GET", "/unknown"), request) for request in _bad_heads()]
    return [_refused(port, *entry) for entry in entries]


def _bad_files() -> list[bytes]:
    picture = colours(1)[0]
    path = f"/v1/models/{EMOTION}"
    image = ("image", picture)
    return [
        post(path, b"no picture" * 100, RAW),
        post(path, b"", RAW),
        post(path, picture[: len(picture) // 2], RAW),
        post(path, picture, RAW, "Content-Encoding: br"),
        post(path, picture, RAW, "Expect: something"),
        post(path, picture, "Content-Type: multipart/mixed; boundary=b"),
        post(path, form([image])[:-8], FORM),
        post(path, form([image] * 17), FORM),
        post(path, form([image], unknown="1"), FORM),
        post(f"{path}?{'a=1&' * 65}", picture, RAW),
        post(path, as_json(image="%%%"), JSON),
        head("POST", path, "Content-Length: 99999999999"),
        head("POST", path, "Transfer-Encoding: unknown"),
        post(f"/v1/models/{GAIT}", b"\0\0\0\x18ftypmp42" + bytes(2000), RAW),
        post("/v1/voice-emotion", b"RIFF\xff\0\0\0WAVEfmt " + bytes(200), RAW),
        post("/v1/similarity", form([("image_a", picture)]), FORM),
        post("/v1/background", form([image], color="blue"), FORM),
        post("/v1/face-emotion", form([image], margin="-1"), FORM),
    ]


def _bad_tensors() -> list[bytes]:
    right, _ = tensors(1, 1)
    return [
        post(INFER, right.replace(b"[1, 2]", b"[1, 3]"), JSON),
        post(INFER, right.replace(b"FP32", b"FP99"), JSON),
        post(INFER, right.replace(b"quotients", b"unknown"), JSON),
        post(INFER, right, "Inference-Header-Content-Length: 99999"),
        post(INFER, right, "Content-Encoding: gzip"),
        post(f"/v2/models/{EMOTION}/infer", b"no picture" * 10, ENCODED),
    ]


def _bad_heads() -> list[bytes]:
    return [
        head("GET", "/unknown"),
        head("GET", "/v1/../etc/passwd"),
        head("GET", "/health", version="3.0"),
        head("GET", "/health", host=False),
        head("GET", "/health", "Bad\x01Name: x"),
        head("GET", "/health", f"X-Long: {'a' * 70_000}"),
        head("GET", "/health", *[f"X-{index}: 1" for index in range(120)]),
        b"no HTTP at all\r\n\r\n",
    ]


def _refused(port: int, key: Key, request: bytes) -> Exchange:
    """Return an invalid request with the status that an idle server gives it."""
    answer = ask(port, request)
    assert answer is not None, request[:80]
    assert 400 <= answer.status < 500 or answer.status in (501, 505), (request[:80], answer)
    return Exchange(key, request, frozenset((answer.status,)))
