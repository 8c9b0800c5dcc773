"""The versions of a model that its route asks for, among those of its directory."""

from dataclasses import dataclass, replace

from serve.repository.scan import Entry, Version
from serve.routing.table import Candidate, Pin, Route


@dataclass(frozen=True, slots=True)
class CandidatePlan:
    """A version that shall answer a share of the requests."""

    entry: Entry  # without a version if it cannot: `refused` then says why
    candidate: Candidate
    same_tensors: bool = True  # inputs and outputs are those of the default version


@dataclass(frozen=True, slots=True)
class Plan:
    """The versions that shall serve a model."""

    default: Entry  # its versions in the order in which they are tried
    candidate: CandidatePlan | None = None
    pinned: bool = False  # by a route


def plan_of(entry: Entry, route: Route | None) -> Plan:
    """Return what shall serve a model.

    Without a route, its newest version that loads. With one, the default version; if that is
    refused, an older one: never a newer one, which nobody chose.
    """
    if route is None:
        return Plan(entry)
    pin = route.default
    chosen, reason = _find(entry, pin)
    older = tuple(v for v in entry.versions if v.manifest.version < pin.version)
    refused = {number: text for number, text in entry.refused.items() if number <= pin.version}
    if chosen is None:
        refused[pin.version] = reason
    versions = (chosen, *older) if chosen else older
    default = replace(entry, versions=versions, refused=refused)
    candidate = route.candidate
    if candidate is None:
        return Plan(default, pinned=True)
    return Plan(default, _candidate_plan(entry, candidate, versions), pinned=True)


def _find(entry: Entry, pin: Pin) -> tuple[Version | None, str]:
    """Return the pinned version, or None and why it cannot serve."""
    if pin.version in entry.refused:
        return None, entry.refused[pin.version]
    version = next((v for v in entry.versions if v.manifest.version == pin.version), None)
    if version is None:
        return None, "routing.json names it, and it is not in the directory"
    digest = version.manifest.digest
    if digest != pin.digest:
        return None, f"its digest is {digest}; routing.json pins {pin.digest}"
    return version, ""


def _candidate_plan(
    entry: Entry, candidate: Candidate, defaults: tuple[Version, ...]
) -> CandidatePlan:
    version, reason = _find(entry, candidate.pin)
    same_tensors = True
    if version is not None and defaults:
        spec, default = version.manifest.spec, defaults[0].manifest.spec
        same_tensors = (spec.inputs, spec.outputs) == (default.inputs, default.outputs)
        if spec.task != default.task:
            reason = f"it is for {spec.task}; allowed: {default.task}, as the default version"
    if version is None or reason:
        refused = replace(entry, versions=(), refused={candidate.version: reason})
        return CandidatePlan(refused, candidate, same_tensors)
    plan = replace(entry, versions=(version,), refused={})
    return CandidatePlan(plan, candidate, same_tensors)
