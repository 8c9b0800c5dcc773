"""The changes of routing.json, as functions from one route to the next."""

from dataclasses import replace

from runtime.errors import ArtifactError
from serve.routing.table import Candidate, Pin, Route, Routing, check_share


def set_default(route: Route | None, pin: Pin, *, before: Pin | None) -> Route:
    """Let one version answer all requests; the candidate ends.

    Args:
        route: of the model; None if it has none.
        pin: the version.
        before: the version that answered without a route; None if that is not known.
    """
    if route is None:
        return Route(pin, previous=before if before != pin else None)
    return Route(pin, previous=route.default if route.default != pin else route.previous)


def set_candidate(route: Route | None, pin: Pin, share: float, *, before: Pin | None) -> Route:
    """Let a version answer a share of the requests, in place of another candidate.

    Args:
        route: of the model; None if it has none: `before` then becomes the default.
        pin: the version.
        share: of the requests, 0 to 1.
        before: as for `set_default`.

    Raises:
        ArtifactError: the share is out of its range, or the version is the default one.
    """
    check_share(share, "share")
    route = route or (Route(before) if before else None)
    if route is None:
        raise ArtifactError("the model has no other version; set its default first")
    if route.default.version == pin.version:
        raise ArtifactError(
            f"version {pin.version} is the default; allowed as the candidate: another version"
        )
    return replace(route, candidate=Candidate(pin.version, pin.digest, share))


def drop_candidate(route: Route | None) -> Route:
    """Let the default version answer all requests.

    Raises:
        ArtifactError: there is no candidate.
    """
    if route is None or route.candidate is None:
        raise ArtifactError("the model has no candidate")
    return replace(route, candidate=None)


def promote(route: Route | None) -> Route:
    """Make the candidate the default.

    Raises:
        ArtifactError: there is no candidate.
    """
    if route is None or route.candidate is None:
        raise ArtifactError("the model has no candidate")
    return Route(route.candidate.pin, previous=route.default)


def rollback(route: Route | None) -> Route:
    """Take the traffic from the version that got it last.

    A candidate ends. Without one, the default before answers again; a second rollback returns to
    where the first one began.

    Raises:
        ArtifactError: nothing was changed yet.
    """
    if route is not None and route.candidate is not None:
        return replace(route, candidate=None)
    if route is None or route.previous is None:
        raise ArtifactError("there is no version to roll back to: the default was not changed yet")
    return Route(route.previous, previous=route.default)


def with_route(routing: Routing, model_id: str, route: Route | None) -> Routing:
    """Return the routing with another route of one model; None: it has none."""
    others = {name: one for name, one in routing.models.items() if name != model_id}
    return replace(routing, models=others if route is None else {**others, model_id: route})
