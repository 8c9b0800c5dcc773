"""The request of a load: the body that each server takes, and the check of its answer."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from benchmarks.peers.answers import check_cut_out, check_embedding
from benchmarks.peers.process import Request
from benchmarks.peers.table import U2NETP, Body, Peer
from runtime import load
from runtime.artifact.steps import Resize
from runtime.engine.session import SessionOptions

BOUNDARY = "a-boundary-that-no-photo-holds"


def model_file(artifact: Path) -> Path:
    """Return the ONNX file that Slipway serves on this CPU."""
    loaded = load(artifact)
    version = artifact / str(loaded.manifest.version)
    return version / loaded.variant.files[0].name


def interpolation(artifact: Path) -> str:
    """Return how an artifact resizes photos; "" if its first step is another one."""
    step = load(artifact).spec.preprocess[0]
    return step.interpolation if isinstance(step, Resize) else ""


def request_of(peer: Peer, artifacts: Path, data: bytes) -> Request:
    """Return the request of a server, and the check of its answer.

    Args:
        peer: the server.
        artifacts: folder of the artifacts, with its model.
        data: JPEG that the request sends.
    """
    body, media_type = body_of(peer.body, peer.file_field, data, peer.fields)
    if peer.model == U2NETP:  # each server rounds its graph and refines edges in its own way
        model = load(artifacts / peer.model, variant="float", options=SessionOptions(threads=1))
        alpha = model.run(model.prepare(data).feeds)["alpha"][0]
        check = check_cut_out(alpha.astype(np.float32))
    else:
        model = load(artifacts / peer.model, options=SessionOptions(threads=1))
        (embedding,) = model.run(model.prepare(data).feeds).values()
        check = check_embedding(peer.answer, embedding[0].astype(np.float64))
    return Request(peer.path, body, media_type, check)


def body_of(
    kind: Body, name: str, data: bytes, fields: Mapping[str, str] | None = None
) -> tuple[bytes, str]:
    """Return a body with a file, and its media type.

    Args:
        kind: of the body.
        name: of the file's field or tensor.
        data: the file.
        fields: other fields of a form.
    """
    if kind == "base64":
        tensor = {
            "name": name,
            "shape": [1, 1],
            "datatype": "BYTES",
            "parameters": {"content_type": "base64"},
            "data": [base64.b64encode(data).decode()],
        }
        return json.dumps({"inputs": [tensor]}).encode(), "application/json"
    parts = [_part(f'name="{key}"', value.encode()) for key, value in (fields or {}).items()]
    parts.append(_part(f'name="{name}"; filename="photo.jpg"', data, "image/jpeg"))
    body = b"".join((*parts, f"--{BOUNDARY}--\r\n".encode()))
    return body, f"multipart/form-data; boundary={BOUNDARY}"


def _part(disposition: str, data: bytes, media_type: str = "text/plain") -> bytes:
    head = f"--{BOUNDARY}\r\nContent-Disposition: form-data; {disposition}\r\n"
    return f"{head}Content-Type: {media_type}\r\n\r\n".encode() + data + b"\r\n"
