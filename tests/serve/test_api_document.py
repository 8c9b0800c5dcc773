"""serve/API.md against a real server: every route, field, option, example, answer and setting."""

import base64
import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import numpy as np
import pytest
from starlette.routing import Route

from serve.app import create_app
from serve.openapi.errors import ERRORS
from serve.repository.opening import open_repository
from serve.routes import background, face_emotion, gait, similarity, voice_emotion
from serve.settings import Settings
from serve.settings.table import TABLE, default_text
from serve.uploads.form import Form
from tests.runtime.support.recordings import shades, sound, tone, video
from tests.serve.support.requests import FORMS, MULTI_FILE_FORMS, post
from tests.serve.support.server import running
from tests.support.artifacts import write_every_task
from tests.support.documents import shell_lines, without_deprecated
from tests.support.images import png

PATH = Path(__file__).parents[2] / "serve" / "API.md"
DOCUMENT = PATH.read_text(encoding="utf-8")
SECTION = re.compile(r"^## (.*)$", re.MULTILINE)
ROUTE = re.compile(r"`?((?:GET|POST|DELETE) /[\w/{}-]*(?:\.json)?)`?")
ROW = re.compile(r"^\| `.*\|$", re.MULTILINE)
LONGEST_LINE = 120
ROUTE_FORMS: Mapping[str, Form] = {
    "POST /v1/face-emotion": face_emotion.FORM,
    "POST /v1/voice-emotion": voice_emotion.FORM,
    "POST /v1/gait": gait.FORM,
    "POST /v1/similarity": similarity.FORM,
    "POST /v1/background": background.FORM,
}
# what differs between the documented models and those of the tests
TINY = {"face_detector_yunet": "tiny_detector", "[-1, 64, 64, 1]": "[-1, 8, 8, 1]"}
# fields whose values do not depend on the weights: the answer must have the documented value
EXACT = frozenset(
    {
        *(
            "model",
            "version",
            "weights_origin",
            "warnings",
            "status",
            "error",
            "silent",
            "duration_s",
        ),
        *("start_s", "end_s", "face_found", "found_by", "faces_found", "weight", "share", "tta"),
        *("left_out", "given", "read_as", "name", "text_model", "condition", "clip_frames"),
        *("sought", "calibration", "note", "best", "media_type", "degenerate", "id", "task"),
        *("precision", "origin", "op", "platform", "extensions"),
    }
)


@dataclass(frozen=True)
class Example:
    """A curl line and the documented answer."""

    line: str
    answer: Any  # None: the document shows none
    files: tuple[tuple[str, str], ...]  # field and name of the file, or "=" and the text itself
    options: tuple[tuple[str, str], ...]
    path: str
    query: tuple[tuple[str, str], ...]


def sections() -> dict[str, str]:
    parts = SECTION.split(DOCUMENT)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def examples() -> list[Example]:
    return [
        parse_example(line, json.loads(with_tiny_models(answer)) if answer else None)
        for line, answer in shell_lines(PATH)
    ]


def with_tiny_models(text: str) -> str:
    for documented, tiny in TINY.items():
        text = text.replace(documented, tiny)
    return text


def parse_example(line: str, answer: Any) -> Example:
    words = shlex.split(line)
    fields = [words[i + 1].split("=", 1) for i, word in enumerate(words) if word == "-F"]
    address = urlsplit(words[-1])
    return Example(
        line,
        answer,
        tuple(
            (n, v[1:] if v[0] == "@" else f"={v}") for n, v in fields if v[0] == "@" or n == "text"
        ),
        tuple((n, v) for n, v in fields if v[0] != "@" and n != "text"),
        with_tiny_models(address.path),
        tuple(parse_qsl(address.query)),
    )


def rows(section: str) -> list[list[str]]:
    """Return the cells of a section's tables, row by row."""
    return [
        [cell.strip() for cell in row.strip("|").split("|")]
        for row in ROW.findall(sections()[section])
    ]


def openapi_examples() -> list[list[Any]]:
    """Return the content of serve/openapi/examples.json: the examples of this document."""
    entries: dict[tuple[str, str], list[Any]] = {}
    for line, answer in shell_lines(PATH):
        method, path = operation_of(line)
        if answer is not None and "error" not in json.loads(answer):
            summary = " ".join(line.split())
            entries.setdefault((method, path), []).append(
                {"summary": summary, "value": json.loads(answer)}
            )
    return [[*key, values] for key, values in entries.items()]


def operation_of(line: str) -> tuple[str, str]:
    words = shlex.split(line)
    path = urlsplit(words[-1]).path
    method = "POST" if {"-F", "-d", "--data-binary"} & set(words) else "GET"
    for prefix in ("/v1/models", "/v2/models"):
        path = re.sub(rf"^{prefix}/[a-z0-9_]+", f"{prefix}/{{model}}", path)
    return method, path


EXAMPLES = examples()
WITH_FILES = [example for example in EXAMPLES if example.files]


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, bytes]:
    """Return the files that the document names."""
    face = np.full((64, 96, 3), 100, np.uint8)
    face[16:40, 24:48] = (0, 255, 0)  # the tiny detector finds a face there
    photo = np.zeros((48, 64, 3), np.uint8)
    photo[:, 32:] = 255
    folder = tmp_path_factory.mktemp("clip")
    return {
        "face.jpg": png(face), "photo.jpg": png(photo), "beach.jpg": png(photo[::-1]),
        "a.jpg": png(face), "b.jpg": png(photo), "broken.jpg": b"no picture",
        "voice.wav": sound(tone(seconds=11)), "walk.mp4": video(shades([50] * 30), folder),
    }  # fmt: skip


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    root = write_every_task(tmp_path_factory.mktemp("artifacts"))
    return Settings(artifacts=root, face_detector_model="tiny_detector")


@pytest.fixture(scope="module")
def client(settings: Settings) -> Iterator[httpx.Client]:
    with running(settings) as client:
        yield client


def content(name: str, media: Mapping[str, bytes]) -> bytes:
    return name[1:].encode() if name.startswith("=") else media[name]


def send(
    client: httpx.Client, example: Example, media: Mapping[str, bytes], form: str
) -> httpx.Response:
    files = [(name, content(file, media)) for name, file in example.files]
    return post(client, example.path, form, files, **dict(example.options))


def differences(shown: Any, answered: Any, place: str = "answer") -> Iterator[str]:
    """List the places where an answer has another structure, or another exact value, than shown."""
    if isinstance(shown, dict) and isinstance(answered, dict):
        any_value = next((value for name, value in shown.items() if name.startswith("<")), None)
        names = {name for name in shown if not name.startswith("<")}
        if missing := names - answered.keys():
            yield f"{place} lacks {missing}"
        for name, value in answered.items():
            if name not in names and any_value is None:
                yield f"{place} has {name!r}, which is not documented"
            else:
                yield from differences(shown.get(name, any_value), value, f"{place}.{name}")
    elif isinstance(shown, list) and isinstance(answered, list):
        for index, value in enumerate(answered):
            candidates = [list(differences(entry, value, f"{place}[{index}]")) for entry in shown]
            yield from min(candidates, key=len, default=[f"{place} is not empty"])
    elif json_kind(shown) != json_kind(answered):
        yield f"{place} is {json_kind(answered)}, documented as {json_kind(shown)}"
    elif place.rpartition(".")[2] in EXACT and shown != answered:
        yield f"{place} is {answered!r}, documented as {shown!r}"


def json_kind(value: Any) -> str:
    kinds = {
        dict: "object",
        list: "list",
        str: "text",
        bool: "boolean",
        int: "number",
        float: "number",
    }
    return kinds.get(type(value), "null")


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """List all JSON objects within a value."""
    children = value.values() if isinstance(value, dict) else value
    if isinstance(value, dict):
        yield value
    if isinstance(value, dict | list):
        for child in children:
            yield from objects(child)


@pytest.mark.parametrize("example", WITH_FILES, ids=lambda example: example.line[5:70])
def test_examples_get_the_documented_answer_in_every_form(
    client: httpx.Client, media: Mapping[str, bytes], example: Example
) -> None:
    forms = FORMS if len(example.files) == 1 else MULTI_FILE_FORMS
    answers = [send(client, example, media, form) for form in forms]
    for form, response in zip(forms, answers, strict=True):
        assert response.status_code == 200, f"{form}: {response.text}"
        assert response.content == answers[0].content, form
    if example.answer is not None:
        assert not list(differences(example.answer, without_deprecated(answers[0].json())))


@pytest.mark.parametrize(
    "example",
    [example for example in EXAMPLES if not example.files],
    ids=lambda example: example.line[-60:],
)
def test_other_examples(client: httpx.Client, media: Mapping[str, bytes], example: Example) -> None:
    words = shlex.split(example.line)
    if "--data-binary" in words:
        data = media[words[words.index("--data-binary") + 1].removeprefix("@")]
        fields = [words[i + 1].split(": ", 1) for i, word in enumerate(words) if word == "-H"]
        headers = dict(fields)
        response = client.post(
            example.path, params=list(example.query), content=data, headers=headers
        )
    elif "-d" in words:
        body = json.loads(words[words.index("-d") + 1])
        if "image" in body:
            body["image"] = base64.b64encode(media["face.jpg"]).decode()
        response = client.post(example.path, json=body)
    else:
        response = client.get(example.path)
    refused = "error" in (example.answer or {})
    assert response.status_code == (400 if refused else 200), response.text
    if example.answer is not None:
        assert not list(differences(example.answer, without_deprecated(response.json())))


def test_the_document_lists_the_routes_of_the_application(settings: Settings) -> None:
    app = create_app(settings, open_repository(settings))
    served = {
        f"{method} {route.path.rstrip('/') or '/'}"
        for route in app.routes
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert set(ROUTE.findall(DOCUMENT)) == served


@pytest.mark.parametrize("route", ROUTE_FORMS)
def test_documented_files_and_options_equal_those_of_the_route(route: str) -> None:
    names = [name for cells in rows(route) for name in cells[0].split("`")[1::2]]
    form = ROUTE_FORMS[route]
    assert names == [*form.files, *form.option_names]


@pytest.mark.parametrize("route", ROUTE_FORMS)
def test_documented_help_is_that_of_the_option(route: str) -> None:
    texts = {cells[0].split("`")[1]: cells[2] for cells in rows(route) if len(cells) == 3}
    for option in ROUTE_FORMS[route].options:
        assert texts[option.name].startswith(option.help), option.name


def test_documented_errors_are_those_of_openapi() -> None:
    table = re.findall(r"^\| (\d{3}(?:, \d{3})*) \| (.*) \|$", DOCUMENT, re.MULTILINE)
    documented = {int(status): text for cell, text in table for status in cell.split(", ")}
    assert documented == ERRORS


@pytest.mark.parametrize("route", ROUTE_FORMS)
def test_documented_defaults_change_no_answer(
    client: httpx.Client, media: Mapping[str, bytes], route: str
) -> None:
    first = next(example for example in WITH_FILES if f"POST {example.path}" == route)
    without_options = send(client, replace(first, options=()), media, "multipart")
    for name, default in (cells[:2] for cells in rows(route) if len(cells) == 3):
        value = default.strip("`")
        if value.startswith("SLIPWAY_") or default == "none":
            continue
        with_default = replace(first, options=((name.strip("`"), value),))
        answer = send(client, with_default, media, "multipart")
        assert answer.content == without_options.content, f"{name} = {value}"


def test_the_tables_of_settings_are_the_table_in_the_code() -> None:
    section = DOCUMENT.partition("\n## Settings\n")[2].partition("\n## ")[0]
    documented = [line for line in section.splitlines() if line.startswith("| `")]
    assert documented == [
        f"| `{setting.variable}` | {default_text(name)} | {setting.kind.allowed} | {setting.help} |"
        for name, setting in TABLE.items()
    ]


def test_each_documented_model_has_one_version_and_digest() -> None:
    artifacts: dict[str, set[tuple[Any, Any]]] = {}
    for example in EXAMPLES:
        for entry in objects(example.answer):
            if "digest" in entry:
                model = str(entry.get("model", entry.get("id")))
                artifacts.setdefault(model, set()).add((entry["version"], entry["digest"]))
    assert len(artifacts) == 7
    assert {model: len(pairs) for model, pairs in artifacts.items()} == dict.fromkeys(artifacts, 1)


def test_each_documented_confidence_is_that_of_its_label() -> None:
    classifications = [
        entry
        for example in EXAMPLES
        for entry in objects(example.answer)
        if "confidence" in entry and "probabilities" in entry
    ]
    assert len(classifications) == 11
    for entry in classifications:
        assert entry["probabilities"] == {"<label>": entry["confidence"]}


def test_only_a_table_has_long_lines() -> None:
    long = [line for line in DOCUMENT.splitlines() if len(line) > LONGEST_LINE]
    assert not [line for line in long if not line.startswith("|")]


def test_differences_are_found() -> None:
    shown = {"a": 1, "b": {"<name>": 0.5}, "c": [{"d": "x"}], "version": 1}
    same = {"a": 2.5, "b": {"x": 1, "y": 0}, "c": [], "version": 1}
    assert not list(differences(shown, same))
    for other in (
        {"a": 2.5, "b": {}, "version": 1}, {**same, "e": 1}, {**same, "a": "1"},
        {**same, "a": None}, {**same, "b": {"x": "1"}}, {**same, "c": [{"d": 1}]},
        {**same, "c": [{"d": "x", "e": 1}]}, {**same, "version": 2},
    ):  # fmt: skip
        assert list(differences(shown, other)), other
