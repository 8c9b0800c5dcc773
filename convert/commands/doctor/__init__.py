"""What a conversion needs, looked at before it: seconds now instead of half an hour later.

`environment` needs the standard library alone; the other modules are imported once the packages
are known to be there. No framework is imported, nothing is written, nothing is fetched.
"""

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

from convert.commands.doctor import environment
from convert.commands.doctor.finding import Finding, missing


def examine(options: argparse.Namespace) -> int:
    """Print a line per finding; exit code 1 where something needed is missing.

    Args:
        options: those of `convert run`.
    """
    findings = []
    for finding in look(options):
        print(finding, flush=True)
        findings.append(finding)
    count = missing(findings)
    print(f"\n{f'{count} missing' if count else 'nothing is missing'}")
    return 1 if count else 0


def look(options: argparse.Namespace) -> Iterator[Finding]:
    """Everything that is looked at, in order."""
    found = list(environment.look())
    yield from found
    if missing(found):
        yield Finding("note", "models", "looked at once the packages are there")
        return
    yield from _machine()
    yield from _models(options)
    yield from _places(options)


def _machine() -> Iterator[Finding]:
    from convert.commands.doctor import machine
    from runtime.engine.resources import cpu_count, cpu_features

    yield from machine.cpu(cpu_features(), cpu_count(), os.getloadavg()[0])
    yield machine.memory(machine.available_bytes())


def _models(options: argparse.Namespace) -> Iterator[Finding]:
    """Weights, and the disk that they need."""
    from convert.commands.doctor import at_hand, machine
    from convert.commands.run import recipe_files
    from convert.weights.download import Store
    from runtime.errors import SlipwayError

    try:
        asked = at_hand.Asked(
            recipe_files(options),
            options.out,
            options.weights,
            options.checkpoint,
            options.labels,
        )
        models = []
        for model in at_hand.look(asked, Store.from_environment(os.environ)):
            yield model.finding
            models.append(model)
    except SlipwayError as error:
        yield Finding("missing", "models", str(error))
        return
    yield from _pairs(options.pairs)
    yield machine.disk(options.out, at_hand.disk_bytes(models))


def _places(options: argparse.Namespace) -> Iterator[Finding]:
    from convert.commands.doctor import machine

    yield machine.writable(options.out)
    given: Path | None = options.calibration
    if given is not None and not (given.is_dir() and any(given.iterdir())):
        advice = "give --calibration DIR with media like those to be served, or leave it out"
        yield Finding("missing", "calibration", f"{given}: no directory with files; {advice}")


def _pairs(given: Path | None) -> Iterator[Finding]:
    from convert.errors import PairsError
    from convert.pipeline.similarity.labelled_pairs import read_pairs

    if given is None:
        return
    try:
        found = read_pairs(given)
    except PairsError as error:
        yield Finding("missing", "pairs", str(error))
        return
    kinds = ", ".join(sorted({pair.kind for pair in found.pairs}))
    yield Finding("ok", "pairs", f"{found.source}: {len(found.pairs)} ({kinds})")
