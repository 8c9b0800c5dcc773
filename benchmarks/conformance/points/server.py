"""Points about the server, its routes and names."""

from urllib.parse import quote

from benchmarks.conformance.infer import all_binary, parse
from benchmarks.conformance.outcome import NotOfferedError, Parts, expect
from benchmarks.conformance.subject import Subject, dumps
from benchmarks.conformance.tensors import FORMATS

NOBODY = "/v2/models/no_such_model"


def health(subject: Subject, parts: Parts) -> None:
    """Judge the codes of live, ready and the readiness of a model."""
    server = subject.server
    for path in ("/v2/health/live", "/v2/health/ready"):
        with parts.part(path):
            server.get(path).ok()
    with parts.part("a model that is ready"):
        server.get(f"{subject.main.path}/ready").ok()
    with parts.part("a model that is not ready"):
        expect(server.get(f"{NOBODY}/ready").status != 200, "an unknown model is ready")


def metadata(subject: Subject, parts: Parts) -> None:
    """Judge the metadata of the server and of each model."""
    server = subject.server
    for path in ("/v2", "/v2/"):
        with parts.part(path):
            content = server.get(path).ok().json()
            expect(isinstance(content["name"], str), "name is no text")
            expect(isinstance(content["version"], str), "version is no text")
            expect(isinstance(content["extensions"], list), "extensions is no list")
    with parts.part("shapes and datatypes of models"):
        for model in (subject.main, *subject.models):
            content = server.get(model.path).ok().json()
            expect(content["name"] == model.name, f"name is {content['name']!r}")
            expect(isinstance(content["platform"], str), "platform is no text")
            expect(all(isinstance(v, str) for v in content["versions"]), "versions are no texts")
            for name, datatype, shape in (*model.inputs, *model.outputs):
                expect(datatype in (*FORMATS, "BYTES"), f"{name} has datatype {datatype!r}")
                expect(all(axis >= -1 for axis in shape), f"{name} has shape {list(shape)}")
    with parts.part("config"):
        content = server.get(f"{subject.main.path}/config").ok().json()
        expect(isinstance(content["max_batch_size"], int), "max_batch_size is no integer")
        expect(content["name"] == subject.main.name, f"name is {content['name']!r}")
        inputs = {entry["name"]: entry for entry in content["input"]}
        batch = 1 if content["max_batch_size"] else 0
        for name, datatype, shape in subject.main.inputs:
            type_name = "TYPE_" + ("STRING" if datatype == "BYTES" else datatype)
            expect(inputs[name]["data_type"] == type_name, f"{name}: {inputs[name]}")
            dims = [int(axis) for axis in inputs[name]["dims"]]
            expect(dims == list(shape[batch:]), f"{name} has dims {dims}")


def quoted_names(subject: Subject, parts: Parts) -> None:
    """Judge whether names in paths are unquoted."""
    model, server = subject.main, subject.server
    name = "".join(f"%{byte:02X}" for byte in model.name.encode())
    request = all_binary(model.example())
    with parts.part("every byte of a name quoted"):
        parse(server.post(f"/v2/models/{name}/infer", request.body, request.headers))
    with parts.part("an unknown name with quoted bytes"):
        server.get(f"/v2/models/{quote('no such/é', safe='')}").error(400, 404)
        server.get("/v2/models/no%20such").error(400, 404)
    with parts.part("a query that means nothing"):
        server.get(f"{model.path}?a=1&b=%20").ok()


def base_path(subject: Subject, parts: Parts) -> None:
    """Judge whether the server answers under a base path."""
    with parts.part("all requests went to a base path"):
        if not subject.has_base_path:
            raise NotOfferedError("the URL has no path; run this with one, as http://host/base")
        subject.server.get("/v2").ok()
        parse(subject.infer(subject.main, all_binary(subject.main.example())))


def versions(subject: Subject, parts: Parts) -> None:
    """Judge the version in a path, none, and a wrong one."""
    model, server = subject.main, subject.server
    request = all_binary(model.example())
    path = f"{model.path}/versions/{model.version}"
    with parts.part("the version in the path"):
        for suffix in ("", "/ready"):
            server.get(path + suffix).ok()
        answer = parse(server.post(f"{path}/infer", request.body, request.headers))
        expect(answer.content["model_version"] == model.version, "model_version is another")
    with parts.part("none"):
        answer = parse(subject.infer(model, request))
        expect(answer.content["model_version"] == model.version, "model_version is another")
    with parts.part("a wrong one"):
        for version in ("987654321", "x"):
            wrong = f"{model.path}/versions/{version}"
            server.get(wrong).error(400, 404)
            server.post(f"{wrong}/infer", request.body, request.headers).error(400, 404)
            expect(server.get(f"{wrong}/ready").status != 200, "a wrong version is ready")


def errors(subject: Subject, parts: Parts) -> None:
    """Judge the bodies of errors; 429, 500 and 503 cannot be provoked from outside."""
    server, path = subject.server, subject.main.path
    with parts.part("400"):
        server.post(f"{path}/infer", b"no JSON").error(400)
        server.post(f"{path}/infer", dumps([1])).error(400)
    with parts.part("404"):
        server.get(NOBODY).error(400, 404)
        server.get("/v2/no/such/route").error(404)
        server.post(f"{NOBODY}/infer", dumps({"inputs": []})).error(400, 404)
    with parts.part("405"):
        server.get(f"{path}/infer").error(405)
        server.send("DELETE", path).error(405)
    with parts.part("413"):
        server.post(f"{path}/infer", b"", {"Content-Length": str(2**50)}).error(400, 413)
    for route in ("trace/setting", "logging", "systemsharedmemory/status"):
        with parts.part(f"/v2/{route}"):
            answer = server.get(f"/v2/{route}")
            if answer.status != 200:
                answer.error(400, 404, 501)
    with parts.part("shared memory as an input"):
        tensors = subject.main.example()
        entries = [t.head(parameters={"shared_memory_region": "no_region",
                                      "shared_memory_byte_size": len(t.data)})
                   for t in tensors]  # fmt: skip
        server.post(f"{path}/infer", dumps({"inputs": entries})).error(400, 404)
