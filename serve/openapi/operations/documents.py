"""The operations that answer this document, and the page that shows it."""

from collections.abc import Mapping
from typing import Any

from serve.openapi.operation import ANYTHING, Answer, Key, Media, Operation
from serve.openapi.operations.parameters import ASSET, FILE

_FILE_HEADERS = ("ETag", "Cache-Control", "Content-Encoding", "Vary")
_SAME = Answer(text="It is the one that `If-None-Match` names.", headers=("ETag",))

OPERATIONS: Mapping[Key, Operation] = {
    ("GET", "/"): Operation(
        tag="Documents",
        summary="Show the page on which the tasks are tried.",
        answers={
            200: Answer(text="A page.", media=(Media("text/html"),), headers=_FILE_HEADERS),
            304: _SAME,
        },
    ),
    ("GET", "/page/facts"): Operation(
        tag="Documents",
        summary="Tell the page which of its panels have a model.",
        answers={
            200: Answer(
                text="For the page; it may change.",
                media=(Media(annotation=dict[str, Any]),),
                headers=("Cache-Control",),
            )
        },
    ),
    ("GET", "/page/{file}"): Operation(
        tag="Documents",
        summary="Return a file of the page.",
        parameters=(FILE,),
        answers={
            200: Answer(text="The file.", media=(Media(ANYTHING),), headers=_FILE_HEADERS),
            304: _SAME,
        },
        errors=(404,),
    ),
    ("GET", "/openapi.json"): Operation(
        tag="Documents",
        summary="Return this document.",
        answers={
            200: Answer(
                text="OpenAPI 3.1.",
                media=(Media(annotation=dict[str, Any]),),
                headers=_FILE_HEADERS,
            ),
            304: _SAME,
        },
    ),
    ("GET", "/docs"): Operation(
        tag="Documents",
        summary="Show this document.",
        answers={200: Answer(text="A page.", media=(Media("text/html"),), headers=("ETag",))},
    ),
    ("GET", "/docs/{asset}"): Operation(
        tag="Documents",
        summary="Return a file of the viewer.",
        parameters=(ASSET,),
        answers={
            200: Answer(
                text="The file.",
                media=(Media("text/javascript"), Media("text/plain")),
                headers=("ETag", "Cache-Control", "Content-Encoding", "Vary"),
            )
        },
        errors=(404,),
    ),
}
