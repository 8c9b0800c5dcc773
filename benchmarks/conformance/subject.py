"""The server that is checked, its models, and a request that each model answers."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from benchmarks.conformance.http_client import Answer, Server
from benchmarks.conformance.infer import Inference, Message, all_binary, parse
from benchmarks.conformance.outcome import CheckError, NotOfferedError
from benchmarks.conformance.tensors import FORMATS, Tensor, filled

SIZES = (1, 2, 16, 224, 1600)  # that are tried for the axes of any size behind the first


@dataclass(frozen=True, slots=True)
class Model:
    """A model that answers, and the shape of a request of one row."""

    name: str
    inputs: tuple[tuple[str, str, tuple[int, ...]], ...]  # name, datatype, shape; -1: any size
    outputs: tuple[tuple[str, str, tuple[int, ...]], ...]
    version: str
    parameters: Mapping[str, Any]
    size: int  # of the axes of any size behind the first

    @property
    def has_rows(self) -> bool:
        """Return whether every tensor begins with an axis of any size."""
        return all(shape[:1] == (-1,) for _, _, shape in (*self.inputs, *self.outputs))

    def example(self, rows: int = 1, first: int = 1) -> list[Tensor]:
        """Return its inputs: some rows of small values."""
        return [
            filled(name, datatype, _sizes(shape, rows, self.size), first)
            for name, datatype, shape in self.inputs
        ]

    @property
    def path(self) -> str:
        """Return the path of the model."""
        return f"/v2/models/{quote(self.name)}"


@dataclass(frozen=True, slots=True)
class Subject:
    """The server and its models that answer requests."""

    server: Server
    models: tuple[Model, ...]
    key: Mapping[str, str]  # headers that may change the repository; empty: unknown
    has_base_path: bool

    @property
    def main(self) -> Model:
        """Return the model that most points use: one with rows, and the most inputs."""
        if not self.models:
            raise NotOfferedError("no model answers; name one with --model")
        return max(self.models, key=lambda m: (m.has_rows, len(m.inputs), -_elements(m)))

    def infer(self, model: Model, request: Message, **headers: str) -> Answer:
        """Send an infer request."""
        return self.server.post(f"{model.path}/infer", request.body, {**request.headers, **headers})

    def run(self, model: Model, tensors: Sequence[Tensor], **fields: Any) -> Inference:
        """Send an infer request with every input as bytes, and parse the answer."""
        return parse(self.infer(model, all_binary(tensors, **fields)))

    def extensions(self) -> Sequence[str]:
        """Return the extensions that the server lists."""
        extensions: Sequence[str] = self.server.get("/v2").json()["extensions"]
        return extensions


def discover(server: Server, names: Sequence[str]) -> Iterator[Model]:
    """Yield the models that answer: those named, or those of the repository index."""
    for name in names or _index(server):
        try:
            content = server.get(f"/v2/models/{quote(name)}").ok().json()
            yield _open(server, name, content)
        except (CheckError, NotOfferedError, KeyError, ValueError):
            continue


def _index(server: Server) -> list[str]:
    answer = server.post("/v2/repository/index", b"{}")
    try:
        entries = answer.ok().json()
        return list(dict.fromkeys(e["name"] for e in entries if e.get("state") == "READY"))
    except (CheckError, KeyError, TypeError):
        return []


def _open(server: Server, name: str, content: Mapping[str, Any]) -> Model:
    """Return a model of metadata, with the first size that it answers."""
    inputs, outputs = _tensors(content["inputs"]), _tensors(content["outputs"])
    if any(datatype not in (*FORMATS, "BYTES") for _, datatype, _ in inputs):
        raise NotOfferedError("an input of an unknown datatype")
    version = (content.get("versions") or [""])[-1]
    is_free = any(-1 in shape[1:] for _, _, shape in inputs)
    for size in SIZES if is_free else (1,):
        model = Model(name, inputs, outputs, version, content.get("parameters") or {}, size)
        request = all_binary(model.example())
        if server.post(f"{model.path}/infer", request.body, request.headers).status == 200:
            return model
    raise NotOfferedError("it answers no request of small values")


def _tensors(entries: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, str, tuple[int, ...]], ...]:
    return tuple((e["name"], e["datatype"], tuple(map(int, e["shape"]))) for e in entries)


def _sizes(shape: tuple[int, ...], rows: int, size: int) -> list[int]:
    return [
        axis if axis != -1 else rows if index == 0 else size for index, axis in enumerate(shape)
    ]


def _elements(model: Model) -> int:
    return sum(len(tensor.values) for tensor in model.example())


def dumps(content: object) -> bytes:
    """Return JSON as bytes."""
    return json.dumps(content).encode()
