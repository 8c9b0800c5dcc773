"""Build reports with round numbers."""

from benchmarks.footprint import Imports
from benchmarks.latency import ModelReport, Timing, VariantReport
from benchmarks.machine import Machine
from benchmarks.report import Report
from benchmarks.server import Memory, ServerReport
from benchmarks.timing import Summary

MACHINE = Machine(
    cpu="Made-up <CPU>",
    cpus=2,
    dot_products=("avx512_vnni",),
    load_average=0.1,
    onnxruntime="1.31.1",
    numpy="2.4.6",
    opencv="5.0",
    python="3.11.7",
    allocator={},
)
SERVER = ServerReport(
    ready_s=1.0,
    at_start=Memory(resident_mb=100.0, peak_mb=110.0),
    used=Memory(resident_mb=200.0, peak_mb=300.0),
    used_at_once=Memory(resident_mb=220.0, peak_mb=400.0),
    clients=2,
)


def variant(name: str, *, median_ms: float, faster: float | None, served: bool) -> VariantReport:
    timings = tuple(
        Timing(threads, Summary(median_ms / threads, median_ms, 40), faster) for threads in (1, 2)
    )
    precision = "int8" if name == "int8" else "float"
    return VariantReport(name, precision, served, size_mb=2.0, timings=timings)


def model(name: str, *variants: VariantReport) -> ModelReport:
    return ModelReport(
        id=name,
        version=1,
        task="image-segmentation",
        weights="seeded",
        variants=variants,
        whole_path=Summary(120.0, 130.0, 40),
        load_ms=25.0,
    )


QUANTIZED = model(
    "background_u2netp",
    variant("int8", median_ms=100.0, faster=2.5, served=True),
    variant("float", median_ms=250.0, faster=1.0, served=False),
)
FLOAT = model("face_emotion_xception", variant("float", median_ms=0.444, faster=1.0, served=True))


def report(
    *models: ModelReport, imports: Imports | None = None, server: ServerReport = SERVER
) -> Report:
    return Report(
        measured_at="2026-11-20T12:00:00+00:00",
        quick=False,
        machine=MACHINE,
        imports=imports or Imports(seconds=0.3, frameworks=()),
        packages_mb={"numpy": 70.0, "onnxruntime": 60.0, "a": 5.0, "b": 6.0},
        server=server,
        models=models or (QUANTIZED, FLOAT),
    )
