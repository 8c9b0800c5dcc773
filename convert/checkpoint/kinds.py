"""The kind of a checkpoint file, by its content; and names for files that are no checkpoint."""

import re
import zipfile
from pathlib import Path

from convert.errors import CheckpointError

HEAD_BYTES = 1024
MAX_TITLE = 60  # characters of a web page's title in a message
# a longer header is damage: that of a model with 10,000 tensors has 1 MB
MAX_SAFETENSORS_HEADER_BYTES = 100_000_000
SHOWN_NAMES = 4
DESCRIPTIONS = {
    "torch": "a torch file",
    "safetensors": "a safetensors file",
    "torchscript": "a TorchScript archive",
    "torch export": "a torch.export archive",
    "hdf5": "an HDF5 file (Keras .h5)",
    "keras": "a Keras .keras file",
    "onnx": "an ONNX file",
    "tflite": "a TensorFlow Lite model",
}
READABLE = {  # kinds that a model can be read from, as the user knows them
    "torch": "a torch state_dict (.pt, .pth)",
    "safetensors": ".safetensors",
    "hdf5": ".h5",
    "keras": ".keras",
    "onnx": ".onnx",
    "tflite": ".tflite",
}
ADVICE = {
    "tflite": "; give the model that it was converted from",
    "torchscript": "; load it with the code that made it and save its state_dict() instead",
    "torch export": "; load it with the code that made it and save its state_dict() instead",
}
# first bytes of files that users mistake for weights
NOT_WEIGHTS = (
    (b"version https://git-lfs", "a git-lfs pointer, not the weights; run `git lfs pull`"),
    (b"\x1f\x8b", "compressed with gzip; unpack it first"),
    (b"BZh", "compressed with bzip2; unpack it first"),
    (b"\xfd7zXZ", "compressed with xz; unpack it first"),
    (b"7z\xbc\xaf", "a 7z archive; unpack it first"),
    (b"Rar!", "a RAR archive; unpack it first"),
    (b"\x93NUMPY", "a numpy array; needed: a model's weights by name"),
)


def detect_kind(path: Path) -> str:
    """Return the kind of a checkpoint file, a key of DESCRIPTIONS, by content and not by name.

    Raises:
        CheckpointError: the file is missing, a directory, empty, cut, a git-lfs pointer, a web
            page, an archive, or of no known kind.
    """
    head = _read_head(path)
    # before all others: it begins with a length, whose lowest byte may be anything
    if _begins_as_safetensors(head):
        return "safetensors"
    _check_is_checkpoint(path, head)
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return "hdf5"
    if head.startswith(b"PK\x03\x04"):
        return _zip_kind(path)
    if head.startswith(b"\x80"):
        return "torch"
    if head[4:8] == b"TFL3":
        return "tflite"
    # an ONNX file is a bare protobuf: it begins with field 1 (ir_version) as a varint
    if head[0] == 0x08:
        return "onnx"
    raise CheckpointError(
        f"{path}: begins with {head[:8]!r}; known kinds: torch (.pt, .pth), safetensors, "
        "Keras (.h5, .keras), ONNX"
    )


def require_kind(path: Path, *kinds: str) -> str:
    """Return the kind of a file, which must be one of `kinds`.

    Raises:
        CheckpointError: as `detect_kind`; or the file is of another kind, which the message names.
    """
    kind = detect_kind(path)
    if kind not in kinds:
        readable = " or ".join(READABLE[name] for name in kinds)
        raise CheckpointError(
            f"{path}: {DESCRIPTIONS[kind]}; this model is read from {readable}"
            f"{ADVICE.get(kind, '')}"
        )
    return kind


def _read_head(path: Path) -> bytes:
    if path.is_dir():
        raise CheckpointError(f"{path}: a directory; {_directory_advice(path)}")
    try:
        with path.open("rb") as stream:
            head = stream.read(HEAD_BYTES)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
    if not head:
        raise CheckpointError(f"{path}: the file is empty")
    return head


def _directory_advice(directory: Path) -> str:
    names = sorted(path.name for path in directory.iterdir())
    if "saved_model.pb" in names:
        return "a TensorFlow SavedModel, which is code; save the model as .keras"
    if "data.pkl" in names:
        return "an unpacked torch file; pass the .pt or .pth file that it was unpacked from"
    endings = (".pt", ".pth", ".ckpt", ".bin", ".safetensors", ".h5", ".hdf5", ".keras", ".onnx")
    inside = [name for name in names if name.endswith(endings)][:SHOWN_NAMES]
    return f"pass the file inside it{': ' if inside else ''}{', '.join(inside)}"


def _begins_as_safetensors(head: bytes) -> bool:
    return head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= MAX_SAFETENSORS_HEADER_BYTES


def _check_is_checkpoint(path: Path, head: bytes) -> None:
    for magic, description in NOT_WEIGHTS:
        if head.startswith(magic):
            raise CheckpointError(f"{path}: {description}")
    text = head.decode("utf-8", errors="replace").lstrip("\ufeff \t\r\n")
    if re.match(r"<(!doctype|html|head|\?xml|error)\b", text, re.IGNORECASE):
        raise CheckpointError(
            f"{path}: a web page saved under the name of a checkpoint{_title(text)}; "
            "download the file itself"
        )
    if text.startswith(("{", "[")):
        raise CheckpointError(f"{path}: JSON text; needed: the weights")


def _title(page: str) -> str:
    """Return the title of a web page in brackets, to tell a login page from an error; or ""."""
    match = re.search(r"<(title|message)>([^<]*)", page, re.IGNORECASE)
    title = " ".join(match[2].split()) if match else ""
    printable = "".join(character for character in title if character.isprintable())
    return f" ({printable[:MAX_TITLE]})" if printable else ""


def _zip_kind(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    # the directory of a damaged archive may name features that zipfile does not have
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError) as error:
        raise CheckpointError(f"{path}: damaged or truncated ({error})") from error
    if "config.json" in names and "model.weights.h5" in names:
        return "keras"
    endings = {name.partition("/")[2] for name in names}
    if "constants.pkl" in endings or "model.json" in endings:
        return "torchscript"
    if "archive_format" in endings or "models/model.json" in endings:
        return "torch export"
    if any(name.endswith("data.pkl") for name in names):
        return "torch"
    inside = ", ".join(sorted(names)[:SHOWN_NAMES]) or "nothing"
    raise CheckpointError(f"{path}: a zip that holds neither a torch nor a Keras model ({inside})")
