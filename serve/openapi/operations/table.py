"""The table of all operations: a route that is not here is not documented, and a test fails."""

from collections.abc import Mapping

from serve.openapi.operation import Key, Operation
from serve.openapi.operations import documents, models, protocol, tasks

OPERATIONS: Mapping[Key, Operation] = {
    **tasks.OPERATIONS,
    **models.OPERATIONS,
    **protocol.OPERATIONS,
    **documents.OPERATIONS,
}
