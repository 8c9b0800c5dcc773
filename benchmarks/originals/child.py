"""Measure one model in its original framework: the process that `benchmarks.originals` starts.

python -m benchmarks.originals.child VERSION_DIRECTORY ROUNDS SECONDS THREADS...

Prints rows as JSON. The packaged graph takes turns with the original, in the same process.
"""

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.originals.networks import (
    KERAS,
    Array,
    Forward,
    Original,
    compiled,
    eager,
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
Row = dict[str, Any]


def main(directory: str, rounds: str, seconds: str, *threads: str) -> None:
    """Print the rows of a model."""
    path = Path(directory)
    manifest = read_manifest(path)
    golden = read_golden(path, manifest)
    effort = Effort(float(seconds), int(rounds), 200, warm_up_rounds=2, process_starts=1)
    set_keras_threads(int(threads[0]))
    original = load_original(manifest.id, manifest.weights.origin)
    if original is None:
        print(json.dumps([]))
        return
    print(json.dumps(_rows(path, manifest, golden, original, effort, list(map(int, threads)))))


def _rows(
    path: Path,
    manifest: Manifest,
    golden: Golden,
    original: Original,
    effort: Effort,
    threads: Sequence[int],
) -> list[Row]:
    is_fixed = original.framework in KERAS  # it takes its number of threads once
    if not is_fixed:
        set_torch_threads(threads[0])
    inputs = [original.arrays(golden.feeds(number)) for number in range(golden.count)]
    plain, start = eager(original), time.perf_counter()
    plain(*inputs[0])
    first_s = original.load_seconds + time.perf_counter() - start
    interleaved([_run(plain, inputs)], Effort(0.0, 10, 10, 0, 1))
    memory = read_memory(os.getpid())
    name, unproved = compiled(original)
    fast, compile_s, error = _compile(unproved, inputs[0])
    engines: dict[str, Forward] = {original_name(original): plain}
    if fast is not None:
        engines[name] = fast
    common = {"model": manifest.id, "version": original.version}
    rows: list[Row] = []
    for count in threads[:1] if is_fixed else threads:
        if not is_fixed:
            set_torch_threads(count)
        session = _session(path, manifest, count)
        runs = [_run(engine, inputs) for engine in engines.values()]
        feeds = [golden.feeds(number) for number in range(golden.count)]
        runs.append(lambda number: session.run(feeds[number % len(feeds)]))  # noqa: B023
        for engine, summary in zip((*engines, OWN), interleaved(runs, effort), strict=True):
            rows.append({**_empty(engine, count, summary), **common})
            if engine == OWN:
                rows[-1]["version"] = ""  # that of the framework does not apply
                continue
            is_compiled = engine == name
            used = read_memory(os.getpid()) if is_compiled else memory
            rows[-1] |= {
                "import_seconds": original.import_seconds,
                "load_seconds": None if is_compiled else first_s,
                "compile_seconds": compile_s if is_compiled else None,
                "memory_mb": used.resident_mb,
                "peak_mb": used.peak_mb,
                "golden_cosine": _cosine(original, engines[engine], inputs, golden),
                "error": _note(original, manifest.weights.origin),
            }
        if error:
            rows.append({**_empty(name, count, None), **common, "error": error})
    return rows


def original_name(original: Original) -> str:
    """Return the name of the engine that compiles nothing."""
    return "keras" if original.framework in KERAS else "torch"


def _empty(engine: str, threads: int, summary: Summary | None) -> Row:
    unknown = dict.fromkeys(
        ("import_seconds", "load_seconds", "compile_seconds", "memory_mb", "peak_mb")
    )
    spread = None if summary is None else to_json(summary)
    row = {"engine": engine, "threads": threads, "latency": spread}
    return {**row, **unknown, "golden_cosine": None, "error": None}


def _compile(
    forward: Forward, inputs: tuple[Array, ...]
) -> tuple[Forward | None, float | None, str | None]:
    """Run a compiled network once; return it, the seconds, and the error in place of both."""
    start = time.perf_counter()
    try:
        forward(*inputs)
    except Exception as error:  # compilers raise any type
        first, *_ = str(error).strip().splitlines() or [""]
        return None, None, f"{type(error).__name__}: {first[:150]}"
    return forward, time.perf_counter() - start, None


def _run(forward: Forward, inputs: Sequence[tuple[Array, ...]]) -> Run:
    return lambda number: forward(*inputs[number % len(inputs)])


def _session(path: Path, manifest: Manifest, threads: int) -> Session:
    variant = choose_variant(manifest, cpu_features())
    return Session(verify_file(path, variant.files[0]), SessionOptions(threads=threads))


def _cosine(
    original: Original, forward: Forward, inputs: Sequence[tuple[Array, ...]], golden: Golden
) -> float:
    answers: list[Mapping[str, Array]] = [original.answer(forward(*one)) for one in inputs]
    return min(lowest_cosine(one, golden.outputs, number) for number, one in enumerate(answers))


def _note(original: Original, packaged: str) -> str | None:
    if original.origin == packaged:
        return None
    return f"{original.origin} weights in place of the {packaged} ones: the same network"


if __name__ == "__main__":
    main(*sys.argv[1:])
