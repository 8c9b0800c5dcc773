"""Write complete artifacts with the tiny graphs of tests/data."""

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime import load
from runtime.artifact.golden import golden_arrays
from runtime.artifact.manifest import (
    BATCH_MILLISECONDS,
    SCHEMA_VERSION,
    File,
    Manifest,
    Origin,
    Spec,
    Variant,
    Weights,
    parse_spec,
    read_manifest,
)
from runtime.artifact.schema import to_json
from runtime.artifact.spec import numpy_dtype
from runtime.engine.session import Session, SessionOptions

DATA = Path(__file__).parents[1] / "data"
CLASSIFIER, EMBEDDING, SEGMENTATION = "tiny_classifier", "tiny_embedding", "tiny_segmentation"
_STEEPNESS = struct.pack("<f", -8.0)  # of tiny_classifier
DETECTOR, TENSORS, SLOW = "tiny_detector", "tiny_tensors", "tiny_slow"
_TURNS_PER_LEVEL = 10_000.0  # of tiny_slow
TYPES = "tiny_types"  # an input and output of every dtype
FACES, EMOTION_BOXES = "tiny_faces", "tiny_emotion_boxes"
EMOTIONS, OTHER_EMOTIONS = "tiny_emotions", "tiny_other_emotions"
VOICE, GAIT, TEXT = "tiny_voice", "tiny_gait", "tiny_text"
SCALED = "tiny_scaled"  # the embedding with a scale from cosines to scores
OF_EACH_TASK = (CLASSIFIER, DETECTOR, EMBEDDING, SEGMENTATION, VOICE, GAIT, TEXT)
NOTES = "tiny_notes"  # a text model whose embeddings tiny_gait takes

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "slow", "##ly", "walk", "##ing", ".", "e")
CONDITIONS = {  # name: synonyms, and the first value of the embedding, which tiny_gait uses
    "Ischaemic stroke": (["stroke", "CVA"], 1.0),
    "Parkinson's disease": (["paralysis agitans"], -1.0),
}


def write_artifact(
    root: Path,
    graph: str,
    *,
    origin: Origin = "pretrained",
    calibration: str = "synthetic",
    version: int = 1,
    batch_invariant: bool = True,
    data: bytes | None = None,
    golden_below: int | None = None,
) -> Path:
    """Write root/<model>/<version> for tests/data/<graph>.onnx.

    Args:
        root: of the artifacts.
        graph: name of the file in tests/data.
        origin: of the weights.
        calibration: as the manifest has it.
        version: number.
        batch_invariant: as the manifest has it.
        data: another graph of the same model, in place of that of the file.
        golden_below: no value of the golden samples is as large; by default 200, but 4 for SLOW,
            which runs a second for bright images: each server runs a golden sample as it starts.

    Returns:
        The version directory; the manifest is written last.
    """
    source = DATA / f"{graph}.onnx"
    session = Session(source, SessionOptions(threads=1))
    spec = parse_spec(session.metadata["spec"], str(source))
    directory = root / spec.id / str(version)
    directory.mkdir(parents=True)
    (directory / "float.onnx").write_bytes(data or source.read_bytes())
    if data is not None:
        session = Session(directory / "float.onnx", SessionOptions(threads=1))
        spec = parse_spec(session.metadata["spec"], graph)
    below = golden_below or (4 if graph == SLOW else 200)
    _write_golden(directory / "golden.npz", session, spec, below)
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        id=spec.id,
        version=version,
        digest=file_entry(directory / "float.onnx").sha256,
        spec=spec,
        variants=(
            Variant(
                name="float",
                precision="float",
                files=(file_entry(directory / "float.onnx"),),
                cpu_features=(),
                verification={},
                batch_invariant=batch_invariant,
            ),
        ),
        golden=file_entry(directory / "golden.npz"),
        weights=Weights(origin=origin, source="made by hand", sha256="0" * 64),
        recipe_sha256="0" * 64,
        calibration=calibration,
        choice={},
        candidates=(),
        parity={},
        tools={},
        onnxruntime_minimum="1.20.0",
        assets=_write_assets(directory, spec),
    )
    (directory / "manifest.json").write_text(json.dumps(to_json(manifest)), encoding="utf-8")
    return directory


def write_every_task(root: Path) -> Path:
    """Write a tiny model of each task, and return the root."""
    for graph in OF_EACH_TASK:
        write_artifact(root, graph)
    return root


def steeper(steepness: float) -> bytes:
    """Return the tiny classifier whose classes are other steps apart: answers tell which one.

    Args:
        steepness: in place of 8; another value gives other probabilities.
    """
    data = (DATA / f"{CLASSIFIER}.onnx").read_bytes()
    assert data.count(_STEEPNESS) == 1
    return data.replace(_STEEPNESS, struct.pack("<f", -steepness))


def slower(times: float) -> bytes:
    """Return SLOW with runs that take so many times as long."""
    before, after = (struct.pack("<f", one * _TURNS_PER_LEVEL) for one in (1, times))
    data = (DATA / f"{SLOW}.onnx").read_bytes()
    assert data.count(before) == 1
    return data.replace(before, after)


def write_slow_start(root: Path) -> Path:
    """Write SLOW so that a server takes seconds of a CPU to load it, for its golden sample."""
    return write_artifact(root, SLOW, data=slower(4), golden_below=200)


def edit_manifest(directory: Path, changes: Mapping[str, Any]) -> None:
    """Overwrite top-level fields of a manifest."""
    path = directory / "manifest.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**content, **changes}), encoding="utf-8")


def record_batch_times(directory: Path, times_ms: Mapping[int, float]) -> None:
    """Record the milliseconds of a run by its rows, as a conversion measures them."""
    manifest = read_manifest(directory)
    times = {str(rows): milliseconds for rows, milliseconds in times_ms.items()}
    variants = [
        to_json(replace(v, verification={**v.verification, BATCH_MILLISECONDS: times}))
        for v in manifest.variants
    ]
    edit_manifest(directory, {"variants": variants})


def add_samples(directory: Path, *media: bytes, condition: str | None = None) -> None:
    """Replace the golden samples by encoded media and the model's outputs for them.

    Args:
        directory: of a version; its manifest then records a difference of zero.
        media: encoded files, at least one; their inputs must have equal shapes.
        condition: the name of the condition of every file.
    """
    model = load(directory)
    rows = [model.prepare(data, condition=condition).feeds for data in media]
    feeds = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
    outputs = model.run(feeds)
    rewrite_golden(directory, golden_arrays(media, [condition] * len(media), feeds, outputs))
    verification = {"golden": {name: {"mean_abs": 0.0, "max_abs": 0.0} for name in outputs}}
    variants = [to_json(replace(v, verification=verification)) for v in model.manifest.variants]
    edit_manifest(directory, {"variants": variants})


def rewrite_golden(
    directory: Path, arrays: Mapping[str, NDArray[Any]], *, pickle: bool = False
) -> None:
    """Replace golden.npz, and its hash in the manifest.

    Args:
        directory: of a version.
        arrays: by name in the file.
        pickle: allow arrays of Python objects, which no reader accepts.
    """
    path = directory / "golden.npz"
    np.savez(path, allow_pickle=pickle, **arrays)
    edit_manifest(directory, {"golden": to_json(file_entry(path))})


def _write_golden(path: Path, session: Session, spec: Spec, below: int) -> None:
    generator = np.random.default_rng(0)
    # samples of a sound, which may not be shorter; of the other axes without a size two are enough
    lengths = {"N": 2, "S": 1600}
    bounds = {"input_ids": len(WORDS), "attention_mask": 2}
    feeds = {
        tensor.name: generator.integers(
            1,
            bounds.get(tensor.name, min(below, 100) if tensor.dtype == "int8" else below),
            [lengths.get(axis, 2) if isinstance(axis, str) else axis for axis in tensor.shape],
        )
        .astype(str if tensor.dtype == "string" else tensor.dtype)
        .astype(numpy_dtype(tensor.dtype))
        for tensor in spec.inputs
    }
    np.savez(path, allow_pickle=False, **golden_arrays((), (), feeds, session.run(feeds)))


def _write_assets(directory: Path, spec: Spec) -> dict[str, File]:
    if spec.task == "sentence-similarity":
        (directory / "vocab.txt").write_text("".join(f"{word}\n" for word in WORDS), "utf-8")
        return {"vocabulary": file_entry(directory / "vocab.txt")}
    if spec.task == "video-classification":
        write_conditions(directory / "conditions.npz")
        return {"conditions": file_entry(directory / "conditions.npz")}
    return {}


def write_conditions(path: Path, *, width: int = 6) -> None:
    """Write CONDITIONS as conditions.npz; of an embedding only the first value is not 0."""
    embeddings = np.zeros((len(CONDITIONS), width), np.float32)
    embeddings[:, 0] = [value for _, value in CONDITIONS.values()]
    synonyms = [json.dumps(names) for names, _ in CONDITIONS.values()]
    np.savez(
        path,
        allow_pickle=False,
        names=np.array(list(CONDITIONS)),
        synonyms=np.array(synonyms),
        embeddings=embeddings,
    )


def file_entry(path: Path) -> File:
    data = path.read_bytes()
    return File(name=path.name, sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))
