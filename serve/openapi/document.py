"""Assemble the document from the routes of the application and their definitions."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from starlette.routing import BaseRoute, Route

import serve
from serve.keys.guard import API_KEY, is_open
from serve.openapi import errors, forms, headers
from serve.openapi.errors import ErrorJson
from serve.openapi.examples import read_examples
from serve.openapi.operation import ANYTHING, Answer, Key, Media, Operation, Parameter
from serve.openapi.operations.table import OPERATIONS
from serve.openapi.schema import Json, Schemas
from serve.settings import Settings

DESCRIPTION = """\
Tasks on images, voices, clips and texts, and the Open Inference Protocol.

A file is recognized by its content. A request sends it in a form, in JSON or as the whole body;
the options are fields of the form or of the JSON, or parameters of the query. An unknown path gets
404, another method 405 with `Allow`.

Deprecated names still work; the release after the next one drops them.\
"""
BINARY: Json = {"type": "string", "format": "binary"}
KEY, BEARER, HEADER = "administrator", "apiKey", "apiKeyHeader"  # the security schemes


def keys_of(routes: Iterable[BaseRoute]) -> list[Key]:
    """Return method and path of each operation of the routes; HEAD is part of GET."""
    return [
        (method, route.path)
        for route in routes
        if isinstance(route, Route)
        for method in sorted((route.methods or set()) - {"HEAD"})
    ]


def build_document(routes: Iterable[BaseRoute], settings: Settings) -> Json:
    """Return the OpenAPI document, without its servers; a route without a definition is left out.

    Args:
        routes: of the application.
        settings: whose limits the document tells.
    """
    schemas, examples = Schemas(), read_examples()
    paths: dict[str, Json] = {}
    for key in keys_of(routes):
        operation = OPERATIONS.get(key)
        if operation is not None:
            method, path = key
            content = _operation(key, operation, settings, schemas, examples.get(key, ()))
            paths.setdefault(path, {})[method.lower()] = content
    error = schemas.of(ErrorJson)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Slipway",
            "version": serve.__version__,
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "headers": {name: _header(*entry) for name, entry in headers.HEADERS.items()},
            "responses": {str(status): _error(status, error) for status in errors.ERRORS},
            "securitySchemes": {
                KEY: {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "the key of `SLIPWAY_ADMIN_KEY`",
                },
                BEARER: {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "an API key, where the server asks for one",
                },
                HEADER: {"type": "apiKey", "in": "header", "name": API_KEY},
            },
        },
    }


def _operation(
    key: Key,
    operation: Operation,
    settings: Settings,
    schemas: Schemas,
    examples: Sequence[Json],
) -> Json:
    path_is_old = {"deprecated": True} if operation.replaced_by else {}
    text = f"Use `{operation.replaced_by}`. " if operation.replaced_by else ""
    parameters = [*operation.parameters]
    if len(operation.forms) == 1:
        parameters += forms.query_parameters(operation.forms[0], settings)
    content: Json = {
        "operationId": _identifier(key),
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": f"{text}{operation.text}".strip() or operation.summary,
        **path_is_old,
        "parameters": [_parameter(parameter) for parameter in parameters],
        "responses": _responses(operation, schemas, examples, refusals=_refusals(key[1], settings)),
    }
    body = _body(operation, settings, schemas)
    if body:
        content["requestBody"] = body
    if operation.needs_key:
        content["security"] = [{KEY: []}]
    elif settings.api_keys_file and not is_open(key[1]):
        content["security"] = [{BEARER: []}, {HEADER: []}]
    return content


def _refusals(path: str, settings: Settings) -> set[int]:
    """Return the statuses of the requests that the routes do not get to see."""
    if is_open(path):
        return set()
    reasons = {401: settings.api_keys_file, 429: settings.rate_limit}
    return {status for status, reason in reasons.items() if reason}


def _identifier(key: Key) -> str:
    method, path = key
    words = re.findall(r"[A-Za-z0-9]+", path)
    slash = "_root" if path.endswith("/") else ""
    return "_".join([method.lower(), *words]) + slash


def _parameter(parameter: Parameter) -> Json:
    example = {} if parameter.example is None else {"example": parameter.example}
    mark = {"deprecated": True} if parameter.deprecated else {}
    return {
        "name": parameter.name,
        "in": parameter.place,
        "required": parameter.place == "path",
        "description": parameter.text,
        **mark,
        "schema": dict(parameter.schema),
        **example,
    }


def _body(operation: Operation, settings: Settings, schemas: Schemas) -> Json:
    """Return the body of a request; of a route with several forms any of them."""
    if operation.body:
        return {"content": {media.type: _media(media, schemas) for media in operation.body}}
    kinds: dict[str, list[Json]] = {}
    for form in operation.forms:
        for media_type, schema in forms.content(form, settings).items():
            kinds.setdefault(media_type, []).append(schema)
    if not kinds:
        return {}
    content = {
        media_type: {"schema": parts[0] if len(parts) == 1 else {"anyOf": parts}}
        for media_type, parts in kinds.items()
    }
    return {"required": True, "content": content}


def _responses(
    operation: Operation, schemas: Schemas, examples: Sequence[Json], *, refusals: Iterable[int]
) -> Json:
    answers = {
        str(status): _answer(answer, schemas, examples if status == 200 else ())
        for status, answer in operation.answers.items()
    }
    statuses = sorted({*errors.GENERAL, *operation.errors, *refusals})
    refused = {
        str(status): {"$ref": f"#/components/responses/{status}"}
        for status in statuses
        if str(status) not in answers
    }
    return dict(sorted({**answers, **refused}.items()))


def _answer(answer: Answer, schemas: Schemas, examples: Sequence[Json]) -> Json:
    content = {media.type: _media(media, schemas) for media in answer.media}
    if examples and "application/json" in content:
        content["application/json"]["examples"] = {
            str(number): example for number, example in enumerate(examples, 1)
        }
    names = (*headers.EVERY, *answer.headers)
    return {
        "description": answer.text,
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in names},
        **({"content": content} if content else {}),
    }


def _media(media: Media, schemas: Schemas) -> Json:
    if media.annotation is not None:
        return {"schema": schemas.of(media.annotation)}
    # JSON too, and files
    return {"schema": {} if media.type == ANYTHING else dict(BINARY)}


def _header(text: str, schema: Mapping[str, Any]) -> Json:
    return {"description": text, "schema": dict(schema)}


def _error(status: int, schema: Json) -> Json:
    names = (*headers.EVERY, *errors.HEADERS.get(status, ()))
    return {
        "description": errors.ERRORS[status],
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in names},
        "content": {"application/json": {"schema": dict(schema)}},
    }
