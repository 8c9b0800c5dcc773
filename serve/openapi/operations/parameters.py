"""Parameters that several operations have."""

from runtime.artifact.manifest import MODEL_ID
from serve.jobs.headers import IDEMPOTENCY_KEY, LONGEST_KEY, PREFER, RESPOND_ASYNC
from serve.openapi.operation import Parameter
from serve.routing.choice import HEADER as CHOICE
from serve.scheduling.deadlines import HEADER as TIMEOUT

MODEL = Parameter(
    name="model",
    place="path",
    text="the id of a model",
    schema={"type": "string", "pattern": f"^{MODEL_ID.pattern}$"},
    example="face_emotion_xception",
)
VERSION = Parameter(
    name="version",
    place="path",
    text="a version of the model, which must be the served one",
    schema={"type": "string", "pattern": "^[0-9]+$"},
    example="1",
)
JOB = Parameter(
    name="job",
    place="path",
    text="the id of a job",
    schema={"type": "string", "pattern": "^[A-Za-z0-9_-]+$"},
)
FILE = Parameter(name="file", place="path", text="the name of a file", schema={"type": "string"})
ASSET = Parameter(name="asset", place="path", text="the name of a file", schema={"type": "string"})
SAME_VERSION = Parameter(
    name=CHOICE,
    place="header",
    text="keeps its sender with one version, where a candidate answers a share of the requests",
    schema={"type": "string"},
)
STORED = Parameter(
    name="Cache-Control",
    place="header",
    text="`no-store`, `no-cache` or `max-age=N`: which stored answers to give",
    schema={"type": "string"},
)
WAIT = Parameter(
    name=TIMEOUT,
    place="header",
    text="seconds after the head within which the request must start",
    schema={"type": "number", "exclusiveMinimum": 0, "maximum": 999_999_999},
    example=2.5,
)
ASYNC = (
    Parameter(
        name=PREFER,
        place="header",
        text="`respond-async`: answer 202 at once, and run the request as a job",
        schema={"type": "string", "enum": [RESPOND_ASYNC]},
    ),
    Parameter(
        name=IDEMPOTENCY_KEY,
        place="header",
        text="a request that is sent again with its key gets the same job",
        schema={"type": "string", "pattern": "^[!-~]+$", "maxLength": LONGEST_KEY},
    ),
)
