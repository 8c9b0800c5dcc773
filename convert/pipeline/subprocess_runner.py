"""Jobs in processes of their own: torch and TensorFlow never meet, a crash stops one model only."""

import multiprocessing
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection

from convert import recipe
from convert.pipeline.stages import Job, Outcome, convert, unchanged
from convert.sources import AnySource
from convert.weights import resolve as weights
from convert.weights.download import Store
from runtime.engine.allocator import tune_allocator
from runtime.errors import SlipwayError

Progress = Callable[[str, str], None]  # model id, stage


def run(jobs: Sequence[Job], progress: Progress, store: Store | None = None) -> list[Outcome]:
    """Run jobs one after the other: two at once would falsify each other's timings.

    Published weights are fetched here, not in the processes: a host that does not answer costs one
    wait in a run. A refused model does not stop the next one; the caller decides the exit code.

    Args:
        jobs: what to convert.
        progress: told each model's stages.
        store: fetches published weights; None: only what the user gave or placed counts.
    """
    if store is not None:
        store.probe(source for job in jobs if (source := _missing(job)) is not None)
    return [_with_weights(job, progress, store) for job in jobs]


def _missing(job: Job) -> AnySource | None:
    return weights.missing(recipe.read(job.recipe_path), job.weights, job.checkpoint)


def _with_weights(job: Job, progress: Progress, store: Store | None) -> Outcome:
    start = time.perf_counter()
    fetch = store.fetch if store else None
    try:
        recipe_file = recipe.read(job.recipe_path)
        found = weights.find(recipe_file, job.weights, job.checkpoint, job.labels, fetch)
        job = replace(job, found=found)
        before = unchanged(job)  # asked here: a process takes longer to start than this to tell
    except SlipwayError as error:
        return _refused(job.recipe_path.stem, str(error), start)
    if found.note:
        progress(job.recipe_path.stem, f"seeded weights ({found.note})")
    return before or _run_one(job, progress)


def _run_one(job: Job, progress: Progress) -> Outcome:
    start = time.perf_counter()
    model_id = job.recipe_path.stem
    # spawn: TensorFlow and onnxruntime do not survive a fork
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(job, sender))
    process.start()
    sender.close()
    try:
        while True:
            message = receiver.recv()
            if isinstance(message, Outcome):
                return message
            if isinstance(message, _Refusal):
                return _refused(model_id, message.reason, start)
            progress(model_id, message)
    except EOFError:
        process.join()
        reason = (
            f"its process died (exit code {process.exitcode}): out of memory, or a native crash"
        )
        return _refused(model_id, reason, start)
    finally:
        if process.is_alive():
            process.join(timeout=10)
        if process.is_alive():
            process.terminate()
            process.join()


class _Refusal:
    """Why a job stopped, as it crosses the pipe."""

    def __init__(self, reason: str) -> None:
        self.reason = reason


def _refused(model_id: str, reason: str, start: float) -> Outcome:
    return Outcome(model_id, "refused", reason, time.perf_counter() - start)


def _child(job: Job, sender: Connection) -> None:
    tune_allocator()  # as the server: timings decide what is packaged
    try:
        sender.send(convert(job, sender.send))
    except SlipwayError as error:
        sender.send(_Refusal(str(error)))
    except BrokenPipeError:
        pass  # whoever asked is gone, and what was half done has been removed
    except OSError as error:
        sender.send(_Refusal(f"{error.filename or job.out}: {error.strerror or error}"))
    except KeyboardInterrupt:
        pass  # the terminal interrupts both processes; the parent tells
    except Exception as error:  # a recipe's own code, or a framework's
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{place.filename}:{place.lineno}"
        told = " ".join(str(error).split())  # onnxruntime's and TensorFlow's run over many lines
        sender.send(_Refusal(f"{type(error).__name__}: {told} ({where})"))
