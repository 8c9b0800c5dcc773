"""Ask a running server every question its artifacts hold the answer to.

    python -m deploy.check [--url http://127.0.0.1:8000] [--artifacts artifacts]

Sends the golden samples of each artifact (drawings of the project's own) through every route and
compares with the outputs that the *reference framework* gave for them at conversion. A variant may
differ from those by what it differed by when it was verified, in the mean and at most, plus MARGIN.
Exit code 0 when all is as it was, 1 otherwise. Uses the deployed packages alone.
"""

import argparse
import base64
import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.manifest import Manifest, read_manifest, versions

MARGIN = 1e-3  # for other CPUs' rounding of what stays in float
EIGHT_BIT = 1 / 255  # alpha travels as a PNG
TIMEOUT_S = 60
TASK_ROUTES = {
    "image-classification": "/v1/face-emotion",
    "image-feature-extraction": "/v1/similarity",
    "image-segmentation": "/v1/background",
}

Golden = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Allowed:
    """How far from the reference an answer may be."""

    mean: float
    largest: float


AllowedBy = Mapping[str, Allowed]  # by output
EXACT = Allowed(MARGIN, MARGIN)


@dataclass(frozen=True, slots=True)
class Reply:
    """What the server said."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    milliseconds: float

    def json(self) -> dict[str, Any]:
        """The body parsed, up to its binary tensors; empty where it is not a JSON object."""
        length = int(self.headers.get("inference-header-content-length", len(self.body)))
        try:
            value = json.loads(self.body[:length])
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Outputs of an inference answer, JSON or binary float32, by name."""
        at = int(self.headers.get("inference-header-content-length", 0))
        found = {}
        for output in self.json().get("outputs", []):
            size_bytes = output.get("parameters", {}).get("binary_data_size", 0)
            flat = np.frombuffer(self.body[at : at + size_bytes], "<f4")
            flat = np.array(output["data"]) if "data" in output else flat
            found[output["name"]] = flat.reshape(output["shape"])
            at += size_bytes
        return found


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    route: str
    reply: Reply
    problem: str = ""  # empty: as it should be
    difference: float | None = None  # from the reference, largest absolute

    def cells(self) -> tuple[str, ...]:
        """Route, status, milliseconds, weights, difference, verdict."""
        difference = "" if self.difference is None else f"{self.difference:.1e}"
        weights = self.reply.headers.get("x-model-weights", "")
        milliseconds = f"{self.reply.milliseconds:.1f}"
        verdict = self.problem or "ok"
        return self.route, str(self.reply.status), milliseconds, weights, difference, verdict


HEADINGS = ("route", "status", "ms", "weights", "difference", "")


def check(url: str, artifacts: Path) -> list[Row]:
    """Ask everything.

    Args:
        url: of the server, without a path.
        artifacts: the directory that it serves.
    """
    general = ("/health", "/v1/models", "/v2", "/v2/health/live", "/v2/health/ready")
    rows = [_plain(url, route) for route in general]
    for directory in sorted(path for path in artifacts.iterdir() if versions(path)):
        newest = versions(directory)[-1]
        manifest = read_manifest(newest)
        with np.load(newest / manifest.golden.name) as golden:
            rows += _check_model(url, manifest, dict(golden))
    return rows


def print_table(rows: Sequence[Row]) -> None:
    """The rows, aligned."""
    cells = [HEADINGS, *(row.cells() for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(HEADINGS))]
    for line in cells:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        )


def _check_model(url: str, manifest: Manifest, golden: Golden) -> Iterator[Row]:
    model = manifest.id
    card = _plain(url, f"/v1/models/{model}")
    yield card
    name = card.reply.json().get("variant")
    recorded = {v.name: v.verification["golden"] for v in manifest.variants}
    if name not in recorded:
        yield Row(
            f"/v1/models/{model}", card.reply, f"serves variant {name!r}, not in the manifest"
        )
        return
    allowed = {
        output: Allowed(seen["mean_abs"] + MARGIN, seen["max_abs"] + MARGIN)
        for output, seen in recorded[name].items()
    }
    yield from (_plain(url, f"/v2/models/{model}{end}") for end in ("", "/ready"))
    yield _infer(url, model, golden, allowed, binary=False)
    yield _infer(url, model, golden, allowed, binary=True)
    yield from _people(url, manifest, golden, allowed)


def _people(url: str, manifest: Manifest, golden: Golden, allowed: AllowedBy) -> Iterator[Row]:
    image = golden["media/0"].tobytes()
    # the routes for people name the probabilities by label; the tensors were compared above
    expected = {
        name.removeprefix("output/"): golden[name][0] for name in golden if "output/" in name
    }
    answer = _ask(url, f"/v1/models/{manifest.id}", image)
    yield _judged(f"POST /v1/models/{manifest.id}", answer, expected, manifest, allowed)
    route = TASK_ROUTES[manifest.spec.task]
    if route == "/v1/similarity":
        yield _twice(_ask(url, route, _form({"image_a": image, "image_b": image}), json_body=True))
    elif route == "/v1/background":
        yield _cut_out(_ask(url, route, image), golden, allowed)
    else:
        answer = _ask(url, route, _form({"image": image}), json_body=True)
        yield _judged(f"POST {route}", answer, expected, manifest, allowed)


def _judged(
    route: str, reply: Reply, expected: Golden, manifest: Manifest, allowed: AllowedBy
) -> Row:
    result = reply.json().get("result", {})
    if "probabilities" in result:
        found = np.array([result["probabilities"][label] for label in manifest.spec.labels])
        return _compared(route, reply, expected["probabilities"], found, allowed["probabilities"])
    if "embedding" in result:
        found = np.array(result["embedding"])
        return _compared(route, reply, expected["embedding"], found, allowed["embedding"])
    if "foreground_fraction" in result:
        return _compared(
            route,
            reply,
            np.array([expected["alpha"].mean()]),
            np.array([result["foreground_fraction"]]),
            allowed["alpha"],
        )
    return Row(route, reply, f"no result: {reply.body[:120]!r}")


def _twice(reply: Reply) -> Row:
    cosine = reply.json().get("result", {}).get("cosine", float("nan"))
    return _compared("POST /v1/similarity", reply, np.ones(1), np.array([cosine]), EXACT)


def _cut_out(reply: Reply, golden: Golden, allowed: AllowedBy) -> Row:
    route = "POST /v1/background"
    picture = cv2.imdecode(np.frombuffer(reply.body, np.uint8), cv2.IMREAD_UNCHANGED)
    source = cv2.imdecode(golden["media/0"], cv2.IMREAD_UNCHANGED)
    if picture is None or source is None or picture.shape != (*source.shape[:2], 4):
        return Row(route, reply, "not a PNG with transparency of the source's size")
    size = (source.shape[1], source.shape[0])
    alpha = cv2.resize(golden["output/alpha"][0], size, interpolation=cv2.INTER_LINEAR)
    seen = allowed["alpha"]
    coarse = Allowed(seen.mean + EIGHT_BIT, seen.largest + EIGHT_BIT)
    return _compared(route, reply, alpha, picture[:, :, 3] / 255, coarse)


def _infer(url: str, model: str, golden: Golden, allowed: AllowedBy, *, binary: bool) -> Row:
    route = f"/v2/models/{model}/infer"
    feeds = {name.removeprefix("input/"): golden[name][:1] for name in golden if "input/" in name}
    head: dict[str, Any] = {"inputs": []}
    tail = b""
    if binary:
        head["parameters"] = {"binary_data_output": True}
    for name, array in feeds.items():
        entry: dict[str, Any] = {"name": name, "shape": array.shape, "datatype": "UINT8"}
        if binary:
            entry["parameters"] = {"binary_data_size": array.nbytes}
            tail += array.tobytes()
        else:
            entry["data"] = array.ravel().tolist()
        head["inputs"].append(entry)
    text = json.dumps(head).encode()
    headers = {"Inference-Header-Content-Length": str(len(text))} if binary else {}
    reply = _ask(url, route, text + tail, headers=headers)
    label = f"POST {route} ({'binary' if binary else 'JSON'})"
    outputs = reply.tensors()
    rows = []
    for name in (key.removeprefix("output/") for key in golden if "output/" in key):
        if name not in outputs:
            return Row(label, reply, f"output {name} is missing: {reply.body[:120]!r}")
        expected = golden[f"output/{name}"][:1]
        rows.append(_compared(label, reply, expected, outputs[name], allowed[name]))
    return max(rows, key=lambda row: (row.problem, row.difference))


def _compared(
    route: str, reply: Reply, expected: NDArray[Any], found: NDArray[Any], allowed: Allowed
) -> Row:
    if reply.status != 200:
        return Row(route, reply, f"status {reply.status}: {reply.body[:120]!r}")
    if expected.shape != found.shape:
        return Row(route, reply, f"shape {found.shape}; expected {expected.shape}")
    differences = np.abs(expected - found)
    mean, largest = float(differences.mean()), float(differences.max())
    if mean <= allowed.mean and largest <= allowed.largest:
        return Row(route, reply, difference=largest)
    problem = (
        f"mean {mean:.1e}, largest {largest:.1e}; "
        f"when verified {allowed.mean:.1e} and {allowed.largest:.1e}"
    )
    return Row(route, reply, problem, largest)


def _plain(url: str, route: str) -> Row:
    reply = _ask(url, route)
    return Row(f"GET {route}", reply, "" if reply.status == 200 else f"status {reply.status}")


def _form(images: Mapping[str, bytes]) -> bytes:
    return json.dumps({k: base64.b64encode(v).decode() for k, v in images.items()}).encode()


def _ask(
    url: str,
    route: str,
    body: bytes | None = None,
    *,
    json_body: bool = False,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    kind = {"Content-Type": "application/json" if json_body else "application/octet-stream"}
    request = urllib.request.Request(
        url + route, body, {**(kind if body else {}), **(headers or {})}
    )
    start = time.perf_counter()
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            status, found, content = answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        status, found, content = error.code, error.headers, error.read()
    except OSError as error:
        status, found, content = 0, {}, str(error).encode()
    milliseconds = (time.perf_counter() - start) * 1000
    lower = {name.lower(): value for name, value in found.items()}
    return Reply(status, lower, content, milliseconds)


def main() -> int:
    """Command line; gives the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.check",
        description="compare a running server with the golden outputs of its artifacts",
    )
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--artifacts", type=Path, default=Path("artifacts"))
    options = parser.parse_args()
    rows = check(options.url.rstrip("/"), options.artifacts)
    print_table(rows)
    problems = [row for row in rows if row.problem]
    print(f"{len(rows) - len(problems)} of {len(rows)} as verified at conversion")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
