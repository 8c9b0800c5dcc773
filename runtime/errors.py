"""The errors that callers catch. Every module may import it; it imports nothing.

SlipwayError
├── InputError            the caller's input is wrong; says what is allowed
│   ├── DecodeError       the bytes are not media this project decodes
│   └── TooLargeError     the input is over a stated limit
├── ArtifactError         an artifact on disk is refused; it names the file and the place
│   └── ProviderError     an execution provider does not run it; another one may
├── ModelOutputError      a graph returned values that cannot be an answer
├── UnavailableError      a process or another resource is missing for now; the input may be good
└── CancelledError        the work was stopped, because nobody waits for its result
"""


class SlipwayError(Exception):
    """Base of every error this project raises on purpose."""


class InputError(SlipwayError):
    """The caller's input is wrong: HTTP 400, exit code 1."""


class DecodeError(InputError):
    """The bytes are not media this project decodes: empty, truncated or of another format."""


class TooLargeError(InputError):
    """The input is over a limit (bytes, pixels): HTTP 413, exit code 1."""


class ArtifactError(SlipwayError):
    """An artifact is missing, corrupt, incomplete or of a schema this runtime does not know."""


class ProviderError(ArtifactError):
    """An execution provider does not start, or does not run this artifact; another one may."""


class ModelOutputError(SlipwayError, ArithmeticError):
    """A graph returned NaN, infinity or probabilities that are none: HTTP 500, exit code 1."""


class UnavailableError(SlipwayError):
    """A process or another resource is missing for now: HTTP 503, exit code 1."""

    def __init__(self, message: str, *, reason: str = "unavailable") -> None:
        """Say what is missing in one word, for the metrics; it is no text of a client."""
        super().__init__(message)
        self.reason = reason


class CancelledError(SlipwayError):
    """The work was stopped before its end, because nobody waits for its result."""


def not_finite(model_id: str) -> ModelOutputError:
    """Return the error for a model whose answer holds NaN or infinity."""
    return ModelOutputError(f"{model_id} returned values that are not finite numbers")


def one_line(error: BaseException, *, most: int = 300) -> str:
    """Return the message of an error on one line, truncated to `most` characters.

    Frameworks and onnxruntime spread a message over many lines. For an error without a message
    the result is the name of its class.
    """
    return " ".join(str(error).split())[:most] or type(error).__name__
