"""Each conversion in a process of its own: torch and TensorFlow never meet, a crash stops one."""

import multiprocessing
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection

from convert.pipeline.inputs import read_recipe, resolve, source_to_fetch
from convert.pipeline.job import Inputs, Job, Outcome
from convert.pipeline.stages import recall_outcome, run_stages
from convert.quantize.search.status import SearchStatus
from convert.recipe import missing_module_advice
from convert.weights.download import Store
from runtime.engine.allocator import MOST_FREE_HEAP_BYTES, keep_free_heap, tune_allocator
from runtime.errors import SlipwayError

Progress = Callable[[str, str | SearchStatus], None]  # model id; stage, or state of the search


@dataclass(frozen=True, slots=True)
class _Refusal:
    """The reason why a conversion stopped, as it crosses the pipe."""

    reason: str


def run(jobs: Sequence[Job], progress: Progress, store: Store | None = None) -> list[Outcome]:
    """Run jobs one after the other: two at once would falsify each other's timings.

    Published weights are downloaded here, not in the processes: a host that does not answer costs
    one wait in a run. A refused model does not stop the next one; the caller decides the exit code.

    Args:
        jobs: the conversions.
        progress: called with a model's id and the name of each of its stages, and with the state of
            its search for an INT8 graph.
        store: downloads published weights; None: only local files are used.
    """
    if store is not None:
        sources = [source_to_fetch(job) for job in jobs]
        store.probe(source for source in sources if source is not None)
    return [_run(job, progress, store) for job in jobs]


def _run(job: Job, progress: Progress, store: Store | None) -> Outcome:
    start = time.perf_counter()
    model_id = job.recipe_file.id
    try:
        inputs = resolve(job, store.fetch if store else None)
        # asked here: starting a process takes longer than the answer
        earlier = recall_outcome(inputs)
    except SlipwayError as error:
        return _refused(model_id, str(error), start)
    if inputs.weights.fallback_reason:
        progress(model_id, f"seeded weights ({inputs.weights.fallback_reason})")
    return earlier or _run_process(inputs, progress)


def _run_process(inputs: Inputs, progress: Progress) -> Outcome:
    start = time.perf_counter()
    # spawn: TensorFlow and onnxruntime do not survive a fork
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(inputs, sender))
    process.start()
    sender.close()
    try:
        while True:
            message = receiver.recv()
            if isinstance(message, Outcome):
                return message
            if isinstance(message, _Refusal):
                return _refused(inputs.model_id, message.reason, start)
            progress(inputs.model_id, message)
    except EOFError:
        process.join()
        reason = (
            f"its process died (exit code {process.exitcode}): out of memory, or a native crash"
        )
        return _refused(inputs.model_id, reason, start)
    finally:
        if process.is_alive():
            process.join(timeout=10)
        if process.is_alive():
            process.terminate()
            process.join()


def _refused(model_id: str, reason: str, start: float) -> Outcome:
    return Outcome(model_id, "refused", reason, time.perf_counter() - start)


def _child(inputs: Inputs, sender: Connection) -> None:
    # as a server with memory enough: timings decide what is packaged
    tune_allocator()
    keep_free_heap(MOST_FREE_HEAP_BYTES)
    try:
        sender.send(run_stages(inputs, read_recipe(inputs), sender.send))
    except SlipwayError as error:
        sender.send(_Refusal(str(error)))
    except BrokenPipeError:
        pass  # the parent is gone, and the scratch directory has been removed
    except OSError as error:
        sender.send(_Refusal(f"{error.filename or inputs.out}: {error.strerror or error}"))
    except KeyboardInterrupt:
        pass  # the terminal interrupts both processes; the parent reports it
    except Exception as error:  # a recipe's own code, or a framework's
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{place.filename}:{place.lineno}"
        # messages of onnxruntime and TensorFlow run over many lines
        message = f"{type(error).__name__}: {' '.join(str(error).split())} ({where})"
        sender.send(_Refusal(message + missing_module_advice(error)))
