"""Points about requests that are answered."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from benchmarks.conformance.infer import LENGTH, all_binary, message, parse, same
from benchmarks.conformance.outcome import CheckError, NotOfferedError, Parts, expect
from benchmarks.conformance.subject import Model, Subject, dumps
from benchmarks.conformance.tensors import BINARY_ONLY, FORMATS, Tensor, grey_png

EXTENSION = "encoded_media"  # of this project's server; others do not list it


def _model_for_json(subject: Subject) -> Model:
    """Return a model whose every tensor JSON can hold."""
    for model in (subject.main, *subject.models):
        types = {datatype for _, datatype, _ in (*model.inputs, *model.outputs)}
        if not types & set(BINARY_ONLY):
            return model
    raise NotOfferedError("a model whose tensors JSON can hold")


def json_data(subject: Subject, parts: Parts) -> None:
    """Judge JSON data, flat and nested."""
    with parts.part("a model"):
        model = _model_for_json(subject)
        tensors = model.example(2 if model.has_rows else 1)
        expected = subject.run(model, tensors).outputs
        flat = {"inputs": [t.as_json() for t in tensors]}
        nested = {"inputs": [t.head(data=t.nested()) for t in tensors]}
        for name, content in (("flat", flat), ("nested", nested)):
            with parts.part(name):
                answer = subject.server.post(f"{model.path}/infer", dumps(content))
                kind = answer.ok().headers.get("content-type", "")
                expect(kind.startswith("application/json"), f"Content-Type is {kind!r}")
                parsed = parse(answer)
                expect(not parsed.binary, "outputs are binary")
                expect(same(parsed.outputs, expected), "other values than for binary inputs")
        with parts.part("model_name and parameters of nobody are ignored"):
            more = {**flat, "model_name": "other", "parameters": {"my_own": 1}}
            parse(subject.server.post(f"{model.path}/infer", dumps(more)))


def binary_data(subject: Subject, parts: Parts) -> None:
    """Judge binary inputs and outputs, mixed ones, and tensors of no rows."""
    model = subject.main
    tensors = model.example(2 if model.has_rows else 1)
    expected = None
    with parts.part("binary in, binary out"):
        answer = subject.run(model, tensors, parameters={"binary_data_output": True})
        expect(answer.binary == set(answer.outputs), "an output is not binary")
        expect(list(answer.outputs) == [n for n, _, _ in model.outputs], "another order")
        expected = answer.outputs
    with parts.part("binary in, JSON out"):
        json_model = _model_for_json(subject)
        answer = subject.run(json_model, json_model.example())
        expect(not answer.binary, "outputs are binary")
    with parts.part("one input as JSON, the others as bytes"):
        mixed = next((m for m in subject.models if len(m.inputs) > 1), None)
        if mixed is None:
            raise NotOfferedError("a model of two inputs")
        inputs = mixed.example()
        for first in (inputs[0], inputs[-1]):
            if first.datatype not in BINARY_ONLY:
                names = [t.name for t in inputs if t is not first]
                got = parse(subject.infer(mixed, message(inputs, binary=names))).outputs
                expect(same(got, subject.run(mixed, inputs).outputs), "other values")
    with parts.part("no rows"):
        if not model.has_rows:
            raise NotOfferedError("a model with rows")
        answer = subject.run(model, model.example(0), parameters={"binary_data_output": True})
        for name, output in answer.outputs.items():
            expect(0 in output.shape, f"{name} has shape {list(output.shape)}")
        entries = [t.as_json() for t in _model_for_json(subject).example(0)]
        path = f"{_model_for_json(subject).path}/infer"
        parse(subject.server.post(path, dumps({"inputs": entries})))
    with parts.part("the same answer twice"):
        again = subject.run(model, tensors, parameters={"binary_data_output": True}).outputs
        expect(expected is not None and same(again, expected), "other values")


def binary_by_default(subject: Subject, parts: Parts) -> None:
    """Judge the requests of tritonclient without outputs: all of them binary."""
    model = subject.main
    with parts.part("binary_data_output without outputs"):
        answer = subject.run(model, model.example(), parameters={"binary_data_output": True})
        expect(answer.binary == set(answer.outputs), "an output is not binary")
    with parts.part("an empty list of outputs"):
        fields = {"parameters": {"binary_data_output": True}, "outputs": []}
        answer = subject.run(model, model.example(), **fields)
        expect(len(answer.binary) == len(model.outputs), "an output is missing or not binary")


def overrides(subject: Subject, parts: Parts) -> None:
    """Judge binary_data of an output against binary_data_output of the request."""
    model = next((m for m in subject.models if len(m.outputs) > 1), subject.main)
    names = [n for n, datatype, _ in model.outputs if datatype not in BINARY_ONLY]
    for default in (True, False):
        with parts.part(f"binary_data_output {str(default).lower()}, an output otherwise"):
            outputs: list[dict[str, Any]] = [{"name": name} for name in reversed(names)]
            outputs[0]["parameters"] = {"binary_data": not default}
            answer = subject.run(
                model, model.example(), outputs=outputs, parameters={"binary_data_output": default}
            )
            expect(list(answer.outputs) == names[::-1], "outputs in another order than asked for")
            others = set(names[:-1]) if default else {names[-1]}
            expect(answer.binary == others, f"binary are {sorted(answer.binary)}")


def raw(subject: Subject, parts: Parts) -> None:
    """Judge a body that is the only input (length 0 in the header)."""
    with parts.part("raw input, binary outputs"):
        model = next((m for m in subject.models if len(m.inputs) == 1), None)
        if model is None:
            raise NotOfferedError("a model of one input")
        (tensor,) = model.example()
        data = tensor.values[0] if tensor.datatype == "BYTES" else tensor.data
        answer = parse(subject.server.post(f"{model.path}/infer", data, {LENGTH: "0"}))
        expect(len(answer.binary) == len(model.outputs), "an output is not binary")
        expect(same(answer.outputs, subject.run(model, [tensor]).outputs), "other values")


def datatypes(subject: Subject, parts: Parts) -> None:
    """Judge each datatype that a model has: binary both ways, and JSON where JSON holds it."""
    for datatype in FORMATS:
        with parts.part(datatype):
            models = [m for m in subject.models if datatype in {d for _, d, _ in m.inputs}]
            if not models:
                raise NotOfferedError("no model takes it")
            for model in models:
                _check_datatype(subject, model, datatype)


def _check_datatype(subject: Subject, model: Model, datatype: str) -> None:
    tensors = model.example()
    expected = subject.run(model, tensors, parameters={"binary_data_output": True})
    for name, kind, _ in model.outputs:
        expect(expected.outputs[name].datatype == kind, f"output {name} is no {kind}")
    if datatype in BINARY_ONLY:
        return
    binary = [t.name for t in tensors if t.datatype in BINARY_ONLY]
    fields = {"parameters": {"binary_data_output": True}}
    answer = parse(subject.infer(model, message(tensors, binary=binary, **fields)))
    expect(same(answer.outputs, expected.outputs), "JSON gives other values than bytes")


def ids(subject: Subject, parts: Parts) -> None:
    """Judge the id of a request."""
    model = subject.main
    with parts.part("the id comes back"):
        for request_id in ("42", "é 1"):
            content = subject.run(model, model.example(), id=request_id).content
            expect(content.get("id") == request_id, f"id is {content.get('id')!r}")
    with parts.part("without one there is none"):
        content = subject.run(model, model.example()).content
        expect(content.get("id", "") == "", f"id is {content.get('id')!r}")


def concurrency(subject: Subject, parts: Parts) -> None:
    """Judge whether requests at once get the answers of their own rows."""
    model = subject.main
    with parts.part("48 requests, 12 at once, rows that differ"):
        requests = [model.example(1 + i % 3 if model.has_rows else 1, i) for i in range(12)]
        expected = [subject.run(model, tensors).outputs for tensors in requests]
        with ThreadPoolExecutor(12) as pool:
            answers = list(pool.map(lambda t: subject.run(model, t).outputs, requests * 4))
        for index, outputs in enumerate(answers):
            if not same(outputs, expected[index % 12]):
                raise CheckError(f"request {index} got another answer than alone")


def text_elements(subject: Subject, parts: Parts) -> None:
    """Judge BYTES: elements of no bytes, outside ASCII, and that are no UTF-8."""
    models = [m for m in subject.models if "BYTES" in {d for _, d, _ in m.inputs}]
    echoes = [m for m in models if "BYTES" in {d for _, d, _ in m.outputs}]
    elements = (b"", "é €".encode(), b"a\nb")
    with parts.part("elements come back, one of no bytes among them"):
        if not echoes:
            raise NotOfferedError("no model takes and returns BYTES")
        for binary in (True, False):
            for value in elements:
                _check_echo(subject, echoes[0], value, binary=binary)
    with parts.part("an element that is no UTF-8 comes back, or is refused as such"):
        if not echoes:
            raise NotOfferedError("no model takes and returns BYTES")
        try:
            _check_echo(subject, echoes[0], b"\xff\xfe\0", binary=True)
        except CheckError:
            request = all_binary(_filled_with(echoes[0], b"\xff\xfe\0"))
            refusal = subject.infer(echoes[0], request).error(400)
            expect("UTF-8" in refusal, f"refused for another reason: {refusal}")
    with parts.part("an encoded image in place of a tensor"):
        if EXTENSION in subject.extensions():
            _check_image(subject)
    with parts.part("a length that is over the end"):
        if not models:
            raise NotOfferedError("no model takes BYTES")
        request = all_binary(models[0].example())
        body = request.body[:-1]
        subject.server.post(f"{models[0].path}/infer", body, request.headers).error(400)


def _check_image(subject: Subject) -> None:
    """Send a PNG, whose bytes are no UTF-8, to the models that say they take one."""
    models = [m for m in subject.models if "PNG" in m.parameters.get("encoded_media_formats", "")]
    if not models:
        raise NotOfferedError("no model takes images")
    for model in models:
        name = model.parameters["encoded_media_input"]
        image = Tensor(name, "BYTES", (1,), (grey_png(),))
        answer = subject.run(model, [image], parameters={"binary_data_output": True})
        expect(len(answer.binary) == len(model.outputs), "an output is not binary")
        raw_answer = parse(
            subject.server.post(f"{model.path}/infer", image.values[0], {LENGTH: "0"})
        )
        expect(same(raw_answer.outputs, answer.outputs), "another answer as a raw body")


def _filled_with(model: Model, value: bytes) -> list[Tensor]:
    return [
        replace(t, values=(value,) * len(t.values)) if t.datatype == "BYTES" else t
        for t in model.example()
    ]


def _check_echo(subject: Subject, model: Model, value: bytes, *, binary: bool) -> None:
    tensors = _filled_with(model, value)
    names = [t.name for t in tensors if binary or t.datatype != "BYTES"]
    fields = {"parameters": {"binary_data_output": binary}}
    answer = parse(subject.infer(model, message(tensors, binary=names, **fields)))
    values = [v for o in answer.outputs.values() if o.datatype == "BYTES" for v in o.values]
    expect(values and set(values) == {value}, f"{value!r} came back as {values[:2]!r}")
