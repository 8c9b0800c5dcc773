"""Send a running server the golden samples of its artifacts and compare its answers.

    python -m deploy.check [--url http://127.0.0.1:8000] [--artifacts artifacts]

Every route is asked in every form that it takes. The expected answers are the outputs that the
reference framework computed at conversion. A variant may differ from them by as much as it did when
it was verified, plus a margin (`runtime.artifact.golden_limits`). The exit code is 0 if every
answer is within its limits, else 1. Needs the deployed packages alone.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from deploy.client import BINARY, JSON, Body, Reply, ask, bodies
from deploy.comparisons import (
    MALFORMED,
    Differences,
    compare_cut_out,
    compare_result,
    compare_similarity,
    compare_tensors,
    second_sample,
)
from deploy.detections import compare_detections
from deploy.rows import Row, report
from runtime.artifact.golden import Golden, read_golden
from runtime.artifact.golden_limits import recorded_difference
from runtime.artifact.manifest import Manifest, Task, newest_versions, read_manifest
from runtime.artifact.spec import DATATYPES
from runtime.errors import ArtifactError, SlipwayError

GENERAL = ("/health", "/v1/models", "/v2", "/v2/health/live", "/v2/health/ready")
ROUTES: Mapping[Task, str] = {  # detectors and text models have no route of their own
    "image-classification": "/v1/face-emotion",
    "image-feature-extraction": "/v1/similarity",
    "image-segmentation": "/v1/background",
    "audio-classification": "/v1/voice-emotion",
    "video-classification": "/v1/gait",
}
FIELDS: Mapping[Task, str] = {  # the name of the uploaded file; "image" for the other tasks
    "audio-classification": "audio",
    "video-classification": "video",
    "sentence-similarity": "text",
}


def check(url: str, artifacts: Path) -> list[Row]:
    """Ask a server about every model of an artifacts directory.

    Args:
        url: of the server, without a path.
        artifacts: the directory that it serves.

    Returns:
        One row per question.

    Raises:
        ArtifactError: there is no artifact, or one does not match its manifest.
    """
    directories = newest_versions(artifacts).values()
    rows = [_get(url, route) for route in GENERAL]
    for directory in directories:
        manifest = read_manifest(directory)
        rows += _check_model(url, manifest, read_golden(directory, manifest, require_media=True))
    return rows


def _check_model(url: str, manifest: Manifest, golden: Golden) -> Iterator[Row]:
    """Yield the rows of one model; only the first if the server has another version of it."""
    model, task = manifest.id, manifest.spec.task
    card = _model_card(url, manifest)
    yield card
    if card.problem:
        return
    recorded = _recorded_differences(manifest, card.reply.json()["variant"], golden)
    yield from (_get(url, f"/v2/models/{model}{end}") for end in ("", "/ready"))
    for form in ("JSON", "binary"):
        tensors = _infer(url, model, golden, binary=form == "binary")
        yield compare_tensors(f"POST /v2/models/{model}/infer ({form})", tensors, golden, recorded)
    for body in _first_sample(golden, task):
        reply = ask(url, f"/v1/models/{model}{body.query}", body)
        label = f"POST /v1/models/{model} ({body.form})"
        if task == "object-detection":
            yield compare_detections(label, reply, tensors, golden.media[0], manifest)
        else:
            yield compare_result(label, reply, golden, manifest.spec, recorded)
    yield from _check_task_route(url, manifest, golden, recorded)


def _model_card(url: str, manifest: Manifest) -> Row:
    """Check that the server has this version, as a variant that the manifest lists."""
    row = _get(url, f"/v1/models/{manifest.id}")
    variants = [variant.name for variant in manifest.variants]
    card = row.reply.json()
    served = f"version {card.get('version')}, digest {card.get('digest')}"
    expected = f"version {manifest.version}, digest {manifest.digest}"
    if row.problem or (served == expected and card.get("variant") in variants):
        return row
    problem = (
        f"serves {served}, variant {card.get('variant')}; "
        f"in the manifest: {expected}, variant {' or '.join(variants)}"
    )
    return Row(row.route, row.reply, problem)


def _recorded_differences(manifest: Manifest, variant: str, golden: Golden) -> Differences:
    """Return the difference from the golden outputs that the first sample may have.

    Raises:
        ArtifactError: the manifest does not record the difference of an output.
    """
    verification = next(v.verification for v in manifest.variants if v.name == variant)
    differences = {}
    for output in golden.outputs:
        difference = recorded_difference(verification, output)
        if difference is None:
            raise ArtifactError(
                f"manifest of {manifest.id}, variant {variant}: "
                f"verification.golden lacks {output!r}; "
                f"needed: {', '.join(golden.outputs)}"
            )
        differences[output] = difference.of_one(golden.count)
    return differences


def _check_task_route(
    url: str, manifest: Manifest, golden: Golden, recorded: Differences
) -> Iterator[Row]:
    """Yield the rows of the task's route; none if another model answers it."""
    task = manifest.spec.task
    route = ROUTES.get(task)
    if route is None:
        return
    if task == "image-classification" and not _is_member(url, route, manifest, golden):
        return
    for body in _task_bodies(manifest, golden):
        reply = ask(url, route + body.query, body)
        # 404: the route's model is not served. A reply without the header is an error, which this
        # model may have caused, so it is compared.
        if reply.status == 404 or reply.headers.get("x-model", manifest.id) != manifest.id:
            return
        label = f"POST {route} ({body.form})"
        if task == "image-feature-extraction":
            yield compare_similarity(label, reply, golden, recorded["embedding"])
        elif task == "image-segmentation":
            yield compare_cut_out(label, reply, golden, recorded["alpha"])
        else:
            yield compare_result(label, reply, golden, manifest.spec, recorded)


def _task_bodies(manifest: Manifest, golden: Golden) -> Iterator[Body]:
    """Return the request bodies whose answers depend on this model's outputs alone."""
    first, task = golden.media[0], manifest.spec.task
    if task == "image-classification":  # this member alone, on the whole picture
        return _first_sample(golden, task, vote_weights=manifest.id, crop="none")
    if task == "image-segmentation":  # the mask without refinement
        return bodies({"image": first}, {"method": "model", "refine": "false", "clean": "false"})
    if task == "image-feature-extraction":
        return bodies({"image_a": first, "image_b": golden.media[second_sample(golden)]})
    return _first_sample(golden, task)


def _is_member(url: str, route: str, manifest: Manifest, golden: Golden) -> bool:
    """Return True if a model votes on faces, or if the answer does not list the members."""
    reply = ask(url, route, next(_first_sample(golden, manifest.spec.task)))
    try:
        members = reply.json()["result"]["faces"][0]["members"]
        return manifest.id in [member["model"] for member in members]
    except (*MALFORMED, IndexError):
        return True


def _first_sample(golden: Golden, task: Task, **options: str) -> Iterator[Body]:
    """Return the first golden file in each form of a request."""
    if golden.conditions[0] is not None:
        options["condition"] = golden.conditions[0]
    files = {FIELDS.get(task, "image"): golden.media[0]}
    return bodies(files, options, is_text=task == "sentence-similarity")


def _infer(url: str, model: str, golden: Golden, *, binary: bool) -> Reply:
    """Send the graph inputs of the first sample to the v2 protocol, as JSON or binary tensors."""
    header: dict[str, Any] = {"inputs": []}
    payload = b""
    if binary:
        header["parameters"] = {"binary_data_output": True}
    for name, array in golden.feeds(0).items():
        datatype = DATATYPES[array.dtype.name]  # type: ignore[index]  # numpy's name is any text
        entry: dict[str, Any] = {"name": name, "shape": array.shape, "datatype": datatype}
        if binary:
            entry["parameters"] = {"binary_data_size": array.nbytes}
            payload += array.tobytes()
        else:
            entry["data"] = array.ravel().tolist()
        header["inputs"].append(entry)
    text = json.dumps(header).encode()
    headers = {"Inference-Header-Content-Length": str(len(text))} if binary else {}
    body = Body("", text + payload, BINARY if binary else JSON)
    return ask(url, f"/v2/models/{model}/infer", body, headers=headers)


def _get(url: str, route: str) -> Row:
    """Ask a route that is only checked for its status."""
    reply = ask(url, route)
    return Row(f"GET {route}", reply, "" if reply.status == 200 else f"status {reply.status}")


def main() -> int:
    """Run the command line and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.check",
        description="Compare a running server with the golden outputs of its artifacts.",
    )
    add = parser.add_argument
    add("--url", default="http://127.0.0.1:8000", help="server to ask (default: %(default)s)")
    add(
        "--artifacts",
        type=Path,
        default=Path("artifacts"),
        metavar="DIR",
        help="directory that the server serves (default: %(default)s)",
    )
    options = parser.parse_args()
    try:
        return report(check(options.url.rstrip("/"), options.artifacts))
    except SlipwayError as error:
        print(f"check: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
