"""What was looked at, and what was found."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Verdict = Literal["ok", "failed", "told"]  # told: reported, and not judged


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    verdict: Verdict
    found: str  # a sentence
    variant: str = ""  # of which variant; empty: of the whole version

    def __str__(self) -> str:
        """Its line at the terminal."""
        mark = {"ok": "ok", "failed": "FAILED", "told": "-"}[self.verdict]
        return f"{mark:8}{self.name:19}{self.variant:11}{self.found}".rstrip()


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that was looked at in one version."""

    artifact: str
    checks: tuple[Check, ...]

    @property
    def reasons(self) -> list[str]:
        """Why it does not pass; empty when it does."""
        failed = [check for check in self.checks if check.verdict == "failed"]
        return [f"{' '.join(filter(None, (c.name, c.variant)))}: {c.found}" for c in failed]

    def to_json(self) -> Mapping[str, Any]:
        """`artifact`, `passed` and `checks`."""
        checks = [asdict(check) for check in self.checks]
        return {"artifact": self.artifact, "passed": not self.reasons, "checks": checks}


def judged(name: str, problem: str, found: str, variant: str = "") -> Check:
    """Failed with the problem where there is one, else ok with what was found."""
    return Check(name, "failed" if problem else "ok", problem or found, variant)
