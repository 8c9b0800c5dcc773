"""Points about extensions: compression, repository, statistics, classification."""

import gzip
import zlib
from dataclasses import replace
from typing import Any

from benchmarks.conformance.http_client import Answer
from benchmarks.conformance.infer import all_binary, parse, same
from benchmarks.conformance.outcome import CheckError, NotOfferedError, Parts, expect
from benchmarks.conformance.subject import Model, Subject, dumps

_COUNTERS = ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output")


def compression(subject: Subject, parts: Parts) -> None:
    """Judge gzip and deflate, both ways."""
    model = subject.main
    rows = 64 if model.has_rows else 1
    request = all_binary(model.example(rows), parameters={"binary_data_output": True})
    for name, pack in (("gzip", gzip.compress), ("deflate", zlib.compress)):
        with parts.part(f"{name} request"):
            packed = replace(request, body=pack(request.body))
            answer = parse(subject.infer(model, packed, **{"Content-Encoding": name}))
            plain = parse(subject.infer(model, request))
            expect(same(answer.outputs, plain.outputs), "other values than without")
        with parts.part(f"{name} answer"):
            packed_answer = subject.infer(model, request, **{"Accept-Encoding": name}).ok()
            answer = parse(_inflate(packed_answer, name))
            plain = parse(subject.infer(model, request))
            expect(same(answer.outputs, plain.outputs), "other values than without")
        with parts.part(f"{name} that is damaged or ends early"):
            for body in (pack(request.body)[:-5], b"no such data", b""):
                packed = replace(request, body=body)
                subject.infer(model, packed, **{"Content-Encoding": name}).error(400)
    with parts.part("an answer is compressed only when asked for"):
        headers = subject.infer(model, request).ok().headers
        expect("content-encoding" not in headers, "it is compressed")


def _inflate(answer: Answer, name: str) -> Answer:
    encoding = answer.headers.get("content-encoding")
    if encoding != name:
        raise CheckError(f"Content-Encoding is {encoding!r}")
    unpack = gzip.decompress if name == "gzip" else zlib.decompress
    return replace(answer, body=unpack(answer.body))


def index(subject: Subject, parts: Parts) -> None:
    """Judge the repository index."""
    for name, body in (("without a body", b""), ("{}", b"{}"), ("ready", b'{"ready": true}')):
        with parts.part(name):
            answer = subject.server.post("/v2/repository/index", body)
            if answer.status in (404, 501):
                raise NotOfferedError(f"status {answer.status}")
            entries = answer.ok().json()
            expect(isinstance(entries, list), "no JSON array")
            for entry in entries:
                expect(isinstance(entry["name"], str), "an entry without a name")
            states = {entry["name"]: entry.get("state") for entry in entries}
            expect(states.get(subject.main.name) == "READY", f"states are {states}")


def load_and_unload(subject: Subject, parts: Parts) -> None:
    """Judge load and unload of a model, twice each, and files in the request."""
    server, model = subject.server, subject.main
    path = f"/v2/repository/models/{model.name}"
    with parts.part("a file or a configuration in the request is refused"):
        for name, value in (("file:1/model.onnx", "AAAA"), ("config", "{}")):
            body = dumps({"parameters": {name: value}})
            answer = server.post(f"{path}/load", body, subject.key)
            if answer.status == 404:
                raise NotOfferedError("status 404")
            answer.error(400, 403, 501)
    with parts.part("an unknown model"):
        server.post("/v2/repository/models/no_such_model/load", b"", subject.key).error(
            *(400, 403, 404)
        )
    with parts.part("unload twice, load twice"):
        if not subject.key:
            raise NotOfferedError("needs --admin-key, as it takes a model away for a moment")
        try:
            for _ in range(2):
                body = dumps({"parameters": {"unload_dependents": False}})
                server.post(f"{path}/unload", body, subject.key).ok()
            expect(server.get(f"{model.path}/ready").status != 200, "an unloaded model is ready")
            subject.infer(model, all_binary(model.example())).error(400, 404, 503)
            states = {e["name"]: e.get("state") for e in server.post("/v2/repository/index").json()}
            expect(states.get(model.name) != "READY", "the index says READY")
        finally:
            answers = [server.post(f"{path}/load", b"", subject.key) for _ in range(2)]
        for answer in answers:
            answer.ok()
        server.get(f"{model.path}/ready").ok()
        subject.run(model, model.example())


def statistics(subject: Subject, parts: Parts) -> None:
    """Judge whether the counters move by rows, and are integers."""
    model, server = subject.main, subject.server
    rows = 3 if model.has_rows else 1
    before = _statistics(subject, model)
    subject.run(model, model.example(rows))
    subject.run(model, model.example(rows))
    after = _statistics(subject, model)
    with parts.part("counters of a model"):
        moved = after["inference_count"] - before["inference_count"]
        expect(moved == 2 * rows, f"inference_count moved by {moved} for 2 requests of {rows} rows")
        expect(after["execution_count"] > before["execution_count"], "execution_count stands still")
        expect(after["last_inference"] > 0, "last_inference is 0")
        expect(after["batch_stats"], "batch_stats is empty")
    with parts.part("durations"):
        first, second = before["inference_stats"], after["inference_stats"]
        for name in _COUNTERS:
            entry = second[name]
            expect(type(entry["count"]) is int and type(entry["ns"]) is int, f"{name}: {entry}")
        for name in ("success", "queue", "compute_infer"):
            counts = second[name]["count"] - first[name]["count"]
            expect(counts == 2, f"{name} counts {counts} for 2 requests")
        expect(second["success"]["ns"] > first["success"]["ns"], "success takes no time")
    with parts.part("a failure counts"):
        request = all_binary(model.example())
        server.post(f"{model.path}/infer", request.body + b"x", request.headers).error(400)
        fail = _statistics(subject, model)["inference_stats"]["fail"]["count"]
        expect(fail == after["inference_stats"]["fail"]["count"] + 1, "fail stands still")
    with parts.part("all models"):
        answer = server.get("/v2/models/stats")
        if answer.status == 404:
            raise NotOfferedError("status 404")
        names = [entry["name"] for entry in answer.ok().json()["model_stats"]]
        expect(model.name in names, f"models are {names}")


def _statistics(subject: Subject, model: Model) -> dict[str, Any]:
    answer = subject.server.get(f"{model.path}/stats")
    if answer.status in (404, 501):
        raise NotOfferedError(f"status {answer.status}")
    (entry,) = answer.ok().json()["model_stats"]
    return dict(entry)


def classification(subject: Subject, parts: Parts) -> None:
    """Judge outputs as the strings value:index[:label]."""
    for binary in (True, False):
        with parts.part("binary" if binary else "JSON"):
            model, name = _classifier(subject)
            tensors = model.example(2)
            full = subject.run(model, tensors, parameters={"binary_data_output": True})
            scores, classes = full.outputs[name], full.outputs[name].shape[-1]
            count = min(2, classes)
            request = {"name": name, "parameters": {"classification": count, "binary_data": binary}}
            answer = subject.run(model, tensors, outputs=[request])
            output = answer.outputs[name]
            expect(output.datatype == "BYTES", f"datatype is {output.datatype}")
            expect(output.shape == (2, count), f"shape is {list(output.shape)}")
            for row in range(2):
                values = scores.values[row * classes : (row + 1) * classes]
                best = sorted(values, reverse=True)[:count]
                for value, text in zip(best, output.values[row * count :], strict=False):
                    number, place = text.decode().split(":")[:2]
                    expect(abs(float(number) - value) < 1e-4, f"{text!r} for {value}")
                    expect(values[int(place)] == value, f"{text!r} has another index")


def _classifier(subject: Subject) -> tuple[Model, str]:
    for model in subject.models:
        for name, datatype, shape in model.outputs:
            if len(shape) == 2 and model.has_rows and datatype != "BYTES":
                extensions = subject.extensions()
                if "classification" not in extensions:
                    raise NotOfferedError("the server does not list the extension")
                return model, name
    raise NotOfferedError("no model has an output of shape [-1, n]")
