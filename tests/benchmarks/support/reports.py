"""Build a report with round numbers: every section, as its JSON."""

import json
from typing import Any

import jsonschema_rs

from benchmarks.schema.document import SCHEMA

Json = dict[str, Any]
MODEL = "background_u2netp"

CONDITIONS: Json = {
    "measured_at": "2026-11-20T12:00:00+00:00",
    "seconds": 300.0,
    "quick": False,
    "busy": False,
    "machine": {
        "cpu": "Made-up <CPU>", "cpus": 2, "cpu_flags": ["avx512_vnni", "fpu"],
        "dot_products": ["avx512_vnni"], "memory_mb": 8000.0, "system": "Linux 6.1",
        "allocator": {},
    },
    "versions": {"python": "3.11.7", "onnxruntime": "1.31.1"},
    "git": {"commit": "0123456789abcdef0123456789abcdef01234567", "dirty": False},
    "load_average": {"start": 0.1, "end": 2.0},
    "others_cpu": 0.01,
}  # fmt: skip


def validator() -> jsonschema_rs.Draft202012Validator:
    """Return the validator of the JSON Schema."""
    return jsonschema_rs.Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))


def spread(median_ms: float, *, p95_ms: float | None = None) -> Json:
    """Return a spread around a median."""
    return {
        "minimum_ms": median_ms * 0.8, "p25_ms": median_ms * 0.9, "median_ms": median_ms,
        "p75_ms": median_ms * 1.1, "p95_ms": p95_ms or median_ms * 1.5, "runs": 40,
    }  # fmt: skip


def variant(name: str, *, median_ms: float, faster: float | None, served: bool) -> Json:
    """Return a variant of 2 MB that is twice as fast with two threads."""
    return {
        "name": name,
        "precision": "int8" if name.startswith("int8") else "float",
        "served": served,
        "size_mb": 2.0 if name.startswith("int8") else 8.0,
        "timings": [
            {"threads": n, "latency": spread(median_ms / n), "times_faster": faster} for n in (1, 2)
        ],
        "fidelity": {
            "metrics": {"iou_mean": 0.99 if name.startswith("int8") else 1.0, "mae": None},
            "inputs": 16,
            "inputs_source": "synthetic",
            "golden_cosine": 0.9987,
        },
    }


def model(name: str, *variants: Json) -> Json:
    """Return a model with seeded weights."""
    return {
        "id": name, "version": 1, "task": "image-segmentation", "weights": "seeded",
        "variants": list(variants), "whole_path": spread(120.0), "load_ms": 25.0,
    }  # fmt: skip


def http(name: str, clients: int, *, bare: bool = True) -> Json:
    """Return the answers of one model and number of clients."""
    rate = {"minimum": 80.0, "median": 90.0, "maximum": 95.0, "turns": 3}
    return {
        "model": name, "file_bytes": 1000, "workers": 1, "clients": clients,
        "server_per_s": rate,
        "bare_per_s": {**rate, "median": 100.0} if bare else None, "ratio": 0.9 if bare else None,
        "p50_ms": 11.0, "p95_ms": 15.0, "p99_ms": 19.0,
        "cpu_ms": 20.0, "extra_cpu_ms": 1.5 if bare else None,
    }  # fmt: skip


def state(name: str, rss_mb: float) -> Json:
    """Return a state of the server's memory."""
    return {
        "name": name, "anonymous_mb": rss_mb - 60, "peak_mb": rss_mb - 50, "pss_mb": rss_mb - 20,
        "rss_mb": rss_mb,
    }  # fmt: skip


def suite(*models: Json) -> Json:
    """Return the section "suite": an INT8 segmenter and a float classifier unless told others."""
    models = models or (
        model(
            MODEL,
            variant("int8", median_ms=100.0, faster=2.5, served=True),
            variant("float", median_ms=250.0, faster=1.0, served=False),
        ),
        model(
            "face_emotion_xception",
            variant("float", median_ms=0.444, faster=1.0, served=True),
        ),
    )
    memory = {"resident_mb": 200.0, "peak_mb": 300.0}
    return {
        "conditions": CONDITIONS,
        "checks": [
            {"name": "server ready after", "value": 3.0, "limit": 2.0, "unit": "s",
             "passed": False},
        ],
        "imports": {"seconds": 0.3, "frameworks": []},
        "packages_mb": {"numpy": 70.0, "onnxruntime": 60.0, "a": 5.0, "b": 6.0},
        "server": {
            "models": [one["id"] for one in models], "listening_s": 0.5, "ready_s": 1.0,
            "at_start": memory, "used": memory, "used_at_once": memory, "clients": 2,
        },
        "models": list(models),
        "memory": {
            "states": [
                *(state(f"{one['id']}, {kind}", mb) for one in models
                  for kind, mb in (("ready", 100.0), ("asked", 150.0))),
                *(state(f"3 models, {kind}", 209.0) for kind in ("ready", "each asked")),
            ],
            "timeline": {
                "points": [{"seconds": n / 10, "anonymous_mb": 60.0 + n} for n in range(30)],
                "events": [{"seconds": 1.0, "name": "ready"}, {"seconds": 2.9, "name": "rest"}],
            },
        },
        "http": [
            *(http(models[0]["id"], count) for count in (1, 8)),
            *(http(one["id"], 8, bare=False) for one in models[1:]),
        ],
    }  # fmt: skip


def original(engine: str, *, median_ms: float | None, error: str | None = None) -> Json:
    """Return a row of an original framework."""
    unknown = median_ms is None
    return {
        "model": MODEL, "engine": engine, "version": "2.0", "threads": 1,
        "latency": None if unknown else spread(median_ms or 0.0),
        "import_seconds": None if unknown else 2.0, "load_seconds": 1.0, "compile_seconds": None,
        "memory_mb": None if unknown else 700.0, "peak_mb": 800.0, "golden_cosine": 1.0,
        "error": error,
    }  # fmt: skip


def peer(name: str, *, rate: float | None, error: str | None = None) -> Json:
    """Return a row of another server."""
    return {
        "peer": name, "version": "1.2", "model": MODEL, "settings": {"workers": "2"},
        "concurrency": 8, "turns": 3,
        "requests_per_second": rate, "requests_per_second_minimum": rate and rate - 5,
        "requests_per_second_maximum": rate and rate + 5,
        "p50_ms": 10.0, "p95_ms": 12.0, "p99_ms": 14.0, "cpu_seconds_per_request": 0.02,
        "memory_mb": 400.0, "cold_start_seconds": 3.0, "installed_mb": 900.0,
        "verified": error is None, "answer": "cosine 1.0000", "error": error,
    }  # fmt: skip


def report() -> Json:
    """Return a report with every section, valid by the schema."""
    engine = {
        "engine": "OpenVINO", "version": "2026.4", "model": MODEL, "precision": "int8",
        "threads": 1, "latency": spread(90.0), "times_ours": 1.11,
        "fidelity": {"iou_mean": 0.64}, "golden_cosine": 0.7, "size_mb": 2.0, "memory_mb": 90.0,
        "installed_mb": 300.0, "error": None,
    }  # fmt: skip
    limit = {
        "models": [MODEL], "memory_mib": 512, "cpus": 0.5, "settings": {}, "clients": 1,
        "ready_seconds": 1.0, "memory_mb": 100.0, "peak_mb": 120.0, "requests_per_second": 3.0,
        "p50_ms": 210.0, "p99_ms": 300.0, "answered": 10, "refused": 0, "outcome": "served",
        "detail": "",
    }  # fmt: skip
    line = {"slope": 2.0, "slope_error": 0.1, "intercept": 1.0}
    points = [{"size": n, "value": 1.0 + 2 * n} for n in (1, 2, 4)]
    return {
        "schema_version": 1,
        "suite": suite(),
        "originals": {
            "conditions": CONDITIONS,
            "rows": [
                original("torch", median_ms=300.0),
                original("torch.compile", median_ms=None, error="no compiler"),
                original("slipway", median_ms=100.0),
            ],
            "installed_mb": {"torch": 800.0},
        },
        "scaling": {
            "conditions": CONDITIONS,
            "series": [
                {"quantity": "clients", "function": "server", "value": "p50 ms", "points": points,
                 **line},
                {"quantity": "threads", "function": "graph", "value": "runs/s",
                 "points": points[:1], "slope": None, "slope_error": None, "intercept": None},
            ],
        },
        "peers": {
            "conditions": CONDITIONS,
            "bare_loop": [{"model": MODEL, "threads": 2, "requests_per_second": 100.0,
                           "cpu_seconds_per_request": 0.019}],
            "servers": [peer("slipway", rate=90.0), peer("Other", rate=95.0),
                        peer("Third", rate=None, error="not installed")],
            "verdicts": [{"model": MODEL, "concurrency": 8, "peer": "Other", "own": "slipway",
                          "rounds": 5, "ratio": 1.05, "ratio_minimum": 1.01,
                          "ratio_maximum": 1.1, "verdict": "faster"}],
            "shares": [{"model": MODEL, "concurrency": 8, "peer": "slipway",
                        "limit": "bare loop", "share": 0.9, "share_minimum": 0.8,
                        "share_maximum": 0.95}],
            "engines": [engine],
            "notes": ["Other is faster with 8 clients."],
        },
        "limits": {"conditions": CONDITIONS, "rows": [limit]},
    }  # fmt: skip
