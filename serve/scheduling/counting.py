"""Count the answers of the versions that a request has, for the comparison of two of them."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from runtime.errors import CancelledError
from serve.errors import status_of
from serve.routing.counts import Counts
from serve.scheduling.call import Call


class Count(Protocol):
    """Counts an answer."""

    def __call__(
        self, lead: str = "", label: str | None = None, confidence: float | None = None
    ) -> None:
        """Count the answer.

        Args:
            lead: the model that the answer names.
            label: its top class, if it has one.
            confidence: of that class.
        """


@contextmanager
def counting(counts: Counts, call: Call) -> Iterator[Count]:
    """Count the answer, or the error, that the block makes, for each version that it took.

    Errors of the request, and of clients that left, are not counted.
    """
    start_s = time.perf_counter()

    def count(lead: str = "", label: str | None = None, confidence: float | None = None) -> None:
        seconds = time.perf_counter() - start_s
        for model_id, model in call.lent.items():
            top = (label, confidence) if model_id == lead else (None, None)
            counts.answer(
                model_id, model.manifest.version, seconds, label=top[0], confidence=top[1]
            )

    try:
        yield count
    except CancelledError:
        raise
    except Exception as error:
        if (status_of(error) or 500) >= 500:
            for model_id, model in call.lent.items():
                counts.error(model_id, model.manifest.version)
        raise
