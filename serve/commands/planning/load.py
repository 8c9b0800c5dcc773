"""The load that is planned or simulated: models, their shares, and what a request costs."""

import argparse
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

from runtime.artifact.manifest import newest_versions
from runtime.errors import InputError
from serve.commands.planning.measured import ModelCost, read_costs
from serve.repository.pulled import open_manifests
from serve.settings import from_environment
from serve.settings.kinds import ARTIFACTS

# MobileNetV2 runs for 1.2 ms, and a server on two CPUs answered at most 276 requests a second (8
# clients, their generator on the same CPUs): 7.2 ms of a CPU each
AROUND_MS = 6.0


def add_load_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which load it is."""
    parser.add_argument(
        "--models",
        nargs="+",
        metavar="MODEL[=SHARE]",
        help="models, each with its share of the requests, 3 to 1 as a=3 b=1 (default: all, "
        "with equal shares)",
    )
    parser.add_argument(
        "--rps",
        type=parse_positive,
        required=True,
        help="requests a second, of all models together",
    )
    parser.add_argument(
        "--around-ms",
        type=parse_positive,
        default=AROUND_MS,
        help="ms of a CPU for HTTP, decoding and JSON of a request, beside the run "
        f"(default: {AROUND_MS:g}, as measured with MobileNetV2)",
    )
    parser.add_argument(
        "--artifacts",
        metavar=ARTIFACTS.metavar,
        default=os.environ.get("SLIPWAY_ARTIFACTS") or "artifacts",
        help="directory of the models, or oci://... of a registry, whose manifests alone are "
        "downloaded (default: SLIPWAY_ARTIFACTS, or artifacts)",
    )


def read_load(
    options: argparse.Namespace, measured: Mapping[str, Any] | None = None
) -> tuple[dict[str, float], list[ModelCost]]:
    """Return the share of each model, all together 1, and the costs.

    Args:
        options: of `add_load_options`.
        measured: the answer of GET /v1/memory; None: the manifests alone.

    Raises:
        SlipwayError: a share is not a number above 0, or the artifacts cannot be read.
    """
    artifacts = ARTIFACTS.read("--artifacts", options.artifacts)
    with open_manifests(artifacts, from_environment(os.environ)) as directory:
        shares = _shares(options.models or list(newest_versions(directory)))
        return shares, read_costs(directory, tuple(shares), measured)


def parse_positive(text: str) -> float:
    """Return a number above 0."""
    value = float(text)
    if not (value > 0 and math.isfinite(value)):
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def parse_share(text: str) -> float:
    """Return a number from 0 up to 1, without 1."""
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 up to 1, without 1")
    return value


def parse_utilisation(text: str) -> float:
    """Return a number above 0 and below 1."""
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 0 and below 1")
    return value


def _shares(words: Sequence[str]) -> dict[str, float]:
    weights = {}
    for word in words:
        name, _, text = word.partition("=")
        try:
            weights[name] = float(text or "1")
        except ValueError:
            weights[name] = 0.0
        if not (weights[name] > 0 and math.isfinite(weights[name])):
            raise InputError(f"the share of {name} is {text!r}; allowed: a number above 0")
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items()}
