"""GET / and the files of the page. Every address in them is relative, so that any prefix works."""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serve.errors import NotFoundError, json_response
from serve.page.files import INDEX, StaticFile, read_static_files
from serve.page.panels import facts
from serve.settings import Settings
from serve.state import State
from serve.text.messages import truncate

# Scripts, styles and requests are of this origin; pictures and clips may come from the user's disk.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' blob:",
        "media-src 'self' blob:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    )
)
SECURITY_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": POLICY,
    "Permissions-Policy": "camera=(self), microphone=(self), geolocation=()",
}
# names do not change with the content: a browser asks each time, and gets 304 without a body
CACHE = "no-cache"


def page_routes(settings: Settings) -> list[Route]:
    """Return the routes of the page; none if the settings switch it off."""
    if not settings.page:
        return []
    files = read_static_files()

    async def index(request: Request[State]) -> Response:
        return file_response(request.headers, files[INDEX])

    async def file(request: Request[State]) -> Response:
        name = request.path_params["file"]
        if name not in files:
            raise NotFoundError(f"the page has no file {truncate(name)}")
        return file_response(request.headers, files[name])

    return [
        Route("/", index),
        Route("/page/facts", page_facts),
        Route("/page/{file}", file),
    ]


async def page_facts(request: Request[State]) -> Response:
    """Answer GET /page/facts: which panels have a model, and the limits of a request."""
    content = facts(request.state["repository"], request.state["settings"])
    return json_response(content, headers={"Cache-Control": "no-store"})


def file_response(request_headers: Mapping[str, str], file: StaticFile) -> Response:
    """Return a file, compressed if the client takes gzip; 304 if it has the file already."""
    headers = {
        **SECURITY_HEADERS,
        "Cache-Control": CACHE,
        "ETag": file.etag,
        "Vary": "Accept-Encoding",
    }
    if has_current(request_headers.get("if-none-match", ""), file.etag):
        return Response(status_code=304, headers=headers)
    headers["Content-Type"] = file.media_type
    if file.compressed is not None and takes_gzip(request_headers.get("accept-encoding", "")):
        return Response(file.compressed, headers={**headers, "Content-Encoding": "gzip"})
    return Response(file.content, headers=headers)


def has_current(if_none_match: str, etag: str) -> bool:
    """Return whether If-None-Match names a tag."""
    tags = {tag.strip() for tag in if_none_match.split(",")}
    return etag in tags or "*" in tags


def takes_gzip(accept_encoding: str) -> bool:
    """Return whether Accept-Encoding names gzip with a weight above 0."""
    for entry in accept_encoding.lower().split(","):
        name, _, weight = entry.replace(" ", "").partition(";q=")
        if name == "gzip":
            return weight.strip("0.") != "" if weight else True
    return False
