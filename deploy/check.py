"""Ask a running server every question its artifacts hold the answer to.

    python -m deploy.check [--url http://127.0.0.1:8000] [--artifacts artifacts]

Sends the golden samples of each artifact (drawings of the project's own) through every route and
compares with the outputs that the *reference framework* gave for them at conversion. A variant may
differ from those by what it differed by when it was verified, in sum and at most, plus MARGIN.
Exit code 0 when all is as it was, 1 otherwise. Uses the deployed packages alone.
"""

import argparse
import json
import math
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from deploy.client import BINARY, JSON, Body, Reply, ask, bodies
from deploy.found import same_detections
from deploy.rows import Allowed, Row, compared, report, unreadable
from runtime.artifact.manifest import Manifest, Task, newest_versions, read_manifest, verify_file
from runtime.errors import ArtifactError, SlipwayError

EIGHT_BIT = 1 / 255  # alpha travels as a PNG
MALFORMED = (AttributeError, KeyError, TypeError, ValueError)  # an answer of another structure
ROUTES: Mapping[Task, str] = {  # of the tasks that have one
    "image-classification": "/v1/face-emotion",
    "image-feature-extraction": "/v1/similarity",
    "image-segmentation": "/v1/background",
    "audio-classification": "/v1/voice-emotion",
    "video-classification": "/v1/gait",
}
FIELDS: Mapping[Task, str] = {  # what a route calls its file, where that is no image
    "audio-classification": "audio",
    "video-classification": "video",
    "sentence-similarity": "text",
}
OUTPUTS: Mapping[Task, str] = {
    "image-classification": "probabilities",
    "image-feature-extraction": "embedding",
    "image-segmentation": "alpha",
    "object-detection": "scores",
    "audio-classification": "probabilities",
    "video-classification": "probabilities",
    "sentence-similarity": "embedding",
}
DATATYPES = {"uint8": "UINT8", "int64": "INT64", "float32": "FP32"}
IN_PIXELS = ("boxes_xyxy", "keypoints")  # compared as shares of the graph's side

Golden = Mapping[str, NDArray[Any]]


AllowedBy = Mapping[str, Allowed]  # by output


def check(url: str, artifacts: Path) -> list[Row]:
    """Ask everything.

    Args:
        url: of the server, without a path.
        artifacts: the directory that it serves.

    Raises:
        ArtifactError: there is no artifact, or one is not as its manifest says.
    """
    newest = newest_versions(artifacts).values()
    general = ("/health", "/v1/models", "/v2", "/v2/health/live", "/v2/health/ready")
    rows = [_plain(url, route) for route in general]
    for directory in newest:
        manifest = read_manifest(directory)
        rows += _check_model(url, manifest, _read_golden(directory, manifest))
    return rows


def _read_golden(directory: Path, manifest: Manifest) -> Golden:
    with np.load(verify_file(directory, manifest.golden)) as arrays:
        golden = dict(arrays)
    for name in ("media/0", f"output/{OUTPUTS[manifest.spec.task]}"):
        if name not in golden:
            raise ArtifactError(f"{directory / manifest.golden.name} holds no {name}")
    return golden


def _check_model(url: str, manifest: Manifest, golden: Golden) -> Iterator[Row]:
    model = manifest.id
    card = _card(url, manifest)
    yield card
    if card.problem:
        return
    recorded = _recorded(manifest, card.reply.json()["variant"], golden)
    samples = len(golden[f"output/{OUTPUTS[manifest.spec.task]}"])
    allowed = {
        # the mean was that of all samples, and the first, which is asked about, may have all of it
        output: Allowed(seen["mean_abs"] * samples, seen["max_abs"])
        for output, seen in recorded.items()
    }
    yield from (_plain(url, f"/v2/models/{model}{end}") for end in ("", "/ready"))
    for form in ("JSON", "binary"):
        answer = _infer(url, model, golden, binary=form == "binary")
        yield _tensors(f"POST /v2/models/{model}/infer ({form})", answer, golden, allowed)
    tensors = answer
    for body in _first_sample(golden, manifest.spec.task):
        answer = ask(url, f"/v1/models/{model}{body.query}", body)
        label = f"POST /v1/models/{model} ({body.form})"
        if manifest.spec.task == "object-detection":
            yield same_detections(label, answer, tensors, golden["media/0"], manifest)
        else:
            yield _judged(label, answer, golden, manifest, allowed)
    yield from _task_route(url, manifest, golden, allowed)


def _card(url: str, manifest: Manifest) -> Row:
    """Whether the server has this very artifact, as a variant that the manifest knows."""
    row = _plain(url, f"/v1/models/{manifest.id}")
    names = [variant.name for variant in manifest.variants]
    said = row.reply.json()
    found = f"version {said.get('version')}, digest {said.get('digest')}"
    wanted = f"version {manifest.version}, digest {manifest.digest}"
    if row.problem or (found == wanted and said.get("variant") in names):
        return row
    allowed = f"{wanted}, variant {' or '.join(names)}"
    problem = f"serves {found}, variant {said.get('variant')}; in the manifest: {allowed}"
    return Row(row.route, row.reply, problem)


def _recorded(manifest: Manifest, variant: str, golden: Golden) -> Mapping[str, Any]:
    recorded: Mapping[str, Any] = next(
        found.verification.get("golden", {}) for found in manifest.variants if found.name == variant
    )
    outputs = [key.removeprefix("output/") for key in golden if "output/" in key]
    for name in outputs:
        if name not in recorded:
            raise ArtifactError(
                f"manifest of {manifest.id}, variant {variant}: "
                f"verification.golden lacks {name!r}; "
                f"needed: {', '.join(outputs)}"
            )
    return recorded


def _task_route(url: str, manifest: Manifest, golden: Golden, allowed: AllowedBy) -> Iterator[Row]:
    """Rows of the task's route if this is the model that answers it; none otherwise."""
    route = ROUTES.get(manifest.spec.task)
    if route is None:
        return
    asked = _first_sample(golden, manifest.spec.task)
    if manifest.spec.task == "image-classification":
        if not _has_a_vote(ask(url, route, next(asked)), manifest.id):
            return
        # of this model alone, and of all that the samples show
        asked = _first_sample(golden, manifest.spec.task, weights=manifest.id, crop="none")
    if manifest.spec.task == "image-segmentation":  # the mask itself
        plain = {"method": "model", "refine": "false", "clean": "false"}
        asked = bodies({"image": golden["media/0"].tobytes()}, plain)
    if manifest.spec.task == "image-feature-extraction":
        first, second = golden["media/0"], golden.get("media/1", golden["media/0"])
        asked = bodies({"image_a": first.tobytes(), "image_b": second.tobytes()})
    for body in asked:
        answer = ask(url, route + body.query, body)
        # 404: its model is not served; without the header it failed, which may be this one's doing
        if answer.status == 404 or answer.headers.get("x-model", manifest.id) != manifest.id:
            return
        label = f"POST {route} ({body.form})"
        if manifest.spec.task == "image-feature-extraction":
            yield _alike(label, answer, golden, allowed["embedding"])
        elif manifest.spec.task == "image-segmentation":
            yield _cut_out(label, answer, golden, allowed["alpha"])
        else:
            yield _judged(label, answer, golden, manifest, allowed)


def _has_a_vote(reply: Reply, model: str) -> bool:
    """Whether a model is among those who judge faces; true where the answer does not tell."""
    try:
        members = reply.json()["result"]["faces"][0]["members"]
        return model in [member["model"] for member in members]
    except (*MALFORMED, IndexError):
        return True


def _first_sample(golden: Golden, task: Task, **options: str) -> Iterator[Body]:
    if "condition/0" in golden:
        options["condition"] = str(golden["condition/0"])
    files = {FIELDS.get(task, "image"): golden["media/0"].tobytes()}
    return bodies(files, options, is_text=task == "sentence-similarity")


def _judged(
    route: str, reply: Reply, golden: Golden, manifest: Manifest, allowed: AllowedBy
) -> Row:
    output = OUTPUTS[manifest.spec.task]
    expected = golden[f"output/{output}"][0]
    try:
        result = reply.json()["result"]
        if output == "probabilities":  # by label; the tensor was compared before
            found = [result[output].get(label, math.nan) for label in manifest.spec.labels]
        elif output == "embedding":
            found = result[output]
        else:
            expected, found = np.array([expected.mean()]), [result["foreground_fraction"]]
        return compared(route, reply, expected, np.array(found, np.float64), allowed[output])
    except MALFORMED:
        return unreadable(route, reply)


def _alike(route: str, reply: Reply, golden: Golden, seen: Allowed) -> Row:
    embeddings = golden["output/embedding"]
    first, second = embeddings[0], embeddings[1 if "media/1" in golden else 0]
    try:
        cosine = np.array([reply.json()["result"]["cosine"]], np.float64)
    except MALFORMED:
        return unreadable(route, reply)
    # of unit vectors: the dot product moves by no more than both of them do
    moved = seen.mean * math.sqrt(first.size)
    return compared(route, reply, np.array([first @ second]), cosine, Allowed(moved, moved))


def _cut_out(route: str, reply: Reply, golden: Golden, seen: Allowed) -> Row:
    encoded = np.frombuffer(reply.body, np.uint8)
    picture = cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED) if encoded.size else None
    source = cv2.imdecode(golden["media/0"], cv2.IMREAD_COLOR)
    if picture is None or source is None or picture.shape != (*source.shape[:2], 4):
        return unreadable(route, reply, "no PNG with transparency of the source's size")
    size = (source.shape[1], source.shape[0])
    alpha = cv2.resize(golden["output/alpha"][0], size, interpolation=cv2.INTER_LINEAR)
    coarse = Allowed(seen.mean + EIGHT_BIT, seen.largest + EIGHT_BIT)
    return compared(route, reply, alpha, picture[:, :, 3] / 255, coarse)


def _infer(url: str, model: str, golden: Golden, *, binary: bool) -> Reply:
    feeds = {name.removeprefix("input/"): golden[name][:1] for name in golden if "input/" in name}
    head: dict[str, Any] = {"inputs": []}
    tail = b""
    if binary:
        head["parameters"] = {"binary_data_output": True}
    for name, array in feeds.items():
        datatype = DATATYPES[array.dtype.name]
        entry: dict[str, Any] = {"name": name, "shape": array.shape, "datatype": datatype}
        if binary:
            entry["parameters"] = {"binary_data_size": array.nbytes}
            tail += array.tobytes()
        else:
            entry["data"] = array.ravel().tolist()
        head["inputs"].append(entry)
    text = json.dumps(head).encode()
    headers = {"Inference-Header-Content-Length": str(len(text))} if binary else {}
    body = Body("", text + tail, BINARY if binary else JSON)
    return ask(url, f"/v2/models/{model}/infer", body, headers=headers)


def _tensors(label: str, reply: Reply, golden: Golden, allowed: AllowedBy) -> Row:
    """The outputs against the golden ones: the row of the worst."""
    try:
        outputs = reply.tensors()
    except MALFORMED:
        return unreadable(label, reply)
    rows = []
    for name in (key.removeprefix("output/") for key in golden if "output/" in key):
        if name not in outputs:
            return unreadable(label, reply, f"output {name} is missing")
        unit = _side_px(golden) if name in IN_PIXELS else 1
        expected, found = golden[f"output/{name}"][:1] / unit, outputs[name] / unit
        seen = Allowed(allowed[name].mean / unit, allowed[name].largest / unit)
        rows.append(compared(label, reply, expected, found, seen))
    return max(rows, key=lambda row: (row.problem, row.difference))


def _side_px(golden: Golden) -> int:
    (image,) = (array for name, array in golden.items() if "input/" in name)
    height, width = image.shape[1:3]
    return max(int(height), int(width))


def _plain(url: str, route: str) -> Row:
    reply = ask(url, route)
    return Row(f"GET {route}", reply, "" if reply.status == 200 else f"status {reply.status}")


def main() -> int:
    """Command line; gives the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.check",
        description="compare a running server with the golden outputs of its artifacts",
    )
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--artifacts", type=Path, default=Path("artifacts"))
    options = parser.parse_args()
    try:
        return report(check(options.url.rstrip("/"), options.artifacts))
    except SlipwayError as error:
        print(f"check: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
