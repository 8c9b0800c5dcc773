"""GET /v1/ab and POST /v1/outcomes: what the versions of each model answered, and how well.

Their fields: serve/API.md.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypedDict

from starlette.requests import Request
from starlette.responses import Response

from runtime.artifact.schema import parse, to_json
from runtime.errors import ArtifactError, InputError
from serve.errors import json_response
from serve.http.administrator import check_key
from serve.repository.models import ModelRepository, unknown_model
from serve.routes.json_body import read_object
from serve.routing.outcome import MOST, Outcome
from serve.state import State


class VersionCountsJson(TypedDict):
    """The counts of one version."""

    answers: int
    errors: Annotated[int, "faults of the server, not of requests"]
    seconds: Annotated[float, "of all answers together"]
    bins: Annotated[list[int], "answers below 1.5^i ms that no bin before has"]
    classified: Annotated[int, "answers that have a top class"]
    confident: Annotated[int, "of those, with a confidence of 0.5 or more"]
    labels: Annotated[dict[str, int], "answers by top class"]
    correct: Annotated[int, "outcomes that were reported"]
    wrong: int


class ExperimentJson(TypedDict):
    """The versions of a model since its route changed."""

    since: Annotated[float, "seconds since 1970"]
    default: int | None
    candidate: int | None
    share: float | None
    versions: dict[str, VersionCountsJson]


class ExperimentsJson(TypedDict):
    """The counts of all models."""

    processes: Annotated[list[int], "whose counts these are"]
    models: dict[str, ExperimentJson]


class EmptyJson(TypedDict):
    """Nothing to tell."""


async def show_experiments(request: Request[State]) -> Response:
    """Answer GET /v1/ab: the counts of each version since the route of its model changed."""
    repository = request.state["repository"]
    models = {model_id: _experiment(repository, model_id) for model_id in repository.ids}
    content: ExperimentsJson = {"processes": [os.getpid()], "models": models}
    return json_response(content)


async def report_outcomes(request: Request[State]) -> Response:
    """Answer POST /v1/outcomes: count how many answers of a version were right."""
    state = request.state
    authorization, key = request.headers.get("authorization", ""), state["settings"].admin_key
    check_key(authorization, key, what="outcomes are reported")
    repository = state["repository"]
    try:
        outcome = parse(Outcome, await read_object(request), "request")
    except ArtifactError as error:
        raise InputError(str(error)) from error
    if outcome.model not in repository:
        raise unknown_model(repository, outcome.model)
    experiment = _experiment(repository, outcome.model)
    served = [number for number in (experiment["default"], experiment["candidate"]) if number]
    if outcome.version not in served:
        names = ", ".join(map(str, served)) or "none"
        raise InputError(f"version is {outcome.version}; served are: {names}")
    if not (0 <= outcome.correct <= MOST and 0 <= outcome.wrong <= MOST):
        raise InputError(f"correct and wrong: allowed: 0 to {MOST}")
    repository.counts.outcome(
        outcome.model, outcome.version, correct=outcome.correct, wrong=outcome.wrong
    )
    return json_response({})


def merge(contents: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the sums of the counts of several workers."""
    models = {
        name: {**one, "versions": _sum([c["models"][name]["versions"] for c in contents])}
        for name, one in contents[0]["models"].items()
        if all(name in c["models"] for c in contents)
    }
    return {"processes": [pid for c in contents for pid in c["processes"]], "models": models}


def _sum(parts: Sequence[Mapping[str, Mapping[str, Any]]]) -> dict[str, Any]:
    numbers = sorted({number for part in parts for number in part}, key=int)
    return {n: _add([part[n] for part in parts if n in part]) for n in numbers}


def _add(counts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    total: dict[str, Any] = {}
    for name, value in counts[0].items():
        values = [one[name] for one in counts]
        if isinstance(value, list):
            total[name] = [sum(column) for column in zip(*values, strict=True)]
        elif isinstance(value, dict):
            labels = {label for one in values for label in one}
            total[name] = {i: sum(one.get(i, 0) for one in values) for i in sorted(labels)}
        else:
            total[name] = sum(values)
    return total


def _experiment(repository: ModelRepository, model_id: str) -> ExperimentJson:
    counts, candidate = repository.counts.of(model_id), repository.candidate(model_id)
    default = repository.table.defaults[model_id].usable
    return {
        "since": counts.since_s,
        "default": default.manifest.version if default else None,
        "candidate": candidate.version if candidate else None,
        "share": candidate.share if candidate else None,
        "versions": {str(number): to_json(one) for number, one in counts.versions.items()},
    }
