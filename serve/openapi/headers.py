"""The headers of answers, by name."""

from collections.abc import Mapping
from typing import Any

_TEXT, _NUMBER = {"type": "string"}, {"type": "integer", "minimum": 0}

HEADERS: Mapping[str, tuple[str, Mapping[str, Any]]] = {  # what each says, and its schema
    "X-Request-Id": ("the id of the request, in the log too", _TEXT),
    "traceresponse": ("the trace and span of the request, if it had a `traceparent`", _TEXT),
    "X-Model": ("the model that answered, or `grabcut`", _TEXT),
    "X-Model-Version": ("its version", {"type": "string", "pattern": "^[0-9]+$"}),
    "X-Model-Digest": ("the digest of the artifact", _TEXT),
    "X-Model-Weights": (
        "the origin of the weights: pretrained; seeded: untrained, the answer means nothing; "
        "synthetic; none",
        _TEXT,
    ),
    "X-Warnings": ("the warnings of the answer, if it has any, joined by `; `", _TEXT),
    "Server-Timing": ("milliseconds of the stages: queue, decode, run, encode", _TEXT),
    "X-Cache": (
        "hit: a stored answer; miss: it was computed; bypass: the client wanted no stored answer",
        {"type": "string", "enum": ["hit", "miss", "bypass"]},
    ),
    "Age": ("seconds since a stored answer was computed", _NUMBER),
    "Retry-After": ("seconds after which to ask again", _NUMBER),
    "WWW-Authenticate": ("`Bearer`: how to send a key", _TEXT),
    "Allow": ("the methods of the route", _TEXT),
    "Location": ("the address of the job", _TEXT),
    "Preference-Applied": ("`respond-async`", _TEXT),
    "Cache-Control": ("`no-store`: the answer changes", _TEXT),
    "Inference-Header-Content-Length": ("bytes of JSON before the binary tensors", _NUMBER),
    "Content-Encoding": ("gzip or deflate, as `Accept-Encoding` named it", _TEXT),
    "ETag": ("changes with the content", _TEXT),
    "Vary": ("`Accept-Encoding`", _TEXT),
}
EVERY = ("X-Request-Id", "traceresponse")  # answer
PROVENANCE = (
    "X-Model",
    "X-Model-Version",
    "X-Model-Digest",
    "X-Model-Weights",
    "X-Warnings",
)
