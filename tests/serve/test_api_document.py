"""serve/API.md against a real server: every route, field, option, example and answer of it."""

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
from serve.routes import background, face_emotion, gait, similarity, voice_emotion
from serve.settings import Settings
from serve.uploads.form import Form
from tests.runtime.support.recordings import shades, sound, tone, video
from tests.serve.support.requests import FORMS, MULTI_FILE_FORMS, post
from tests.serve.support.server import running
from tests.support.artifacts import (
    CLASSIFIER,
    DETECTOR,
    EMBEDDING,
    GAIT,
    SEGMENTATION,
    TEXT,
    VOICE,
    write_artifact,
)
from tests.support.images import png

DOCUMENT = (Path(__file__).parents[2] / "serve" / "API.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```sh\n(.*?)^```$(?:\n```json\n(.*?)^```$)?", re.MULTILINE | re.DOTALL)
SECTION = re.compile(r"^## (.*)$", re.MULTILINE)
ROUTE = re.compile(r"`?((?:GET|POST) /[\w/{}-]*)`?")
ROW = re.compile(r"^\| `.*\|$", re.MULTILINE)
TAKEN: Mapping[str, Form] = {
    "POST /v1/face-emotion": face_emotion.FORM,
    "POST /v1/voice-emotion": voice_emotion.FORM,
    "POST /v1/gait": gait.FORM,
    "POST /v1/similarity": similarity.FORM,
    "POST /v1/background": background.FORM,
}
HERE = {"face_detector_yunet": "tiny_detector"}  # models of the tests that have another id


@dataclass(frozen=True)
class Example:
    """A curl line and the answer shown for it."""

    line: str
    answer: Any  # None: none is shown
    files: tuple[
        tuple[str, str], ...
    ]  # field, name of the file; "=text" where it is given as it is
    options: tuple[tuple[str, str], ...]
    path: str
    query: tuple[tuple[str, str], ...]


def sections() -> dict[str, str]:
    parts = SECTION.split(DOCUMENT)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def examples() -> list[Example]:
    found = []
    for lines, answer in BLOCK.findall(DOCUMENT):
        *others, last = lines.strip().splitlines()
        found += [parsed(line, None) for line in others]
        found.append(parsed(last, json.loads(answer) if answer else None))
    return found


def parsed(line: str, answer: Any) -> Example:
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
        address.path,
        tuple(parse_qsl(address.query)),
    )


def rows(route: str) -> list[list[str]]:
    """The cells of the tables of a route, file fields with two and options with three."""
    found = ROW.findall(sections()[route])
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in found]


EXAMPLES = examples()
WITH_FILES = [example for example in EXAMPLES if example.files]


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, bytes]:
    """By the names of the document."""
    face = np.full((64, 96, 3), 100, np.uint8)
    face[16:40, 24:48] = (0, 255, 0)  # what the tiny detector takes for one
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
    root = tmp_path_factory.mktemp("artifacts")
    for graph in (CLASSIFIER, EMBEDDING, SEGMENTATION, DETECTOR, VOICE, GAIT, TEXT):
        write_artifact(root, graph)
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
    path = example.path
    for documented, here in HERE.items():
        path = path.replace(documented, here)
    files = [(name, content(file, media)) for name, file in example.files]
    return post(client, path, form, files, **dict(example.options))


def differences(shown: Any, answered: Any, place: str = "answer") -> Iterator[str]:
    """Where an answer has another structure than the one shown."""
    if isinstance(shown, dict) and isinstance(answered, dict):
        wild = next((value for name, value in shown.items() if name.startswith("<")), None)
        named = {name for name in shown if not name.startswith("<")}
        if missing := named - answered.keys():
            yield f"{place} lacks {missing}"
        for name, value in answered.items():
            if name not in named and wild is None:
                yield f"{place} has {name!r}, which is not documented"
            else:
                yield from differences(shown.get(name, wild), value, f"{place}.{name}")
    elif isinstance(shown, list) and isinstance(answered, list):
        for index, value in enumerate(answered):
            tried = [list(differences(each, value, f"{place}[{index}]")) for each in shown]
            yield from min(tried, key=len, default=[f"{place} is not empty"])
    elif kind(shown) != kind(answered):
        yield f"{place} is {kind(answered)}, documented as {kind(shown)}"


def kind(value: Any) -> str:
    kinds = {
        dict: "object",
        list: "list",
        str: "text",
        bool: "boolean",
        int: "number",
        float: "number",
    }
    return kinds.get(type(value), "null")


@pytest.mark.parametrize("example", WITH_FILES, ids=lambda each: each.line[5:70])
def test_examples_get_the_documented_answer_in_every_form(
    client: httpx.Client, media: Mapping[str, bytes], example: Example
) -> None:
    forms = FORMS if len(example.files) == 1 else MULTI_FILE_FORMS
    answers = [send(client, example, media, form) for form in forms]
    for form, response in zip(forms, answers, strict=True):
        assert response.status_code == 200, f"{form}: {response.text}"
        assert response.content == answers[0].content, form
    if example.answer is None:
        return
    assert not list(differences(example.answer, answers[0].json()))


@pytest.mark.parametrize(
    "example", [each for each in EXAMPLES if not each.files], ids=lambda each: each.line[-60:]
)
def test_other_examples(client: httpx.Client, media: Mapping[str, bytes], example: Example) -> None:
    words = shlex.split(example.line)
    if "--data-binary" in words:
        data = media[words[words.index("--data-binary") + 1].removeprefix("@")]
        response = client.post(example.path, params=list(example.query), content=data)
    elif "-d" in words:
        body = json.loads(words[words.index("-d") + 1])
        body["image"] = base64.b64encode(media["face.jpg"]).decode()
        response = client.post(example.path, json=body)
    else:
        response = client.get(example.path)
    assert response.status_code == 200, response.text
    if example.answer is not None:
        assert not list(differences(example.answer, response.json()))


def test_the_document_lists_the_routes_of_the_application(settings: Settings) -> None:
    app = create_app(settings, {})
    served = {
        f"{method} {route.path.rstrip('/')}"
        for route in app.routes
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert set(ROUTE.findall(DOCUMENT)) == served


@pytest.mark.parametrize("route", TAKEN)
def test_documented_files_and_options_equal_those_of_the_route(route: str) -> None:
    names = [name for cells in rows(route) for name in cells[0].split("`")[1::2]]
    form = TAKEN[route]
    assert names == [*form.files, *form.options]


@pytest.mark.parametrize("route", TAKEN)
def test_documented_defaults_change_no_answer(
    client: httpx.Client, media: Mapping[str, bytes], route: str
) -> None:
    first = next(each for each in WITH_FILES if f"POST {each.path}" == route)
    alone = send(client, replace(first, options=()), media, "multipart")
    for name, default in (cells[:2] for cells in rows(route) if len(cells) == 3):
        value = default.strip("`")
        if value.startswith("SLIPWAY_") or default == "none":
            continue
        told = replace(first, options=((name.strip("`"), value),))
        answer = send(client, told, media, "multipart")
        assert answer.content == alone.content, f"{name} = {value}"


def test_differences_of_structure_are_found() -> None:
    shown = {"a": 1, "b": {"<name>": 0.5}, "c": [{"d": "x"}]}
    same = {"a": 2.5, "b": {"x": 1, "y": 0}, "c": []}
    assert not list(differences(shown, same))
    for other in (
        {"a": 2.5, "b": {}}, {**same, "e": 1}, {**same, "a": "1"}, {**same, "a": None},
        {**same, "b": {"x": "1"}}, {**same, "c": [{"d": 1}]}, {**same, "c": [{"d": "x", "e": 1}]},
    ):  # fmt: skip
        assert list(differences(shown, other)), other
