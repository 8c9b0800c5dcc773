"""The servers that are compared: how each is started, asked and set."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from benchmarks.peers.process import PORT

FOLDER = Path(__file__).parent
ADAPTERS = FOLDER / "adapters"
REQUIREMENTS = FOLDER / "requirements"
OWN = "Slipway"
MOBILENET, U2NETP = "image_embedding_mobilenetv2", "background_u2netp"
REMBG = "from rembg.cli import main; main()"  # as its script does
PYTHON, ARTIFACTS = "{python}", "{artifacts}"  # in a command: replaced when it is started

Body = Literal["upload", "base64"]  # multipart/form-data, or JSON of the Open Inference Protocol
Answer = Literal["embedding", "list", "tensor", "slipway", "cut-out"]


@dataclass(frozen=True, slots=True)
class Peer:
    """One server with one model."""

    name: str  # as the report shows it
    model: str
    environment: str  # folder of its environment, and name of its requirements; "": this one
    package: str  # whose version is shown
    command: tuple[str, ...]
    path: str
    body: Body
    file_field: str  # of the multipart form, or the name of the tensor
    answer: Answer
    settings: Mapping[str, str]  # that differ from its defaults, with the reason
    variables: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)  # of the form, beside the file
    is_limit: bool = False  # no server to use: what HTTP itself costs


def peers(workers: int) -> tuple[Peer, ...]:
    """Return every server, in the order of the turns.

    Args:
        workers: processes of each peer: as many as there are CPUs, as each of their guides says.
    """
    counts = sorted({1, workers})
    return (
        *(_slipway(MOBILENET, count) for count in counts),
        _bare_http(workers),
        _adapter("FastAPI by hand", "fastapi", workers, "uvicorn workers"),
        _adapter("LitServe", "litserve", workers, "workers_per_device"),
        _adapter("BentoML", "bentoml", workers, "workers", answer="list"),
        _adapter(
            "MLServer", "mlserver", workers, "parallel_workers", answer="tensor",
            body="base64", path="/v2/models/mobilenet/infer",
        ),
        _adapter(
            "Ray Serve", "ray", workers, "num_replicas",
            variables={"RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"},
            more={"max_ongoing_requests": "16"},
        ),
        *(_slipway(U2NETP, count) for count in counts),
        Peer(
            name="rembg",
            model=U2NETP,
            environment="rembg",
            package="rembg",
            command=(
                *(PYTHON, "-c", REMBG, "s", "--host", "127.0.0.1", "--port", PORT),
                *("--no-ui", "--threads", str(workers)),
            ),
            path="/api/remove",
            body="upload",
            file_field="file",
            answer="cut-out",
            fields={"model": "u2netp"},
            settings={"--threads": str(workers), "processes": "1 (no option for more)"},
            variables={"BROWSER": "true"},  # it opens one when it starts
        ),
    )  # fmt: skip


def _adapter(
    name: str,
    environment: str,
    workers: int,
    setting: str,
    *,
    answer: Answer = "embedding",
    body: Body = "upload",
    path: str = "/predict",
    variables: Mapping[str, str] | None = None,
    more: Mapping[str, str] | None = None,
) -> Peer:
    """Return a server of MobileNetV2; `more` are further settings that its adapter makes."""
    module = f"benchmarks.peers.adapters.{environment}_app"
    return Peer(
        name=name,
        model=MOBILENET,
        environment=environment,
        package=environment,
        command=(PYTHON, "-m", module, PORT, str(workers)),
        path=path,
        body=body,
        file_field="image",
        answer=answer,
        settings={
            setting: str(workers),
            "onnxruntime threads": "1",
            "batches": "off (default)",
            **(variables or {}),
            **(more or {}),
        },
        variables=variables or {},
    )


def _bare_http(threads: int) -> Peer:
    """Return the smallest server of MobileNetV2, in this environment."""
    settings = {"threads": str(threads), "onnxruntime threads": "1", "checks": "none"}
    return Peer(
        name=f"Bare HTTP, {threads} thread{'s' * (threads > 1)}",
        model=MOBILENET,
        environment="",
        package="httptools",
        command=(PYTHON, "-m", "benchmarks.peers.adapters.bare_http_app", PORT, str(threads)),
        path="/",
        body="upload",
        file_field="image",
        answer="embedding",
        settings=settings,
        is_limit=True,
    )


def _slipway(model: str, workers: int) -> Peer:
    cuts_out = model == U2NETP
    return Peer(
        name=f"{OWN}, {workers} worker{'s' if workers > 1 else ''}",
        model=model,
        environment="",
        package=OWN,
        command=(
            *(PYTHON, "-m", "serve", "--artifacts", ARTIFACTS),
            *("--host", "127.0.0.1", "--port", PORT),
        ),
        path="/v1/background" if cuts_out else f"/v1/models/{model}",
        body="upload",
        file_field="image",
        answer="cut-out" if cuts_out else "slipway",
        settings={"WORKERS": str(workers), "SLIPWAY_CACHE": "none"},
        variables={
            "WORKERS": str(workers),
            "SLIPWAY_CACHE": "none",
            "SLIPWAY_ALLOW_SEEDED": "1",
            "SLIPWAY_QUEUE_SECONDS": "60",  # no request of a load may be refused
        },
    )
