"""Load versions within the memory that there is, and measure what each one costs."""

from dataclasses import dataclass, replace

from runtime import Model
from runtime.engine.allocator import free_heap_bytes, keep_free_heap
from runtime.engine.resources import peak_memory_mib
from serve.repository.load_version import Load
from serve.repository.memory.keeper import MemoryKeeper
from serve.repository.memory.measure import measured
from serve.repository.scan import Version

WAIT_S = 10.0  # for running requests to end, if they have the memory


@dataclass(frozen=True, slots=True)
class MeasuredLoad:
    """Loads one version at a time."""

    load: Load
    memory: MemoryKeeper

    def __call__(self, version: Version) -> Model:
        """Make room, load a version, and put its cost into the ledger.

        Raises:
            ArtifactError: the version is refused.
            UnavailableError: there is no room for it.
        """
        memory, manifest = self.memory, version.manifest
        key = f"{manifest.id}/{manifest.version}"
        graph, *data = manifest.variants[0].files
        mapped_bytes = sum(file.size_bytes for file in data)
        need_bytes = memory.ledger.load_bytes(key, graph.size_bytes, mapped_bytes)
        with memory.room(need_bytes, f"loading {key}", wait_s=WAIT_S):
            memory.ledger.note_peak(peak_memory_mib())  # the measurement begins it anew
            begun, others = memory.begun, memory.holders - 1
            model, cost = measured(lambda: self.load(version))
            alone = not others and memory.begun == begun
            memory.ledger.record(key, replace(cost, alone=alone))
            allowed_bytes = min((limit.allowed_bytes for limit in memory.limits), default=None)
            keep_free_heap(free_heap_bytes(memory.ledger.largest_run_bytes, allowed_bytes))
        return model
