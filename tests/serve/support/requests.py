"""Requests in every form that the server takes."""

import base64
from collections.abc import Mapping, Sequence

import httpx

FORMS = ("multipart", "json", "raw")
MULTI_FILE_FORMS = ("multipart", "json")  # a raw body is one file
Files = Mapping[str, bytes] | Sequence[tuple[str, bytes]]


def post(
    client: httpx.Client, path: str, form: str, files: Files, **options: str
) -> httpx.Response:
    """POST files and options.

    Args:
        client: of the server.
        path: of the route.
        form: "multipart"; "json", with files in base64 and the field `text` as it is; or "raw",
            one file as the body and the options in the query.
        files: by field name; pairs if a field repeats, which becomes a list in JSON.
        options: by name.
    """
    pairs = list(files.items()) if isinstance(files, Mapping) else list(files)
    if form == "multipart":
        parts = [(name, ("file", data)) for name, data in pairs]
        return client.post(path, files=parts, data=options)
    if form == "raw":
        ((_, data),) = pairs
        return client.post(path, content=data, params=options)
    values: dict[str, list[str]] = {}
    for name, data in pairs:
        text = data.decode() if name == "text" else base64.b64encode(data).decode()
        values.setdefault(name, []).append(text)
    content = {name: texts[0] if len(texts) == 1 else texts for name, texts in values.items()}
    return client.post(path, json={**content, **options})
