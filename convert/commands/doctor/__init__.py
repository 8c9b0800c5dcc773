"""Checks before a conversion: they take seconds, and spare a failure half an hour later.

`environment` needs the standard library alone; the other modules are imported once it has found
the packages installed. The doctor imports no framework, writes nothing and downloads nothing.
"""

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

from convert.commands.doctor import environment
from convert.commands.doctor.finding import Finding, count_missing


def examine(options: argparse.Namespace) -> int:
    """Print a line per finding; return exit code 1 if something needed is missing.

    Args:
        options: those of `convert run`.
    """
    findings = []
    for finding in check_all(options):
        print(finding, flush=True)
        findings.append(finding)
    count = count_missing(findings)
    print(f"\n{f'{count} missing' if count else 'nothing is missing'}")
    return 1 if count else 0


def check_all(options: argparse.Namespace) -> Iterator[Finding]:
    """Check Python and packages, the machine, the weights of each model, and the folders."""
    findings = list(environment.check_environment())
    yield from findings
    if count_missing(findings):
        yield Finding("note", "models", "not checked: they need the packages")
        return
    yield from _check_machine()
    yield from _check_models(options)
    yield from _check_folders(options)


def _check_machine() -> Iterator[Finding]:
    from convert.commands.doctor import machine
    from runtime.engine.resources import cpu_count, cpu_features

    yield from machine.check_cpu(cpu_features(), cpu_count(), os.getloadavg()[0])
    yield machine.check_memory(machine.available_bytes())


def _check_models(options: argparse.Namespace) -> Iterator[Finding]:
    """Check the weights of each model, the labelled pairs, and the disk space for all of them."""
    from convert.commands.doctor import machine, model_weights
    from convert.commands.run import recipe_files
    from convert.weights.download import Store
    from runtime.errors import SlipwayError

    try:
        weights_options = model_weights.WeightsOptions(
            recipe_files(options),
            options.out,
            options.weights,
            options.checkpoint,
            options.labels,
        )
        models = []
        for model in model_weights.check_weights(
            weights_options, Store.from_environment(os.environ)
        ):
            yield model.finding
            models.append(model)
    except SlipwayError as error:
        yield Finding("missing", "models", str(error))
        return
    yield from _check_pairs(options.pairs)
    yield machine.check_disk(options.out, model_weights.disk_bytes(models))


def _check_folders(options: argparse.Namespace) -> Iterator[Finding]:
    from convert.commands.doctor import machine

    yield machine.check_writable(options.out)
    folders: dict[str, tuple[Path | None, str]] = {
        "calibration": (options.calibration, "media like those to be served"),
        "labelled": (options.labelled, "labelled media"),
    }
    for name, (directory, content) in folders.items():
        if directory is not None and not (directory.is_dir() and any(directory.iterdir())):
            advice = f"give --{name} DIR with {content}, or leave it out"
            yield Finding("missing", name, f"{directory}: no directory with files; {advice}")


def _check_pairs(path: Path | None) -> Iterator[Finding]:
    from convert.errors import PairsError
    from convert.pipeline.similarity.labelled_pairs import read_pairs

    if path is None:
        return
    try:
        pairs = read_pairs(path)
    except PairsError as error:
        yield Finding("missing", "pairs", str(error))
        return
    kinds = ", ".join(sorted({pair.kind for pair in pairs.pairs}))
    yield Finding("ok", "pairs", f"{pairs.source}: {len(pairs.pairs)} ({kinds})")
