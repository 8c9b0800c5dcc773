"""GET /openapi.json, and /docs, where a viewer shows it."""

import hashlib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from serve.errors import NotFoundError
from serve.openapi.document import build_document
from serve.openapi.schema import Json
from serve.protocol_v2.compression import accepted
from serve.settings import Settings
from serve.state import State
from serve.text.messages import repr_truncated

VIEWER = Path(__file__).parent / "viewer"
GZIP_WBITS = 31  # of zlib: the format gzip
ASSETS: Mapping[str, tuple[str, str]] = {  # by their path: the file and its type
    "redoc.standalone.js": ("redoc.standalone.js.gz", "text/javascript"),
    "LICENSE.txt": ("LICENSE.txt", "text/plain"),
    "redoc.standalone.js.LICENSE.txt": ("redoc.standalone.js.LICENSE.txt", "text/plain"),
}
PAGE = b"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>Slipway: HTTP API</title>
</head>
<body>
<noscript>This page needs JavaScript; <a href="openapi.json">the document</a> does not.</noscript>
<redoc spec-url="openapi.json"></redoc>
<script src="docs/redoc.standalone.js"></script>
</body>
</html>
"""
# the viewer writes its styles into the page, and searches in a worker made of a blob
PAGE_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; worker-src blob:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
}
CHECK_FIRST = "no-cache"  # a copy may be kept, and its ETag is asked for
FOR_A_DAY = "public, max-age=86400"


@dataclass(frozen=True, slots=True)
class Encoded:
    """A body, and the same compressed."""

    body: bytes
    gzip: bytes
    etag: str

    def response(self, request: Request[State]) -> Response:
        """Return the response; 304 if the client has this body."""
        headers = {"ETag": self.etag, "Cache-Control": CHECK_FIRST, "Vary": "Accept-Encoding"}
        if self.etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if accepted(request.headers.get("accept-encoding")) == "gzip":
            headers["Content-Encoding"] = "gzip"
            return Response(self.gzip, 200, headers, "application/json")
        return Response(self.body, 200, headers, "application/json")


class ApiDocument:
    """The document of an application, made when it is first asked for."""

    def __init__(self, settings: Settings) -> None:
        """Make nothing yet."""
        self._settings = settings
        self._content: Json | None = None
        self._encoded: dict[str, Encoded] = {}  # by the prefix of all paths, the last one

    async def respond(self, request: Request[State]) -> Response:
        """Answer GET /openapi.json."""
        prefix = request.scope.get("root_path", "")
        encoded = self._encoded.get(prefix)
        if encoded is None:
            encoded = await run_in_threadpool(self._encode, request.app.routes, prefix)
            self._encoded = {prefix: encoded}
        return encoded.response(request)

    def _encode(self, routes: list[BaseRoute], prefix: str) -> Encoded:
        if self._content is None:
            self._content = build_document(routes, self._settings)
        content = {**self._content, "servers": [{"url": prefix or "/"}]}
        body = orjson.dumps(content)
        compressor = zlib.compressobj(wbits=GZIP_WBITS)
        digest = hashlib.sha256(body).hexdigest()[:32]
        return Encoded(body, compressor.compress(body) + compressor.flush(), f'"{digest}"')


async def show_page(request: Request[State]) -> Response:
    """Answer GET /docs: the page with the viewer."""
    return Response(PAGE, headers=PAGE_HEADERS, media_type="text/html")


async def show_asset(request: Request[State]) -> Response:
    """Answer GET /docs/{asset}: the viewer, or its licence."""
    name = request.path_params["asset"]
    if name not in ASSETS:
        raise NotFoundError(f"no file {repr_truncated(name)}; known: {', '.join(ASSETS)}")
    file, media_type = ASSETS[name]
    data = await run_in_threadpool((VIEWER / file).read_bytes)
    headers = {"Cache-Control": FOR_A_DAY}
    if file.endswith(".gz"):
        headers["Vary"] = "Accept-Encoding"
        if accepted(request.headers.get("accept-encoding")) == "gzip":
            headers["Content-Encoding"] = "gzip"
        else:
            data = await run_in_threadpool(zlib.decompress, data, GZIP_WBITS)
    return Response(data, headers=headers, media_type=media_type)


def routes(settings: Settings) -> list[Route]:
    """Return the routes of the document and its viewer."""
    return [
        Route("/openapi.json", ApiDocument(settings).respond),
        Route("/docs", show_page),
        Route("/docs/{asset}", show_asset),
    ]
