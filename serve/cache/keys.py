"""The keys of answers and of runs: digests of what they depend on.

A key holds no text of a client. Whoever knows a key cannot read a file or an option from it.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence

import onnxruntime

import serve
from runtime import Model
from runtime.engine.session import Feeds
from serve.settings import Settings
from serve.settings.table import TABLE

FORM = b"slipway-cache-1"  # of keys and entries; another one shares nothing with it
_OF_THE_PROCESS = "Where and what"  # the settings of this group change no answer


def identity_of(model: Model) -> str:
    """Return what identifies the computation of a model: artifact, variant and provider."""
    return f"{model.manifest.digest}/{model.variant.name}/{model.session.provider}"


def settings_digest(settings: Settings) -> bytes:
    """Return a digest of the settings that may change an answer, and of the code that answers."""
    values = [
        f"{name}={getattr(settings, name)!r}"
        for name, setting in TABLE.items()
        if setting.group != _OF_THE_PROCESS and not name.startswith("cache")
    ]
    code = (serve.__version__, onnxruntime.__version__)
    return _digest(text.encode() for text in (*code, *values)).digest()


def answer_key(
    path: str,
    models: Mapping[str, str],
    settings: bytes,
    options: Mapping[str, str],
    files: Sequence[bytes],
) -> str:
    """Return the key of an answer.

    Args:
        path: of the route.
        models: the identity of each model that may take part, or why it cannot, by id.
        settings: their digest.
        options: by name, as the client wrote them.
        files: encoded.
    """
    texts = [path, *_pairs(models), str(len(options)), *_pairs(options)]
    parts = (FORM, settings, *(text.encode() for text in texts))
    digest = _digest(parts)
    _add(digest, files)
    return digest.hexdigest()


def run_key(identity: str, feeds: Feeds, output_names: Sequence[str]) -> bytes:
    """Return the key of the outputs of a run: that of the decoded and preprocessed input."""
    digest = _digest(text.encode() for text in (identity, *output_names))
    for name in sorted(feeds):
        array = feeds[name]
        head = f"{name} {array.dtype.str} {array.shape}"
        _add(
            digest, (head.encode(), array.tobytes() if not array.flags.c_contiguous else array.data)
        )
    return digest.digest()


def _pairs(values: Mapping[str, str]) -> list[str]:
    return [text for name in sorted(values) for text in (name, values[name])]


def _digest(parts: Iterable[bytes]) -> "hashlib._Hash":
    digest = hashlib.sha256()
    _add(digest, parts)
    return digest


def _add(digest: "hashlib._Hash", parts: Iterable[bytes | memoryview]) -> None:
    """Add parts, each after its length, so that no two lists of parts look alike."""
    for part in parts:
        view = memoryview(part)
        digest.update(b"%d:" % view.nbytes)
        digest.update(view)
