"""The traceback of a fault, without what a client sent."""

import traceback
from types import TracebackType

from runtime.errors import ArtifactError, ModelOutputError

# Their messages name files, nodes and sizes. Those of other errors, as int("...") raises them, may
# repeat the value that they refuse.
_SAFE = (OSError, MemoryError, ArtifactError, ModelOutputError)
_SAFE_PACKAGES = ("onnxruntime",)
_MOST_FRAMES = 40  # of each error, the innermost
_MOST_ERRORS = 8  # each the cause of the one before

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]


def format_fault(error: BaseException) -> str:
    """Return the frames of an error and of its causes, the first cause first."""
    chain = [error]
    while len(chain) < _MOST_ERRORS and (cause := _cause(chain[-1])) and cause not in chain:
        chain.append(cause)
    return "\n".join(_format_one(one) for one in reversed(chain))


def _cause(error: BaseException) -> BaseException | None:
    return error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _format_one(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)[-_MOST_FRAMES:]
    lines = "".join(traceback.format_list(frames))
    return f"Traceback (most recent call last):\n{lines}{_describe(error)}"


def _describe(error: BaseException) -> str:
    kind = type(error)
    name = f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
    is_safe = isinstance(error, _SAFE) or kind.__module__.partition(".")[0] in _SAFE_PACKAGES
    return f"{name}: {error}" if is_safe else f"{name} (its message is left out)"
