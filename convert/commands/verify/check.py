"""The result of a check, and the report of all of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Verdict = Literal["ok", "failed", "told"]  # told: reported only, it can neither pass nor fail


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check."""

    name: str
    verdict: Verdict
    text: str  # a sentence: what was measured or, if it failed, the problem
    variant: str = ""  # the variant checked; empty: the whole version

    def __str__(self) -> str:
        """Return its line for the terminal."""
        mark = {"ok": "ok", "failed": "FAILED", "told": "-"}[self.verdict]
        return f"{mark:8}{self.name:19}{self.variant:11}{self.text}".rstrip()

    def to_json(self) -> dict[str, str]:
        """Return the entry of `convert verify --json`."""
        return {
            "name": self.name,
            "verdict": self.verdict,
            "found": self.text,
            "variant": self.variant,
        }


@dataclass(frozen=True, slots=True)
class Report:
    """The results of all checks of one version."""

    artifact: str
    checks: tuple[Check, ...]

    @property
    def failures(self) -> list[str]:
        """Return a sentence per failed check; empty if the version passes."""
        failed = [check for check in self.checks if check.verdict == "failed"]
        return [f"{' '.join(filter(None, (c.name, c.variant)))}: {c.text}" for c in failed]

    def to_json(self) -> Mapping[str, Any]:
        """Return `artifact`, `passed` and `checks`."""
        checks = [check.to_json() for check in self.checks]
        return {"artifact": self.artifact, "passed": not self.failures, "checks": checks}


def pass_or_fail(name: str, problem: str, text: str, variant: str = "") -> Check:
    """Return a failed check with `problem` or, if that is empty, a passed one with `text`."""
    return Check(name, "failed" if problem else "ok", problem or text, variant)
