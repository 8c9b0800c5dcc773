"""Suffixes by which media files are picked out of a folder.

The command line and the conversion share this table, so that both read the same files of a folder.
A file that is named is read whatever its suffix: decoders go by the content.
"""

from collections.abc import Mapping

from runtime.artifact.spec import Task

# lower case, with the dot
IMAGES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".gif", ".avif"}
)
SOUNDS = frozenset(
    {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".m4a", ".mka", ".weba", ".webm"}
)
CLIPS = frozenset({".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi"})
TEXTS = frozenset({".txt"})
SUFFIXES: Mapping[Task, frozenset[str]] = {
    "image-classification": IMAGES,
    "image-feature-extraction": IMAGES,
    "image-segmentation": IMAGES,
    "object-detection": IMAGES,
    "audio-classification": SOUNDS,
    "video-classification": CLIPS,
    "sentence-similarity": TEXTS,
}
