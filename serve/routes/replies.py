"""What a task route answers: JSON of ours, or a picture."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from serve.catalog.facts import Facts, json_answer


@dataclass(frozen=True, slots=True)
class Reply:
    """JSON in the envelope of every answer."""

    facts: Facts
    result: Mapping[str, Any]

    def response(self) -> Response:
        """As it goes over the wire."""
        return json_answer(self.facts, self.result)


@dataclass(frozen=True, slots=True)
class Picture:
    """An encoded image; the facts are in its headers."""

    facts: Facts
    data: bytes
    media_type: str

    def response(self) -> Response:
        """As it goes over the wire."""
        return Response(self.data, headers=self.facts.headers, media_type=self.media_type)
