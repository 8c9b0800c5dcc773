"""The workload: the stages of a request for each model, and requests over HTTP."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np

from benchmarks.media_files import write_photo, write_sound
from runtime.artifact.golden import read_golden
from runtime.artifact.manifest import read_manifest

# artifacts that every later version must go on reading, so that both sides can
TINY = Path(__file__).parents[2] / "tests" / "data" / "release_before"
IMAGE_STAGES = ("decode", "preprocess", "run", "answer")
OTHER_STAGES = ("prepare", "run", "answer")
MEDIA_OF = {"audio-classification": "voice.flac", "sentence-similarity": "note.txt"}


TIMED_WHOLE = ("image-classification", "audio-classification", "sentence-similarity")


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage of a request for one model, in process."""

    model: str  # artifacts/<model>/<version>
    media: str  # a file
    stage: str
    condition: str | None = None

    @property
    def name(self) -> str:
        """Return what tables call it."""
        path = Path(self.model).parent
        kind = "" if path.parent == TINY.resolve() else "real "
        return f"{kind}{path.name}: {self.stage}"


@dataclass(frozen=True, slots=True)
class HttpCase:
    """A request of which a batch is timed."""

    name: str
    method: str
    path: str
    body: bytes = b""
    content_type: str = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Workload:
    """All of it, written to a folder."""

    stages: tuple[Stage, ...]
    file: Path  # the stages as JSON
    requests: tuple[HttpCase, ...]
    artifacts: Path  # that the server serves


def write_workload(folder: Path, real: Path | None = None) -> Workload:
    """Write media and the list of stages.

    Args:
        folder: for the files.
        real: artifacts of real models, each timed with its first golden sample; None: none.
    """
    write_photo(folder / "photo.jpg", 0.3)
    write_sound(folder / "voice.flac", 2)
    (folder / "note.txt").write_text("slowly walking . " * 4, encoding="utf-8")
    stages = [stage for model in _models(TINY) for stage in _tiny_stages(model, folder)]
    for model in _models(real) if real else ():
        stages += _real_stages(model, folder)
    file = folder / "stages.json"
    file.write_text(json.dumps([asdict(stage) for stage in stages]), encoding="utf-8")
    return Workload(tuple(stages), file, tuple(_requests()), TINY)


def _models(artifacts: Path) -> list[Path]:
    """Return the newest version of each model."""
    models = sorted(path for path in artifacts.iterdir() if path.is_dir())
    versions = ([v for v in model.iterdir() if (v / "manifest.json").exists()] for model in models)
    return [max(found, key=lambda path: int(path.name)) for found in versions if found]


def _tiny_stages(model: Path, folder: Path) -> Iterator[Stage]:
    task = read_manifest(model).spec.task
    if task == "video-classification":
        return  # a clip is decoded by a process of its own
    media = folder / MEDIA_OF.get(task, "photo.jpg")
    names: Sequence[str] = OTHER_STAGES if task in MEDIA_OF else IMAGE_STAGES
    if task not in TIMED_WHOLE:
        names = ("preprocess", "answer")  # the decoder is that of the classifier
    yield from (Stage(str(model.resolve()), str(media), name) for name in names)


def _real_stages(model: Path, folder: Path) -> list[Stage]:
    manifest = read_manifest(model)
    golden = read_golden(model, manifest, require_media=True)
    text = manifest.spec.task == "sentence-similarity"
    media = folder / f"{manifest.id}.{'txt' if text else 'bin'}"
    media.write_bytes(golden.media[0])
    image = manifest.spec.task.startswith(("image", "object"))
    names = ("preprocess", "answer") if image else ("prepare", "answer")
    condition = golden.conditions[0]
    return [Stage(str(model.resolve()), str(media), name, condition) for name in names]


def _requests() -> Iterator[HttpCase]:
    rows = np.zeros((1, 8, 8, 1), np.uint8)
    tensor = {"name": "image", "shape": list(rows.shape), "datatype": "UINT8"}
    infer = {"inputs": [{**tensor, "data": rows.reshape(-1).tolist()}]}
    small = cv2.imencode(".png", np.full((48, 64, 3), 250, np.uint8))[1].tobytes()
    yield HttpCase("http: live", "GET", "/v2/health/live")
    yield HttpCase(
        "http: infer, JSON", "POST", "/v2/models/face_emotion_xception/infer",
        json.dumps(infer).encode(), "application/json",
    )  # fmt: skip
    yield HttpCase("http: face emotion", "POST", "/v1/face-emotion", small, "image/png")
    body, kind = _form("image", small)
    yield HttpCase("http: cut-out of a form", "POST", "/v1/background", body, kind)


def _form(field: str, data: bytes) -> tuple[bytes, str]:
    head = f'--cut\r\nContent-Disposition: form-data; name="{field}"; filename="a.png"\r\n\r\n'
    return head.encode() + data + b"\r\n--cut--\r\n", "multipart/form-data; boundary=cut"


def names_of(workload: Workload) -> Sequence[str]:
    """Return the names of all cases that are timed in processes that last."""
    stages, requests = workload.stages, workload.requests
    return [*(stage.name for stage in stages), *(request.name for request in requests)]
