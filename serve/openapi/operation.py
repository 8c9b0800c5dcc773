"""The definition of an operation: what a route takes and answers besides its errors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from serve.uploads.form import Form

Key = tuple[str, str]  # the method and the path of a route

JSON = "application/json"
ANYTHING = "*/*"  # of JSON or bytes


@dataclass(frozen=True, slots=True)
class Media:
    """A body, as JSON of a type, or as bytes."""

    type: str = JSON
    annotation: Any = None  # None: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer that is no error."""

    text: str
    media: Sequence[Media] = ()
    headers: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A parameter of the path, the query or the head."""

    name: str
    place: str  # path, query or header
    text: str
    schema: Mapping[str, Any]
    example: Any = None
    deprecated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """An operation.

    Its errors are those of every route, and those listed here by status.
    """

    tag: str
    summary: str
    answers: Mapping[int, Answer]
    errors: Sequence[int] = ()
    text: str = ""
    forms: Sequence[Form] = ()  # each a kind of request that the route takes
    body: Sequence[Media] = ()  # of a route without a form
    parameters: Sequence[Parameter] = ()
    needs_key: bool = False
    replaced_by: str = ""  # of a path of earlier deployments
