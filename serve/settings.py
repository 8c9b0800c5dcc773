"""Read the settings of the server from environment variables, once at start-up."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from runtime.artifact.manifest import MODEL_ID
from runtime.errors import InputError, SlipwayError
from runtime.predict.prepare import LONGEST_RUN_S
from runtime.tasks import defaults
from runtime.tasks.background import SIDES_PX
from runtime.tasks.soft_voting import Weights, parse_weights
from serve.text.integers import parse_integer

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # a token of RFC 9110


class SettingsError(SlipwayError):
    """A setting is ill-formed; the message names it, its value and what is allowed."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings, with their defaults. serve/API.md lists the variables."""

    artifacts: Path = Path("artifacts")
    host: str = "127.0.0.1"
    port: int = 8000  # 0: the system picks a free one
    max_upload_bytes: int = 10 * 1024 * 1024  # of one request body; base64 JSON may be 17/12 of it
    cors_origins: tuple[str, ...] = ()  # web pages of these origins may read the answers
    # further headers that those pages may send, besides Content-Type and that of the v2 protocol
    cors_headers: tuple[str, ...] = ("Authorization", "X-Requested-With", "Cache-Control")
    allow_seeded: bool = False  # serve untrained weights
    background_max_side_px: int = 1024  # longer side of the image that edges are fitted in
    background_side_limit_px: int = 4096  # the most that a request may ask for
    threads: int = 1  # of onnxruntime within one run; one run per CPU goes in parallel
    max_pixels: int = 16_000_000  # of one decoded image: 48 MB as RGB, and some copies
    max_audio_s: int = 300  # of one recording in windows; one run takes LONGEST_RUN_S
    max_video_s: int = 60  # of one clip, with at most 60 frames per second
    chunk_size: int = 1  # frames of a clip in memory at full size; more are no faster
    decode_timeout_s: int = 20  # of wall-clock time, for one clip or sound
    timeout_s: int = 30  # for a client to send the head, and the body, of a request
    max_files: int = 16  # of one request, each answered by itself
    queue: int = 64  # requests that may wait for a worker; one more gets 429
    face_emotion_weights: Weights = defaults.FACE_EMOTION_WEIGHTS
    face_emotion_model: str = defaults.FACE_EMOTION_MODEL  # if none of those is served
    face_detector_model: str = defaults.FACE_DETECTOR_MODEL
    similarity_model: str = defaults.SIMILARITY_MODEL
    background_model: str = defaults.BACKGROUND_MODEL
    voice_emotion_model: str = defaults.VOICE_EMOTION_MODEL
    gait_model: str = defaults.GAIT_MODEL

    @property
    def longest_run_s(self) -> float:
        """Return the longest sound of one run, in seconds."""
        return min(self.max_audio_s, LONGEST_RUN_S)


def from_environment(environ: Mapping[str, str]) -> Settings:
    """Return the settings; a variable that is unset or empty keeps its default.

    Raises:
        SettingsError: a value is ill-formed or out of range.
    """
    default = Settings()
    return Settings(
        artifacts=Path(environ.get("SLIPWAY_ARTIFACTS") or default.artifacts),
        host=environ.get("SLIPWAY_HOST") or default.host,
        port=_integer(environ, "PORT", default.port, 0, 65535),
        max_upload_bytes=_integer(environ, "MAX_UPLOAD_SIZE", default.max_upload_bytes, 1, 2**31),
        cors_origins=_origins(environ, "CORS_ORIGINS"),
        cors_headers=_header_names(environ, "CORS_HEADERS", default.cors_headers),
        allow_seeded=_flag(environ, "SLIPWAY_ALLOW_SEEDED"),
        background_max_side_px=_integer(
            environ, "SLIPWAY_BACKGROUND_MAX_SIDE", default.background_max_side_px, *SIDES_PX
        ),
        background_side_limit_px=_integer(
            environ, "SLIPWAY_BACKGROUND_SIDE_LIMIT", default.background_side_limit_px, *SIDES_PX
        ),
        threads=_integer(environ, "SLIPWAY_THREADS", default.threads, 1, 256),
        max_pixels=_integer(environ, "SLIPWAY_MAX_PIXELS", default.max_pixels, 1, 2**30),
        max_audio_s=_integer(environ, "SLIPWAY_MAX_AUDIO_SECONDS", default.max_audio_s, 1, 3600),
        max_video_s=_integer(environ, "SLIPWAY_MAX_VIDEO_SECONDS", default.max_video_s, 1, 3600),
        chunk_size=_integer(environ, "CHUNK_SIZE", default.chunk_size, 1, 65536),
        decode_timeout_s=_integer(
            environ, "SLIPWAY_DECODE_TIMEOUT", default.decode_timeout_s, 1, 3600
        ),
        timeout_s=_integer(environ, "TIMEOUT", default.timeout_s, 1, 3600),
        max_files=_integer(environ, "SLIPWAY_MAX_FILES", default.max_files, 1, 48),
        queue=_integer(environ, "SLIPWAY_QUEUE", default.queue, 0, 65536),
        face_emotion_weights=_weights(environ, default.face_emotion_weights),
        face_emotion_model=_model(
            environ, "SLIPWAY_FACE_EMOTION_MODEL", default.face_emotion_model
        ),
        face_detector_model=_model(
            environ, "SLIPWAY_FACE_DETECTOR_MODEL", default.face_detector_model
        ),
        similarity_model=_model(environ, "SLIPWAY_SIMILARITY_MODEL", default.similarity_model),
        background_model=_model(environ, "SLIPWAY_BACKGROUND_MODEL", default.background_model),
        voice_emotion_model=_model(
            environ, "SLIPWAY_VOICE_EMOTION_MODEL", default.voice_emotion_model
        ),
        gait_model=_model(environ, "SLIPWAY_GAIT_MODEL", default.gait_model),
    )


def _integer(
    environ: Mapping[str, str], name: str, default: int, minimum: int, maximum: int
) -> int:
    text = environ.get(name)
    if not text:
        return default
    value = parse_integer(text, minimum, maximum)
    if value is None:
        raise SettingsError(f"{name} is {text!r}; allowed: an integer, {minimum} to {maximum}")
    return value


def _flag(environ: Mapping[str, str], name: str) -> bool:
    text = environ.get(name) or "0"
    if text not in ("0", "1"):
        raise SettingsError(f"{name} is {text!r}; allowed: 0 or 1")
    return text == "1"


def _origins(environ: Mapping[str, str], name: str) -> tuple[str, ...]:
    origins = [part.strip() for part in (environ.get(name) or "").split(",") if part.strip()]
    for origin in origins:
        parts = urlsplit(origin)
        well_formed = (
            parts.scheme in ("http", "https") and origin == f"{parts.scheme}://{parts.netloc}"
        )
        if origin != "*" and not (well_formed and parts.netloc):
            raise SettingsError(
                f"{name} holds {origin!r}; allowed: * or scheme://host[:port], separated by commas"
            )
    return tuple(origins)


def _header_names(
    environ: Mapping[str, str], name: str, default: tuple[str, ...]
) -> tuple[str, ...]:
    text = environ.get(name)
    if not text:
        return default
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    for header in names:
        if not _HEADER_NAME.fullmatch(header):
            allowed = "names of headers, or *, separated by commas"
            raise SettingsError(f"{name} holds {header!r}; allowed: {allowed}")
    return names


def _weights(environ: Mapping[str, str], default: Weights) -> Weights:
    """Return the weights of the voting models; none if only the fallback model is set."""
    name = "SLIPWAY_FACE_EMOTION_WEIGHTS"
    text = environ.get(name)
    if not text:
        return () if environ.get("SLIPWAY_FACE_EMOTION_MODEL") else default
    try:
        return parse_weights(text)
    except InputError as error:
        raise SettingsError(f"{name}: {error}") from None


def _model(environ: Mapping[str, str], name: str, default: str) -> str:
    text = environ.get(name) or default
    if not MODEL_ID.fullmatch(text):
        raise SettingsError(f"{name} is {text!r}; allowed: a model id, {MODEL_ID.pattern}")
    return text
