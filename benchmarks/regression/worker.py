"""Time the calls of one checkout, as another process asks for them.

A script on its own, never imported: `python -P worker.py CHECKOUT WORKLOAD.json` imports `runtime`
of that checkout, so that both sides are measured by the same code. It answers each line
`NUMBER RUNS LOOPS` of its input with one JSON line: wall and CPU nanoseconds of each run.
"""

import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def calls_of(model_path: str, media_path: str, condition: str | None) -> Mapping[str, Any]:
    """Return the stages of a request for one model, as functions without arguments.

    Args:
        model_path: artifacts/<model>/<version>.
        media_path: an encoded file, or a text.
        condition: of the person in a clip; None for other media.
    """
    import runtime
    from runtime.engine.session import SessionOptions

    model = runtime.load(model_path, options=SessionOptions(threads=1))
    media: Any = Path(media_path).read_bytes()
    if media_path.endswith(".txt"):
        media = media.decode()
    prepared = model.prepare(media, condition=condition)
    stages: dict[str, Callable[[], object]] = {
        "prepare": lambda: model.prepare(media, condition=condition),
        "run": lambda: model.run(prepared.feeds),
        "answer": lambda: model.answer(prepared),
    }
    if model.spec.task.startswith(("image", "object")):
        from runtime.media.images.decode import decode_image

        pixels = decode_image(media)
        stages["decode"] = lambda: decode_image(media)
        stages["preprocess"] = lambda: model.prepare(pixels)
    return stages


def measure(call: Callable[[], object], runs: int, loops: int) -> list[tuple[int, int]]:
    """Return wall and CPU nanoseconds of each run of `loops` calls."""
    durations = []
    for _ in range(runs):
        wall, cpu = time.perf_counter_ns(), time.process_time_ns()
        for _ in range(loops):
            call()
        cpu = time.process_time_ns() - cpu
        durations.append((time.perf_counter_ns() - wall, cpu))
    return durations


def main(checkout: str, workload: str) -> None:
    """Answer until the input ends."""
    sys.path.insert(0, checkout)
    cases = json.loads(Path(workload).read_text(encoding="utf-8"))
    loaded: dict[tuple[str, ...], Mapping[str, Any]] = {}
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        number, runs, loops = map(int, line.split())
        case = cases[number]
        key = (case["model"], case["media"], case["condition"])
        if key not in loaded:
            loaded[key] = calls_of(*key)
        print(json.dumps(measure(loaded[key][case["stage"]], runs, loops)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
