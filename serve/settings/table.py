"""The table of settings: a field each, with its default, variable, kind and help."""

from dataclasses import dataclass, field, fields, replace
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Literal

from runtime.artifact.manifest import Task
from runtime.predict.prepare import LONGEST_RUN_S
from runtime.tasks import defaults
from runtime.tasks.background import SIDES_PX
from runtime.tasks.soft_voting import Weights
from runtime.transport.reference import Reference
from serve.settings import kinds
from serve.settings.kinds import Rate, Selection
from serve.settings.setting import KEY, Group, Setting, row

_PLACE: Group = "Where and what"
_LIMIT: Group = "Limits of a request"
_WORK: Group = "Work"
_MODELS: Group = "Models of the task routes"


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings, with their defaults."""

    artifacts: Path | Reference = field(
        default=Path("artifacts"),
        metadata=row(
            _PLACE,
            "SLIPWAY_ARTIFACTS",
            kinds.ARTIFACTS,
            "directory of the models, or where in a registry they are pulled from at the start",
        ),
    )
    pull_cache: Path = field(
        default=Path("artifacts-cache"),
        metadata=row(
            _PLACE,
            "SLIPWAY_PULL_CACHE",
            kinds.PATH,
            "directory for what is pulled; a later start takes it from there",
        ),
    )
    pull_cache_mib: int = field(
        default=16384,
        metadata=row(
            _PLACE,
            "SLIPWAY_PULL_CACHE_MIB",
            kinds.integer(1, 2**24),
            "MiB that it may take; what no server uses is removed, the longest unused first",
        ),
    )
    pull_timeout_s: int = field(
        default=1800,
        metadata=row(
            _PLACE,
            "SLIPWAY_PULL_TIMEOUT",
            kinds.integer(1, 86400),
            "seconds for all that is pulled; the next start goes on from what has arrived",
        ),
    )
    plain_http: bool = field(
        default=False,
        metadata=row(
            _PLACE,
            "SLIPWAY_PLAIN_HTTP",
            kinds.FLAG,
            "1: speak http to a registry of another machine; to one of this machine it is spoken "
            "anyway",
        ),
    )
    host: str = field(
        default="127.0.0.1",
        metadata=row(
            _PLACE,
            "SLIPWAY_HOST",
            kinds.ADDRESS,
            "address to listen on: `0.0.0.0` is all of IPv4, `::` all of IPv6 and IPv4",
        ),
    )
    port: int = field(
        default=8000,
        metadata=row(_PLACE, "PORT", kinds.integer(0, 65535), "port to listen on; 0: a free one"),
    )
    metrics_port: int = field(
        default=0,
        metadata=row(
            _PLACE,
            "SLIPWAY_METRICS_PORT",
            kinds.integer(0, 65535),
            "port of `/metrics` alone, which then is on no other; 0: `/metrics` is on `PORT`",
        ),
    )
    allow_seeded: bool = field(
        default=False,
        metadata=row(_PLACE, "SLIPWAY_ALLOW_SEEDED", kinds.FLAG, "1: serve untrained weights"),
    )
    trusted_keys: tuple[bytes, ...] = field(
        default=(),
        metadata=row(
            _PLACE,
            "SLIPWAY_TRUSTED_KEYS",
            kinds.PUBLIC_KEYS,
            "serve only versions that one of these keys signed (`python -m convert sign`); needs "
            "PyNaCl",
        ),
    )
    must_serve: Selection = field(
        default=Selection(every=True),
        metadata=row(
            _PLACE,
            "SLIPWAY_MUST_SERVE",
            kinds.MODELS,
            "models without which the server is not ready; `all` of the directory",
        ),
    )
    lazy: Selection = field(
        default=Selection(),
        metadata=row(
            _PLACE,
            "SLIPWAY_LAZY",
            kinds.MODELS,
            "models that the first request loads; the others load at the start",
        ),
    )
    grace_s: int = field(
        default=2,
        metadata=row(
            _PLACE,
            "SLIPWAY_GRACE",
            kinds.integer(0, 3600),
            "seconds after SIGTERM in which the server still accepts connections, each for one "
            "answer",
        ),
    )
    stop_timeout_s: int = field(
        default=25,
        metadata=row(
            _PLACE,
            "SLIPWAY_STOP_TIMEOUT",
            kinds.integer(1, 3600),
            "seconds after SIGTERM within which the server ends; what is not answered then gets "
            "503",
        ),
    )
    log: Literal["text", "json", "off"] = field(
        default="text",
        metadata=row(
            _PLACE,
            "SLIPWAY_LOG",
            kinds.LOG,
            "a line for each request; faults are logged always",
        ),
    )
    page: bool = field(
        default=True,
        metadata=row(_PLACE, "SLIPWAY_PAGE", kinds.FLAG, "0: no page at `/`"),
    )
    base_path: str = field(
        default="",
        metadata=row(
            _PLACE, "SLIPWAY_BASE_PATH", kinds.BASE_PATH, "path that all routes begin with"
        ),
    )
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = field(
        default=(),
        metadata=row(
            _PLACE,
            "SLIPWAY_TRUSTED_PROXIES",
            kinds.NETWORKS,
            "proxies whose `X-Forwarded-For`, `-Proto` and `-Prefix` are believed",
        ),
    )
    api_keys_file: Path | None = field(
        default=None,
        metadata=row(
            _PLACE,
            "SLIPWAY_API_KEYS_FILE",
            kinds.FILE,
            "hashes of the API keys, which `python -m serve key` writes: requests then need one; "
            "without it nobody needs one",
        ),
    )
    admin_key: str = field(
        default="",
        repr=False,
        metadata=row(
            _PLACE,
            "SLIPWAY_ADMIN_KEY",
            kinds.SECRET,
            "whoever sends it as `Authorization: Bearer KEY` may load and unload models and "
            "change their routes; without it nobody may. The setting may have `sha256:` and its "
            "hash in place of the key",
        ),
    )
    redis_url: str = field(
        default="",
        repr=False,
        metadata=row(
            _PLACE,
            "SLIPWAY_REDIS_URL",
            kinds.REDIS_URL,
            "a Redis in which instances share jobs and stored answers; without it each process "
            "has its own",
        ),
    )
    cors_origins: tuple[str, ...] = field(
        default=(),
        metadata=row(
            _PLACE, "CORS_ORIGINS", kinds.ORIGINS, "origins of web pages that may read answers"
        ),
    )
    cors_headers: tuple[str, ...] = field(
        default=("Authorization", "X-Requested-With", "Cache-Control"),
        metadata=row(
            _PLACE,
            "CORS_HEADERS",
            kinds.HEADER_NAMES,
            "headers that those pages may send besides `Content-Type`, `X-Request-Timeout`, "
            "`Prefer`, `Idempotency-Key`, `X-Route-Key`, `X-API-Key`, `traceparent` and "
            "`Inference-Header-Content-Length`",
        ),
    )
    rate_limit: Rate | None = field(
        default=None,
        metadata=row(
            _LIMIT,
            "SLIPWAY_RATE_LIMIT",
            kinds.RATE,
            "requests of one API key, or of one address where there are none; one more gets 429. "
            "As many as its number may come at once, unless a comma and another number follow; "
            "each of several workers counts its own",
        ),
    )
    max_upload_bytes: int = field(
        default=10 * 1024 * 1024,
        metadata=row(
            _LIMIT,
            "MAX_UPLOAD_SIZE",
            kinds.integer(1, 2**31),
            "bytes of a request body; base64 JSON may have 17/12 of it, with line breaks",
        ),
    )
    timeout_s: int = field(
        default=30,
        metadata=row(
            _LIMIT,
            "TIMEOUT",
            kinds.integer(1, 3600),
            "seconds for the head of a request to arrive, for its body, until it starts, and "
            "without progress of an answer",
        ),
    )
    keep_alive_s: int = field(
        default=75,
        metadata=row(
            _LIMIT,
            "SLIPWAY_KEEP_ALIVE",
            kinds.integer(1, 3600),
            "seconds that a connection stays open without a request",
        ),
    )
    max_files: int = field(
        default=16,
        metadata=row(
            _LIMIT,
            "SLIPWAY_MAX_FILES",
            kinds.integer(1, 48),
            "files of a request that are answered one by one",
        ),
    )
    queue_s: int = field(
        default=2,
        metadata=row(
            _LIMIT,
            "SLIPWAY_QUEUE_SECONDS",
            kinds.integer(0, 3600),
            "seconds until a request starts; one that would wait for longer gets 429",
        ),
    )
    queue: int = field(
        default=512,
        metadata=row(
            _LIMIT,
            "SLIPWAY_QUEUE",
            kinds.integer(0, 65536),
            "requests that may wait for one model, however short they are; one more gets 429",
        ),
    )
    max_pixels: int = field(  # 48 MB as RGB, and some copies
        default=16_000_000,
        metadata=row(
            _LIMIT,
            "SLIPWAY_MAX_PIXELS",
            kinds.integer(1, 2**30),
            "pixels of an image, read from its header before decoding",
        ),
    )
    max_audio_s: int = field(
        default=300,
        metadata=row(
            _LIMIT,
            "SLIPWAY_MAX_AUDIO_SECONDS",
            kinds.integer(1, 3600),
            "length of a recording; one run (`/v1/models`, `/v2`) takes 30",
        ),
    )
    max_video_s: int = field(
        default=60,
        metadata=row(
            _LIMIT,
            "SLIPWAY_MAX_VIDEO_SECONDS",
            kinds.integer(1, 3600),
            "length of a clip, with at most 60 frames per second",
        ),
    )
    decode_timeout_s: int = field(
        default=20,
        metadata=row(
            _LIMIT,
            "SLIPWAY_DECODE_TIMEOUT",
            kinds.integer(1, 3600),
            "seconds to decode a clip or sound; a sound has one more for every ten of its own",
        ),
    )
    jobs: int = field(
        default=256,
        metadata=row(
            _LIMIT,
            "SLIPWAY_JOBS",
            kinds.integer(0, 4096),
            "asynchronous requests at once, with those whose answers are kept; one client may have "
            "as many as are free; 0: none, and `Prefer` is ignored",
        ),
    )
    job_ttl_s: int = field(
        default=600,
        metadata=row(
            _LIMIT,
            "SLIPWAY_JOB_TTL",
            kinds.integer(1, 86400),
            "seconds for which the answer to an asynchronous request is kept",
        ),
    )
    job_timeout_s: int = field(
        default=600,
        metadata=row(
            _LIMIT,
            "SLIPWAY_JOB_TIMEOUT",
            kinds.integer(1, 86400),
            "seconds within which an asynchronous request ends, from its acceptance on",
        ),
    )
    job_media_s: int = field(
        default=600,
        metadata=row(
            _LIMIT,
            "SLIPWAY_JOB_MEDIA_SECONDS",
            kinds.integer(1, 3600),
            "length of a clip or recording in an asynchronous request, if that is more than the "
            "limits above",
        ),
    )
    background_side_limit_px: int = field(
        default=4096,
        metadata=row(
            _LIMIT,
            "SLIPWAY_BACKGROUND_SIDE_LIMIT",
            kinds.integer(*SIDES_PX),
            "the most that the option `max_side` may ask for",
        ),
    )
    background_max_side_px: int = field(
        default=1024,
        metadata=row(
            _WORK,
            "SLIPWAY_BACKGROUND_MAX_SIDE",
            kinds.integer(*SIDES_PX),
            "longer side in px of the reduced image that the edges of a cut-out are fitted in",
        ),
    )
    workers: int = field(
        default=1,
        metadata=row(
            _WORK,
            "WORKERS",
            kinds.integer(1, 64),
            "processes that serve, each with its own copy of the models and its share of CPUs and "
            "memory; more than 1 on Linux only",
        ),
    )
    threads: int = field(
        default=1,
        metadata=row(
            _WORK,
            "SLIPWAY_THREADS",
            kinds.integer(1, 256),
            "threads of one run",
        ),
    )
    runs: int = field(
        default=0,
        metadata=row(
            _WORK,
            "SLIPWAY_RUNS",
            kinds.integer(0, 256),
            "runs that go in parallel; 0: one per CPU of the container",
        ),
    )
    max_batch: int = field(
        default=8,
        metadata=row(
            _WORK,
            "SLIPWAY_MAX_BATCH",
            kinds.integer(0, 64),
            "rows of requests that wait for one model and run together, where the artifact says "
            "that rows get cheaper; 0 or 1: each request runs alone",
            alias="--batch-size",
        ),
    )
    batch_delay_ms: int = field(
        default=0,
        metadata=row(
            _WORK,
            "SLIPWAY_BATCH_DELAY",
            kinds.integer(0, 1000),
            "milliseconds that such a run waits for further requests; 0: it takes those that wait "
            "already",
        ),
    )
    memory_mib: int = field(
        default=0,
        metadata=row(
            _WORK,
            "SLIPWAY_MEMORY_MIB",
            kinds.integer(0, 2**24),
            "MiB that the server and its decoders may take; 0: what the container's cgroup allows",
        ),
    )
    idle_s: int = field(
        default=0,
        metadata=row(
            _WORK,
            "SLIPWAY_IDLE_SECONDS",
            kinds.integer(0, 2**24),
            "seconds after which a model that nobody asks for is unloaded; 0: never",
        ),
    )
    decoders: int = field(
        default=0,
        metadata=row(
            _WORK,
            "SLIPWAY_DECODERS",
            kinds.integer(0, 256),
            "processes that decode clips and sounds; 0: two more than CPUs, fewer if memory is "
            "limited",
        ),
    )
    cache: tuple[Task, ...] = field(
        default=("image-feature-extraction", "image-segmentation", "sentence-similarity"),
        metadata=row(
            _WORK,
            "SLIPWAY_CACHE",
            kinds.TASK_NAMES,
            "tasks whose answers are stored, and given again to an equal request",
        ),
    )
    cache_mib: int = field(
        default=64,
        metadata=row(
            _WORK,
            "SLIPWAY_CACHE_MIB",
            kinds.integer(0, 2**20),
            "MiB of stored answers in the process; they make room when memory is short",
        ),
    )
    cache_ttl_s: int = field(
        default=600,
        metadata=row(
            _WORK,
            "SLIPWAY_CACHE_TTL",
            kinds.integer(1, 604800),
            "seconds for which an answer is stored",
        ),
    )
    providers: tuple[str, ...] = field(
        default=("cpu",),
        metadata=row(
            _WORK,
            "SLIPWAY_PROVIDERS",
            kinds.PROVIDER_NAMES,
            "what runs the graphs, the first that can; one that is absent or does not start is "
            "skipped with a warning; `cpu` is the last resort always",
        ),
    )
    disable_gpu: bool = field(
        default=False,
        metadata=row(_WORK, "DISABLE_GPU", kinds.SWITCH, "1: skip `tensorrt` and `cuda`"),
    )
    chunk_size: int = field(
        default=1,
        metadata=row(
            _WORK,
            "CHUNK_SIZE",
            kinds.integer(1, 65536),
            "frames of a clip in memory at full size; more take memory and are no faster",
        ),
    )
    face_emotion_weights: Weights = field(
        default=defaults.FACE_EMOTION_WEIGHTS,
        metadata=row(
            _MODELS,
            "SLIPWAY_FACE_EMOTION_WEIGHTS",
            kinds.WEIGHTS,
            "models that vote on the emotion of a face; one that is not served has no vote",
        ),
    )
    face_emotion_model: str = field(
        default=defaults.FACE_EMOTION_MODEL,
        metadata=row(
            _MODELS,
            "SLIPWAY_FACE_EMOTION_MODEL",
            kinds.MODEL,
            "emotion model where none of those is served; used alone if only this is set",
        ),
    )
    face_detector_model: str = field(
        default=defaults.FACE_DETECTOR_MODEL,
        metadata=row(
            _MODELS,
            "SLIPWAY_FACE_DETECTOR_MODEL",
            kinds.MODEL,
            f"finds the faces; by default {defaults.FACE_DETECTOR_FALLBACK} where it is absent",
        ),
    )
    voice_emotion_model: str = field(
        default=defaults.VOICE_EMOTION_MODEL,
        metadata=row(
            _MODELS, "SLIPWAY_VOICE_EMOTION_MODEL", kinds.MODEL, "answers `/v1/voice-emotion`"
        ),
    )
    gait_model: str = field(
        default=defaults.GAIT_MODEL,
        metadata=row(_MODELS, "SLIPWAY_GAIT_MODEL", kinds.MODEL, "answers `/v1/gait`"),
    )
    similarity_model: str = field(
        default=defaults.SIMILARITY_MODEL,
        metadata=row(_MODELS, "SLIPWAY_SIMILARITY_MODEL", kinds.MODEL, "answers `/v1/similarity`"),
    )
    background_model: str = field(
        default=defaults.BACKGROUND_MODEL,
        metadata=row(_MODELS, "SLIPWAY_BACKGROUND_MODEL", kinds.MODEL, "answers `/v1/background`"),
    )

    @property
    def directory(self) -> Path:
        """Return the directory of the models.

        Raises:
            TypeError: they are in a registry and were not pulled yet.
        """
        if not isinstance(self.artifacts, Path):
            raise TypeError(f"{self.artifacts} is pulled before anything is read from it")
        return self.artifacts

    @property
    def longest_run_s(self) -> float:
        """Return the longest sound of one run, in seconds."""
        return min(self.max_audio_s, LONGEST_RUN_S)

    def for_worker(self, worker: int, *, cpus: int) -> "Settings":
        """Return the settings of one of the workers: its share of what the server may take.

        Args:
            worker: its number, from 0.
            cpus: of the server.
        """
        return replace(
            self,
            runs=self._share(self.runs or cpus, worker),
            decoders=self._share(self.decoders, worker),
            queue=self._share(self.queue, worker),
            jobs=self._share(self.jobs, worker),
            memory_mib=self._share(self.memory_mib, worker),
            cache_mib=self._share(self.cache_mib, worker),
        )

    def _share(self, total: int, worker: int) -> int:
        """Return a worker's part of a number; at least 1, but of 0 it is 0."""
        part, rest = divmod(total, self.workers)
        return max(part + (worker < rest), min(total, 1))

    def for_jobs(self) -> "Settings":
        """Return the settings with the limits of asynchronous requests."""
        return replace(
            self,
            max_audio_s=max(self.max_audio_s, self.job_media_s),
            max_video_s=max(self.max_video_s, self.job_media_s),
            decode_timeout_s=self.job_timeout_s,
        )


TABLE: dict[str, Setting] = {entry.name: entry.metadata[KEY] for entry in fields(Settings)}


def default_text(name: str) -> str:
    """Return the text that a field's default has in the environment; "none" for an empty one."""
    return TABLE[name].kind.format(getattr(Settings(), name)) or "none"
