"""The verdict on a point, from its parts."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


class CheckError(Exception):
    """The server does otherwise than the protocol; the message says what it did."""


class NotOfferedError(Exception):
    """The server, or no model of it, offers what the part needs."""


@dataclass(slots=True)
class Parts:
    """The parts of a point: those that hold, that fail, and that the server does not offer."""

    good: list[str] = field(default_factory=list)
    bad: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Judge the block: a part of the point."""
        try:
            yield
        except CheckError as error:
            self.bad.append(f"{name}: {error}")
        except NotOfferedError as error:
            self.absent.append(f"{name}: {error}")
        except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
            self.bad.append(f"{name}: an answer of another form ({type(error).__name__} {error})")
        else:
            self.good.append(name)

    @property
    def verdict(self) -> str:
        """Return pass, partly, fail or not offered."""
        if self.bad or self.absent:
            if self.good:
                return "partly"
            return "fail" if self.bad else "not offered"
        return "pass"

    @property
    def reason(self) -> str:
        """Return what fails or is not offered; of a pass, what was checked."""
        return "; ".join([*self.bad, *self.absent] or self.good)


def expect(condition: object, problem: str) -> None:
    """Raise CheckError with the problem unless the condition holds."""
    if not condition:
        raise CheckError(problem)
