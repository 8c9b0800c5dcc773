"""The replies of the task routes: JSON, or an encoded image."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from serve.repository.provenance import AnswerProvenance, json_answer


@dataclass(frozen=True, slots=True)
class JsonReply:
    """A result as JSON."""

    provenance: AnswerProvenance
    result: Mapping[str, Any]

    def response(self) -> Response:
        """Return the HTTP response; provenance and warnings are in the body and the headers."""
        return json_answer(self.provenance, self.result)


@dataclass(frozen=True, slots=True)
class ImageReply:
    """An encoded image."""

    provenance: AnswerProvenance
    data: bytes
    media_type: str

    def response(self) -> Response:
        """Return the HTTP response; provenance and warnings are in the headers."""
        return Response(self.data, headers=self.provenance.headers, media_type=self.media_type)
