"""The static files of the page, read and compressed once."""

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

STATIC = Path(__file__).parent / "static"
INDEX = "index.html"
MEDIA_TYPES: Mapping[str, str] = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".jpg": "image/jpeg",
    ".mp3": "audio/mpeg",
    ".webm": "video/webm",
}
TEXTS = frozenset((".html", ".css", ".js", ".svg"))  # the others are compressed already


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file of the page."""

    content: bytes
    compressed: bytes | None  # by gzip; None for media
    media_type: str
    etag: str  # a weak validator: both encodings have the same one


def read_static_files(folder: Path = STATIC) -> dict[str, StaticFile]:
    """Return all files of a folder and its subfolders, by name.

    Raises:
        KeyError: the suffix of a file has no media type here.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.name: _read(path) for path in paths}


def _read(path: Path) -> StaticFile:
    content = path.read_bytes()
    # without a time of day, so that every process sends the same bytes
    compressed = gzip.compress(content, mtime=0) if path.suffix in TEXTS else None
    digest = hashlib.sha256(content).hexdigest()[:32]
    return StaticFile(content, compressed, MEDIA_TYPES[path.suffix], f'W/"{digest}"')
