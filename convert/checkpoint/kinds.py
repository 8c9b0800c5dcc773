"""What kind of file a checkpoint is, by content; and what it is, where it is none."""

import re
import zipfile
from pathlib import Path

from convert.errors import CheckpointError

HEAD_BYTES = 1024
LONGEST_TITLE = 60
# a longer header is damage: that of a model with 10,000 tensors has 1 MB
SAFETENSORS_HEADER_BYTES = 100_000_000
DESCRIPTIONS = {
    "torch": "a torch file",
    "safetensors": "a safetensors file",
    "torchscript": "a TorchScript archive",
    "torch export": "a torch.export archive",
    "hdf5": "an HDF5 file (Keras .h5)",
    "keras": "a Keras .keras file",
    "onnx": "an ONNX file",
}
WANTED = {
    "torch": "a torch state_dict (.pt, .pth)",
    "safetensors": ".safetensors",
    "hdf5": ".h5",
    "keras": ".keras",
    "onnx": ".onnx",
}
ADVICE = {
    "torchscript": "; load it where it was made and save its state_dict() instead",
    "torch export": "; load it where it was made and save its state_dict() instead",
}
# beginnings of files that are given for weights
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
    """What kind of checkpoint a file is: a key of DESCRIPTIONS; by content, not name.

    Raises:
        CheckpointError: missing, a directory, empty, cut, a git-lfs pointer, a web page, an
            archive, or of no kind known here.
    """
    head = _head(path)
    # before all others: it begins with a length, whose lowest byte may be anything
    if _begins_as_safetensors(head):
        return "safetensors"
    _refuse_what_is_no_checkpoint(path, head)
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return "hdf5"
    if head.startswith(b"PK\x03\x04"):
        return _zip_kind(path)
    if head.startswith(b"\x80"):
        return "torch"
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
        wanted = " or ".join(WANTED[each] for each in kinds)
        raise CheckpointError(
            f"{path}: {DESCRIPTIONS[kind]}; this model is read from {wanted}{ADVICE.get(kind, '')}"
        )
    return kind


def _head(path: Path) -> bytes:
    if path.is_dir():
        raise CheckpointError(f"{path}: a directory; {_advice_for(path)}")
    try:
        with path.open("rb") as stream:
            head = stream.read(HEAD_BYTES)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
    if not head:
        raise CheckpointError(f"{path}: the file is empty")
    return head


def _advice_for(directory: Path) -> str:
    names = sorted(path.name for path in directory.iterdir())
    if "saved_model.pb" in names:
        return "a TensorFlow SavedModel, which is code; save the model as .keras"
    if "data.pkl" in names:
        return "an unpacked torch file; give the .pt or .pth as it was before unpacking"
    endings = (".pt", ".pth", ".ckpt", ".bin", ".safetensors", ".h5", ".hdf5", ".keras", ".onnx")
    inside = [name for name in names if name.endswith(endings)][:4]
    return f"give the file inside it{': ' if inside else ''}{', '.join(inside)}"


def _begins_as_safetensors(head: bytes) -> bool:
    return head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= SAFETENSORS_HEADER_BYTES


def _refuse_what_is_no_checkpoint(path: Path, head: bytes) -> None:
    for magic, what in NOT_WEIGHTS:
        if head.startswith(magic):
            raise CheckpointError(f"{path}: {what}")
    if head[4:8] == b"TFL3":
        raise CheckpointError(f"{path}: a TensorFlow Lite model; needed: what it was made from")
    text = head.decode("utf-8", errors="replace").lstrip("\ufeff \t\r\n")
    if re.match(r"<(!doctype|html|head|\?xml|error)\b", text, re.IGNORECASE):
        raise CheckpointError(
            f"{path}: a web page saved under the name of a checkpoint{_title(text)}; "
            "download the file itself"
        )
    if text.startswith(("{", "[")):
        raise CheckpointError(f"{path}: JSON text; needed: the weights")


def _title(page: str) -> str:
    found = re.search(r"<(title|message)>([^<]*)", page, re.IGNORECASE)
    title = " ".join(found[2].split()) if found else ""
    readable = "".join(character for character in title if character.isprintable())
    return f" ({readable[:LONGEST_TITLE]})" if readable else ""


def _zip_kind(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    # a damaged directory of the archive may name features that zipfile does not have
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
    inside = ", ".join(sorted(names)[:4]) or "nothing"
    raise CheckpointError(f"{path}: a zip that holds neither a torch nor a Keras model ({inside})")
