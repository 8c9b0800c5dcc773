"""Measure one engine of a model's original framework: the process of `benchmarks.originals`.

python -m benchmarks.originals.child VERSION_DIRECTORY plain|compiled ROUNDS SECONDS OUT THREADS...

Writes rows as JSON to the file OUT. The packaged graph takes turns with the original, in the same
process.
"""

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.originals.networks import (
    COMPILED,
    KERAS,
    PLAIN,
    Array,
    Forward,
    Original,
    compiled,
    eager,
    framework_of,
    load_original,
    set_keras_threads,
    set_torch_threads,
)
from benchmarks.server import read_memory
from benchmarks.suite.fidelity import lowest_cosine
from benchmarks.timing import Effort, Run, Summary, interleaved
from runtime.artifact.golden import Golden, read_golden
from runtime.artifact.manifest import Manifest, read_manifest, verify_file
from runtime.artifact.schema import to_json
from runtime.engine.resources import cpu_features
from runtime.engine.session import Session, SessionOptions
from runtime.model import choose_variant

OWN = "slipway"
OTHER_OUTPUTS = "weights of other classes: the same network but for the last layers"
Row = dict[str, Any]
Inputs = Sequence[tuple[Array, ...]]


def main(directory: str, kind: str, rounds: str, seconds: str, out: str, *threads: str) -> None:
    """Write the rows of a model; none if its framework is none of torch and Keras."""
    path = Path(directory)
    manifest = read_manifest(path)
    golden = read_golden(path, manifest)
    effort = Effort(float(seconds), int(rounds), 200, warm_up_rounds=2, process_starts=1)
    set_keras_threads(int(threads[0]))
    original = load_original(manifest.id, manifest.weights.origin)
    rows: list[Row] = []
    if original is not None:
        measure = _plain if kind == "plain" else _compiled
        rows = measure(path, manifest, golden, original, effort, list(map(int, threads)))
    common = {"model": manifest.id}
    Path(out).write_text(json.dumps([{**row, **common} for row in rows]), encoding="utf-8")


def _plain(
    path: Path,
    manifest: Manifest,
    golden: Golden,
    original: Original,
    effort: Effort,
    threads: Sequence[int],
) -> list[Row]:
    """Return the rows of the network as it is; Keras takes its number of threads once."""
    _set_threads(original, threads[0])
    inputs, forward, start = _inputs(original, golden), eager(original), time.perf_counter()
    forward(*inputs[0])
    first_s = original.load_seconds + time.perf_counter() - start
    interleaved([_run(forward, inputs)], Effort(0.0, 10, 10, 0, 1))
    engine = PLAIN[framework_of(original)]
    facts = {"load_seconds": first_s, **_facts(original, manifest, forward, inputs, golden)}
    rows: list[Row] = []
    for count in threads[:1] if original.framework in KERAS else threads:
        _set_threads(original, count)
        spreads = _in_turns(forward, inputs, _session(path, manifest, count), golden, effort)
        rows += _pair(engine, count, spreads, facts)
    return rows


def _compiled(
    path: Path,
    manifest: Manifest,
    golden: Golden,
    original: Original,
    effort: Effort,
    threads: Sequence[int],
) -> list[Row]:
    """Return the rows of the compiled network, whose code is for one number of threads."""
    count, engine = threads[0], COMPILED[framework_of(original)]
    _set_threads(original, count)
    inputs, forward = _inputs(original, golden), compiled(original)
    compile_s, error = _compile(forward, inputs)
    if error is not None:
        return [{**_empty(engine, count, None), "version": original.version, "error": error}]
    facts = {"compile_seconds": compile_s, **_facts(original, manifest, forward, inputs, golden)}
    spreads = _in_turns(forward, inputs, _session(path, manifest, count), golden, effort)
    return _pair(engine, count, spreads, facts)


def _inputs(original: Original, golden: Golden) -> Inputs:
    return [original.arrays(golden.feeds(number)) for number in range(golden.count)]


def _set_threads(original: Original, threads: int) -> None:
    if original.framework not in KERAS:
        set_torch_threads(threads)


def _in_turns(
    forward: Forward, inputs: Inputs, session: Session, golden: Golden, effort: Effort
) -> list[Summary]:
    """Time the original and the packaged graph."""
    feeds = [golden.feeds(number) for number in range(golden.count)]

    def packaged(number: int) -> object:
        return session.run(feeds[number % len(feeds)])

    return interleaved([_run(forward, inputs), packaged], effort)


def _facts(
    original: Original, manifest: Manifest, forward: Forward, inputs: Inputs, golden: Golden
) -> Row:
    """Return what a row has beside its latency; the memory is that of now."""
    memory = read_memory(os.getpid())
    cosine = _cosine(original, forward, inputs, golden)
    notes = (_note(original, manifest.weights.origin), OTHER_OUTPUTS if cosine is None else None)
    return {
        "version": original.version,
        "import_seconds": original.import_seconds,
        "memory_mb": memory.resident_mb,
        "peak_mb": memory.peak_mb,
        "golden_cosine": cosine,
        "error": "; ".join(note for note in notes if note) or None,
    }


def _pair(engine: str, threads: int, spreads: Sequence[Summary], facts: Row) -> list[Row]:
    """Return the row of an engine, and that of the packaged graph beside it."""
    theirs, ours = spreads
    return [{**_empty(engine, threads, theirs), **facts}, _empty(OWN, threads, ours)]


def _empty(engine: str, threads: int, summary: Summary | None) -> Row:
    unknown = dict.fromkeys(
        ("import_seconds", "load_seconds", "compile_seconds", "memory_mb", "peak_mb")
    )
    spread = None if summary is None else to_json(summary)
    row = {"engine": engine, "version": "", "threads": threads, "latency": spread}
    return {**row, **unknown, "golden_cosine": None, "error": None}


def _compile(forward: Forward, inputs: Inputs) -> tuple[float | None, str | None]:
    """Run a compiled network with every input, as another shape may compile anew.

    Returns:
        The seconds, or the error in place of them.
    """
    start = time.perf_counter()
    try:
        for arrays in inputs:
            forward(*arrays)
    except Exception as error:  # compilers raise any type
        first, *_ = str(error).strip().splitlines() or [""]
        return None, f"{type(error).__name__}: {first[:150]}"
    return time.perf_counter() - start, None


def _run(forward: Forward, inputs: Inputs) -> Run:
    return lambda number: forward(*inputs[number % len(inputs)])


def _session(path: Path, manifest: Manifest, threads: int) -> Session:
    variant = choose_variant(manifest, cpu_features())
    return Session(verify_file(path, variant.files[0]), SessionOptions(threads=threads))


def _cosine(original: Original, forward: Forward, inputs: Inputs, golden: Golden) -> float | None:
    """Return the lowest cosine to the golden outputs; None if there are others, or of other size.

    The weights that a recipe finds may be of other classes than those of the artifact.
    """
    answers: list[Mapping[str, Array]] = [original.answer(forward(*one)) for one in inputs]
    for number, answer in enumerate(answers):
        for name, expected in golden.outputs.items():
            if name not in answer or answer[name].size != expected[number].size:
                return None
    return min(lowest_cosine(one, golden.outputs, number) for number, one in enumerate(answers))


def _note(original: Original, packaged: str) -> str | None:
    if original.origin == packaged:
        return None
    return f"{original.origin} weights in place of the {packaged} ones: the same network"


if __name__ == "__main__":
    main(*sys.argv[1:])
