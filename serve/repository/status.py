"""The state of a model, as readiness, /health and the log tell it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NotRequired, TypedDict


class ModelState(StrEnum):
    """The state of a model between its directory and its answers."""

    UNLOADED = "unloaded"  # its files are there; the first request loads it
    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"  # every version was refused
    WITHDRAWN = "withdrawn"  # an administrator unloaded it; no request loads it


class RefusedJson(TypedDict):
    """The versions that were refused, if any."""

    refused: NotRequired[dict[str, str]]


class StatusJson(RefusedJson):
    """The state of a model; the reason of a failure."""

    state: ModelState
    reason: NotRequired[str]


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """The state of a model, and the versions that were refused with their reasons."""

    state: ModelState
    # by version, oldest first; only those newer than the served one; 0: the whole directory
    refused: Mapping[int, str] = field(default_factory=dict)

    @property
    def problem(self) -> str:
        """Return why the model cannot answer now: of a failure the newest version's; or ""."""
        if self.state is ModelState.FAILED:
            return self.refused[max(self.refused)] if self.refused else "it has no version"
        if self.state is ModelState.WITHDRAWN:
            return "it was unloaded, through /v2/repository"
        return "loading" if self.state is ModelState.LOADING else ""

    def to_json(self) -> StatusJson:
        """Return `state`; the `reason` of a failure; `refused` if there are such versions."""
        content: StatusJson = {"state": self.state}
        if self.state is ModelState.FAILED:
            content["reason"] = self.problem
        refused = self.refused_json()
        if "refused" in refused:
            content["refused"] = refused["refused"]
        return content

    def refused_json(self) -> RefusedJson:
        """Return `refused`: the reasons by version; nothing if no version is refused."""
        refused = {str(number): text for number, text in self.refused.items() if number}
        return {"refused": refused} if refused else {}
