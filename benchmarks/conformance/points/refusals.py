"""Points about requests that are refused."""

from dataclasses import replace
from typing import Any

from benchmarks.conformance.infer import LENGTH, all_binary, parse
from benchmarks.conformance.outcome import Parts
from benchmarks.conformance.subject import Subject, dumps


def sizes(subject: Subject, parts: Parts) -> None:
    """Judge bodies with too few or too many bytes."""
    path = f"{subject.main.path}/infer"
    request = all_binary(subject.main.example())
    post = subject.server.post
    with parts.part("a byte too few"):
        post(path, request.body[:-1], request.headers).error(400)
    with parts.part("a byte too many"):
        post(path, request.body + b"x", request.headers).error(400)
    with parts.part("binary_data_size of another size"):
        for size in (0, -1, 2**70, "4"):
            tensors = subject.main.example()
            entries = [t.head(parameters={"binary_data_size": size}) for t in tensors]
            body = dumps({"inputs": entries})
            post(path, body, {LENGTH: str(len(body))}).error(400)
    with parts.part("data and binary_data_size"):
        entries = [{**t.as_json(), **t.as_binary()} for t in subject.main.example()]
        body = dumps({"inputs": entries})
        tail = b"".join(t.data for t in subject.main.example())
        post(path, body + tail, {LENGTH: str(len(body))}).error(400)


def lengths(subject: Subject, parts: Parts) -> None:
    """Judge wrong values of the header with the length of the JSON."""
    path = f"{subject.main.path}/infer"
    body = all_binary(subject.main.example()).body
    for value in (str(len(body) + 1), "-1", "x", "1.5", "9" * 40):
        with parts.part(value if len(value) < 9 else "40 digits"):
            subject.server.post(path, body, {LENGTH: value}).error(400)


def inputs(subject: Subject, parts: Parts) -> None:
    """Judge unknown, duplicate and missing inputs, and unknown outputs."""
    tensors = subject.main.example()
    first = tensors[0]
    others = {
        "unknown": [*tensors, replace(first, name="no_such_input")],
        "duplicate": [*tensors, first],
        "missing": tensors[1:],
    }
    for name, entries in others.items():
        with parts.part(name):
            subject.infer(subject.main, all_binary(entries)).error(400)
    with parts.part("an unknown output"):
        request = all_binary(tensors, outputs=[{"name": "no_such_output"}])
        subject.infer(subject.main, request).error(400)
    with parts.part("another datatype"):
        wrong = [{**t.as_json(), "datatype": "FP8"} for t in tensors]
        path = f"{subject.main.path}/infer"
        subject.server.post(path, dumps({"inputs": wrong})).error(400)


def shapes(subject: Subject, parts: Parts) -> None:
    """Judge negative, huge and otherwise wrong shapes."""
    tensors = subject.main.example()
    rank = len(tensors[0].shape)
    wrong: dict[str, Any] = {
        "negative": [-1] * rank,
        "2**63": [2**63] * rank,
        "a product of 2**64": [2**32, 2**32, *tensors[0].shape[2:]],
        "another rank": [*tensors[0].shape, 1],
        "no list": "1",
        "no integers": [1.5] * rank,
    }
    for name, shape in wrong.items():
        for form in ("JSON", "bytes"):
            with parts.part(f"{name}, {form}"):
                entries = [t.as_json() if form == "JSON" else t.as_binary() for t in tensors]
                entries[0]["shape"] = shape
                body = dumps({"inputs": entries})
                tail = b"" if form == "JSON" else b"".join(t.data for t in tensors)
                headers = {} if form == "JSON" else {LENGTH: str(len(body))}
                path = f"{subject.main.path}/infer"
                subject.server.post(path, body + tail, headers).error(400)


def keep_alive(subject: Subject, parts: Parts) -> None:
    """Judge whether a connection serves on after an error."""
    model, server = subject.main, subject.server
    request, good = all_binary(model.example()), f"{model.path}/infer"
    for name, path, body in (
        ("of the request", good, request.body + b"x"),
        ("that was known before the body was read", "/v2/models/no_such_model/infer", b"x" * 65536),
    ):
        with parts.part(f"an error {name}"), server.connection() as connection:
            for _ in range(3):
                answer = server.on(connection, "POST", path, body, request.headers)
                answer.error(400, 404)
                parse(server.on(connection, "POST", good, request.body, request.headers))
