"""The parts of a report, in order; those that were not measured are left out."""

from collections.abc import Callable, Iterator, Mapping

from benchmarks.page.model import Json, Part
from benchmarks.page.parts import limits, originals, peers, scaling, suite

PARTS: Mapping[str, Callable[[Json], Part]] = {
    "suite": suite.part,
    "originals": originals.part,
    "peers": peers.part,
    "scaling": scaling.part,
    "limits": limits.part,
}


def parts_of(report: Json) -> list[Part]:
    """Return the parts of the sections that a report has."""
    return [part(report) for name, part in PARTS.items() if name in report]


def condition_lines(conditions: Json) -> Iterator[str]:
    """Yield the sentences that say where and when a part was measured."""
    machine, load = conditions["machine"], conditions["load_average"]
    dot_products = ", ".join(machine["dot_products"]) or "none"
    yield (
        f"{machine['cpu']}, {machine['cpus']} CPUs, 8-bit dot products: {dot_products}; "
        f"{machine['memory_mb'] / 1000:.0f} GB of memory; {machine['system']}."
    )
    yield ", ".join(f"{name} {version}" for name, version in conditions["versions"].items()) + "."
    git = conditions["git"]
    checkout = "no checkout" if git is None else f"commit {git['commit'][:12]}"
    checkout += " with changes" if git is not None and git["dirty"] else ""
    others = conditions["others_cpu"]
    share = "" if others is None else f"; other processes took {others:.0%} of the CPUs"
    yield (
        f"{conditions['measured_at'][:10]}, {conditions['seconds'] / 60:.1f} minutes, {checkout}; "
        f"load average {load['start']:.2f} before and {load['end']:.2f} after{share}."
    )


def warnings(conditions: Json) -> Iterator[str]:
    """Yield what makes the figures doubtful."""
    if conditions["busy"]:
        yield "BUSY: other processes ran meanwhile; times are too high."
    if conditions["quick"]:
        yield "QUICK: few runs, not figures to quote."
