"""The conversion report: its facts of each model; no text of a checkpoint becomes markup."""

import json
from collections.abc import Mapping
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from convert.commands import report
from convert.fidelity.meanings import MEANINGS
from convert.metrics import METRICS
from runtime.artifact import schema
from runtime.artifact.manifest import (
    MANIFEST,
    SCHEMA_VERSION,
    File,
    Manifest,
    Resize,
    SimilarityScale,
    Spec,
    TensorSpec,
    Variant,
    Weights,
)
from tests.convert.support.command_line import succeed

VOID = {"meta", "rect"}
HOSTILE = (
    """</bdi><script>alert(1)</script><img src="http://evil.test/x" onerror='x'>&amp;\0\u202e"""
)


class Page(HTMLParser):
    """The elements and words of a page; making one checks that all elements are closed in order."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.heads: list[str] = []  # of columns
        self._open: list[str] = []
        self.feed(markup)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(attrs) == len(dict(attrs)), (tag, attrs)
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        if self.elements and self.elements[-1] == ("th", {"scope": "col", "role": "columnheader"}):
            self.heads += [data.strip()] if self._open[-1] == "th" else []

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.elements)


def variant(
    name: Any, size_bytes: int, milliseconds: float, cosine: float, cpus: tuple[str, ...] = ()
) -> Variant:
    verification: Mapping[str, Any] = {
        "inputs": 16,
        "inputs_source": "synthetic",
        "judged": True,
        "fidelity": {"cosine_mean": cosine},
        "milliseconds": milliseconds,
    }
    precision: Any = name.removesuffix("-7bit")
    file = File(f"{name}.onnx", "a", size_bytes)
    return Variant(name, precision, (file,), cpus, verification, True)


def manifest(model_id: str = "net", version: int = 1, **fields: Any) -> Manifest:
    spec = Spec(
        schema_version=SCHEMA_VERSION,
        id=model_id,
        task="image-feature-extraction",
        description="Where it is",
        labels=(),
        inputs=(TensorSpec("image", "uint8", ("N", 8, 8, 3)),),
        outputs=(TensorSpec("embedding", "float32", ("N", 4)),),
        preprocess=(Resize("linear", height=8, width=8),),
        licence="MIT",
    )
    rejected = {
        "name": "layers only", "fidelity": {"cosine_mean": 0.5}, "milliseconds": 9.0,
        "size_bytes": 500_000, "objections": ["cosine_mean 0.5000 < 0.98"],
    }  # fmt: skip
    plain = Manifest(
        schema_version=SCHEMA_VERSION,
        id=model_id,
        version=version,
        digest="d1",
        spec=spec,
        variants=(variant("int8", 1_000_000, 2.0, 0.99), variant("float", 4_000_000, 5.0, 1.0)),
        golden=File("golden.npz", "b", 100),
        weights=Weights("pretrained", "net.pth", "c"),
        recipe_sha256="r",
        calibration="synthetic",
        choice={"precision": "int8", "reason": "INT8 of all operators"},
        candidates=({"name": "float", "milliseconds": 5.1, "size_bytes": 4_000_000}, rejected),
        parity={"max_abs_difference_batch_1": 2e-6, "max_abs_difference_batch_3": 3e-5},
        tools={},
        onnxruntime_minimum="1.18.0",
    )
    return replace(plain, **fields)


def write(out: Path, content: Manifest) -> None:
    directory = out / content.id / str(content.version)
    directory.mkdir(parents=True)
    (directory / MANIFEST).write_text(json.dumps(schema.to_json(content)), encoding="utf-8")


def publish(out: Path, *refused: report.Refused) -> tuple[Page, dict[str, Any]]:
    path = report.publish(out, refused)
    assert path == out / "report.html"
    data = json.loads((out / "report.json").read_text(encoding="utf-8"), parse_constant=pytest.fail)
    return Page(path.read_text(encoding="utf-8")), data


def test_every_model_has_its_row_and_its_numbers(tmp_path: Path) -> None:
    write(tmp_path, manifest("first"))
    write(tmp_path, manifest("second", version=1))
    float_alone = (variant("float", 4_000_000, 5.0, 1.0),)
    write(tmp_path, manifest("second", version=2, variants=float_alone))
    (tmp_path / "README.md").write_text("no model")
    (tmp_path / "half_written" / "1").mkdir(parents=True)
    page, data = publish(tmp_path)
    assert [(model["id"], model["version"]) for model in data["models"]] == [
        ("first", 1),
        ("second", 2),
    ]
    first, second = data["models"]
    assert first["parity"] == 3e-5
    assert first["fidelity"] == {"cosine_mean": 0.99}
    assert (first["before"]["size_bytes"], first["after"]["size_bytes"]) == (4_000_000, 1_000_000)
    assert (first["before"]["milliseconds"], first["after"]["milliseconds"]) == (5.0, 2.0)
    assert (second["precision"], second["before"]) == ("float", second["after"])
    assert first["candidates"][1]["objections"] == ["cosine_mean 0.5000 < 0.98"]
    for text in ("0.25 x the size", "2.50 x as fast", "3e-05", "net.pth", "MIT", "INT8 1.00 MB"):
        assert text in page.text
    assert page.text.count("x as fast") == 1  # the float model has no ratio
    assert page.text.startswith("Slipway: conversion report")
    assert "2 models, 1 served in INT8. Weights: 2 pretrained." in page.text


def test_every_variant_is_listed_with_the_cpus_it_is_for(tmp_path: Path) -> None:
    three = (
        variant("int8", 1_000_000, 2.0, 0.99, ("avx512_vnni", "asimddp")),
        variant("int8-7bit", 1_100_000, 2.5, 0.985, ("avx2",)),
        variant("float", 4_000_000, 5.0, 1.0),
    )
    choice = {"precision": "int8", "reason": "INT8 of all operators", "seven_bits": "packaged"}
    write(tmp_path, manifest(variants=three, choice=choice))
    page, data = publish(tmp_path)
    (model,) = data["models"]
    assert [variant["name"] for variant in model["variants"]] == ["int8", "int8-7bit", "float"]
    assert model["variants"][0] == model["after"]
    assert model["variants"][1] == {
        "name": "int8-7bit", "precision": "int8", "size_bytes": 1_100_000, "milliseconds": 2.5,
        "cpu_features": ["avx2"], "fidelity": {"cosine_mean": 0.985}, "batch_milliseconds": {},
    }  # fmt: skip
    assert model["seven_bits"] == "packaged"
    for text in (
        "INT8 , for CPUs with avx512_vnni, asimddp: 1.00 MB, 2.00 ms cosine_mean 0.9900",
        "INT8-7bit , for CPUs with avx2: 1.10 MB, 2.50 ms cosine_mean 0.9850",
        "float , for any CPU: 4.00 MB, 5.00 ms",
    ):
        assert text in page.text
    assert "Weights in 7 bits" not in page.text
    labels = [attributes.get("aria-label") for tag, attributes in page.elements if tag == "svg"]
    assert "Size: float 4.00 MB; INT8 1.00 MB; INT8-7bit 1.10 MB" in labels
    assert "Latency: float 5.00 ms; INT8 2.00 ms; INT8-7bit 2.50 ms" in labels


def test_the_cost_of_a_row_in_a_batch_is_shown(tmp_path: Path) -> None:
    plain = variant("float", 4_000_000, 5.0, 1.0)
    times = {"batch_milliseconds": {"1": 5.0, "2": 8.0, "16": 40.0}}
    timed = replace(plain, verification={**plain.verification, **times})
    write(tmp_path, manifest(variants=(timed,)))
    page, data = publish(tmp_path)
    assert "a row in a batch costs, of what it costs alone: 0.80 in 2, 0.50 in 16" in page.text
    assert data["models"][0]["after"]["batch_milliseconds"] == times["batch_milliseconds"]


def test_the_variant_for_gpus_is_a_remark_and_no_bar(tmp_path: Path) -> None:
    half = replace(variant("fp16", 2_000_000, 0.0, 0.999), providers=("cuda",))
    verification = {k: v for k, v in half.verification.items() if k != "milliseconds"}
    both = (
        variant("float", 4_000_000, 5.0, 1.0),
        replace(half, precision="float16", verification=verification),
    )
    choice = {"precision": "float", "reason": "slower", "float16": "packaged; speed unverified"}
    write(tmp_path, manifest(variants=both, choice=choice))
    page, data = publish(tmp_path)
    (model,) = data["models"]
    assert [entry["name"] for entry in model["variants"]] == ["float"]
    assert model["before"] == model["after"]
    assert model["float16"] == "packaged; speed unverified"
    assert "float16 for GPUs: packaged; speed unverified" in page.text


def test_missing_variant_with_7_bit_weights_is_explained(tmp_path: Path) -> None:
    reason = "not packaged: int8-7bit: cosine_mean 0.9500 < 0.98"
    choice = {"precision": "int8", "reason": "INT8 of all operators", "seven_bits": reason}
    write(tmp_path, manifest(choice=choice))
    page, data = publish(tmp_path)
    assert data["models"][0]["seven_bits"] == reason
    assert f"Weights in 7 bits: {reason}" in page.text


def test_similarity_scale_and_the_scores_of_the_pairs(tmp_path: Path) -> None:
    content = manifest()
    scale = SimilarityScale((-1.0, 0.25, 0.5, 1.0), (0.0, 0.3, 0.7, 1.0), "sha256:abc")
    of_similar = {
        "pairs": 4, "cosine_min": 0.5, "cosine_max": 0.7, "score_min": 0.7, "score_max": 0.82,
        "within": 0.75,
    }  # fmt: skip
    pairs = {"identical": {"pairs": 0}, "similar": of_similar}
    int8, plain = content.variants
    scored = replace(int8, verification={**int8.verification, "similarity": pairs})
    spec = replace(content.spec, similarity=scale)
    write(tmp_path, replace(content, spec=spec, variants=(scored, plain)))
    page, data = publish(tmp_path)
    (model,) = data["models"]
    assert model["similarity"] == {
        "cosines": [-1.0, 0.25, 0.5, 1.0], "scores": [0.0, 0.3, 0.7, 1.0], "pairs": "sha256:abc",
    }  # fmt: skip
    assert model["pairs"]["similar"] == of_similar
    for text in (
        "cosine -1.000 to score 0.000, cosine 0.250 to score 0.300, cosine 0.500 to score 0.700",
        "similar: 0.700 to 0.820, 75% of 4 pairs within their band",
        "Fitted to the labelled pairs sha256:abc",
    ):
        assert text in page.text
    assert "identical:" not in page.text


def test_model_without_a_scale_has_no_similarity(tmp_path: Path) -> None:
    write(tmp_path, manifest())
    page, data = publish(tmp_path)
    assert (data["models"][0]["similarity"], data["models"][0]["pairs"]) == (None, {})
    assert "Similarity score" not in page.text


@pytest.mark.parametrize(
    ("objections", "why"),
    [
        (["mae 0.0080 > 0.006"], "mae 0.0080 > 0.006"),
        ([], "it keeps its tolerance, by mae 0.0031"),
    ],
)
def test_reason_for_float_layers_also_if_int8_meets_the_tolerance(
    objections: list[str], why: str, tmp_path: Path
) -> None:
    refined = {"ranges": "minmax", "corrected": True, "equalised": False}
    choice = {
        "precision": "int8", "operators": "all operators", "reason": "INT8 of all operators",
        "float_nodes": ["net/1"], "reduce_range": True, "stored": True, **refined,
    }  # fmt: skip
    candidate = {
        "name": "all operators, minmax ranges, corrected", "searched": True, "float_nodes": 0,
        "fidelity": {"mae": 0.0031}, "milliseconds": 1.0, "size_bytes": 1, "reduce_range": False,
        "stored": False, "objections": objections, **refined,
    }  # fmt: skip
    plain = {"name": "float", "milliseconds": 5.1, "size_bytes": 4_000_000}
    write(tmp_path, manifest(choice=choice, candidates=(plain, candidate)))
    _, data = publish(tmp_path)
    (model,) = data["models"]
    assert model["float_reason"] == why


def test_tables_are_complete_and_have_headers(tmp_path: Path) -> None:
    write(tmp_path, manifest())
    page, _ = publish(tmp_path)
    rows: list[int] = []
    for tag, attributes in page.elements:
        if tag == "tr":
            rows.append(0)
        if tag in ("th", "td"):
            rows[-1] += int(attributes.get("colspan") or 1)
        if tag == "th":
            assert attributes["scope"] in ("row", "col")
        if tag == "svg":
            assert attributes["role"] == "img"
            assert attributes["aria-label"]
    assert rows == [9, 9, 9, 6, 6, 6]  # heads, model, more; heads, candidates
    cells = [
        attributes["data-label"] for _, attributes in page.elements if "data-label" in attributes
    ]
    heads = [name for name in page.heads if name not in ("Model", "Candidate")]
    assert cells == [*heads[:8], *heads[8:], *heads[8:]]  # one model, two candidates
    assert page.count("caption") == 1
    assert ("html", {"lang": "en"}) in page.elements


def test_text_of_a_checkpoint_stays_text(tmp_path: Path) -> None:
    write(tmp_path, manifest())
    plain, _ = publish(tmp_path)
    hostile = manifest()
    spec = replace(hostile.spec, licence=HOSTILE, description=HOSTILE)
    weights = Weights("pretrained", HOSTILE, "c")
    choice = {"reason": HOSTILE}
    (tmp_path / "net" / "1" / MANIFEST).unlink()
    (tmp_path / "net" / "1").rmdir()
    write(tmp_path, replace(hostile, spec=spec, weights=weights, choice=choice))
    page, data = publish(tmp_path)
    assert [tag for tag, _ in page.elements] == [tag for tag, _ in plain.elements]
    assert page.text.count("<script>alert(1)</script>") == 4
    assert "\0" not in page.text
    assert data["models"][0]["licence"] == HOSTILE


def test_labels_and_refusals_are_escaped_too(tmp_path: Path) -> None:
    labels = (HOSTILE, "\ud800", *(f"class {i}" for i in range(50)))
    content = manifest()
    write(tmp_path, replace(content, spec=replace(content.spec, labels=labels)))
    page, _ = publish(tmp_path, report.Refused("other", f"other: {HOSTILE}", 1.0))
    assert page.count("script") == page.count("img") == 0
    assert "and 12 more" in page.text
    assert "Refused in the last run other : </bdi><script>" in page.text


def test_page_runs_and_loads_nothing(tmp_path: Path) -> None:
    address = "https://host.test/net.pth"
    write(tmp_path, manifest(weights=Weights("pretrained", address, "c")))
    page, _ = publish(tmp_path)
    assert page.count("script") == page.count("img") == page.count("link") == 0
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on") or name == "src"]
        if "href" in attributes:
            assert (tag, attributes["href"]) == ("a", address)
    assert page.count("a") == 1
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "url(" not in html
    assert "@import" not in html


@pytest.mark.parametrize("source", ["javascript:alert(1)", "http://x.test", "https://a.test b"])
def test_only_https_sources_are_links(tmp_path: Path, source: str) -> None:
    write(tmp_path, manifest(weights=Weights("pretrained", source, "c")))
    page, _ = publish(tmp_path)
    assert page.count("a") == 0
    assert source in page.text


def test_origin_of_weights_is_stated_in_words(tmp_path: Path) -> None:
    unjudged = replace(
        (int8 := variant("int8", 1, 1.0, 0.4)), verification={**int8.verification, "judged": False}
    )
    texts = {}
    for origin in ("pretrained", "seeded", "synthetic"):
        out = tmp_path / origin
        variants = (unjudged if origin == "seeded" else int8, variant("float", 1, 1.0, 1.0))
        weights = Weights(origin, "somewhere", "c")
        write(out, manifest(weights=weights, variants=variants))
        page, data = publish(out)
        assert data["models"][0]["weights"]["origin"] == origin
        assert data["models"][0]["judged"] == (origin != "seeded")
        texts[origin] = page.text
    untrained, synthetic = "the answers mean nothing", "Trained on synthetic samples"
    reported = "Reported only: the weights are untrained"
    assert [origin for origin in texts if untrained in texts[origin]] == ["seeded"]
    assert [origin for origin in texts if reported in texts[origin]] == ["seeded"]
    assert [origin for origin in texts if synthetic in texts[origin]] == ["synthetic"]


def test_seconds_are_of_the_same_version_and_digest(tmp_path: Path) -> None:
    write(tmp_path, manifest())
    publish(tmp_path)
    conversion = report.Conversion(1, "d1", 83.4, "2026-11-20T10:00:00+00:00")
    report.record_conversion(tmp_path, "net", conversion)
    page, data = publish(tmp_path)
    assert data["models"][0]["seconds"] == 83.4
    assert data["models"][0]["converted_at"] == conversion.at
    assert "83 s 2026-11-20" in page.text
    for other in (replace(conversion, digest="d2"), replace(conversion, version=2)):
        report.record_conversion(tmp_path, "net", other)
        page, data = publish(tmp_path)
        assert data["models"][0]["seconds"] is None
        assert "not known" in page.text
    (tmp_path / ".work/net.made.json").write_text('{"version": null}')
    assert publish(tmp_path)[1]["models"][0]["seconds"] is None


def test_unreadable_model_does_not_hide_the_others(tmp_path: Path) -> None:
    write(tmp_path, manifest("good"))
    write(tmp_path, manifest("newer", schema_version=2))
    int8, plain = manifest().variants
    write(tmp_path, manifest("unmeasured", variants=(replace(int8, verification={}), plain)))
    page, data = publish(tmp_path)
    assert [model["id"] for model in data["models"]] == ["good"]
    assert [model["id"] for model in data["unreadable"]] == ["newer", "unmeasured"]
    assert "schema_version" in data["unreadable"][0]["reason"]
    assert "KeyError('milliseconds')" in data["unreadable"][1]["reason"]
    assert "Cannot be read newer" in page.text


def test_refused_models_are_of_the_last_run(tmp_path: Path) -> None:
    write(tmp_path, manifest())
    page, data = publish(tmp_path, report.Refused("other", "other: no weights", 0.5))
    assert data["refused"] == [{"id": "other", "reason": "other: no weights", "seconds": 0.5}]
    assert "other : no weights" in page.text
    page, data = publish(tmp_path)
    assert data["refused"] == []
    assert "Refused" not in page.text


def test_values_that_are_not_finite_are_null(tmp_path: Path) -> None:
    nan = variant("int8", 1, 1.0, float("nan"))
    write(tmp_path, manifest(variants=(nan, variant("float", 1, 0.0, 1.0))))
    page, data = publish(tmp_path)
    assert data["models"][0]["fidelity"] == {"cosine_mean": None}
    assert "cosine_mean nan" in page.text


def test_empty_directory_has_a_report(tmp_path: Path) -> None:
    page, data = publish(tmp_path / "out")
    assert data == {"schema_version": 1, "models": [], "refused": [], "unreadable": []}
    assert "No model has been packaged yet." in page.text


def test_equal_facts_make_equal_files_and_a_failure_keeps_the_earlier_ones(
    tmp_path: Path,
) -> None:
    write(tmp_path, manifest())
    publish(tmp_path)
    before = {name: (tmp_path / name).read_bytes() for name in ("report.html", "report.json")}
    publish(tmp_path)
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
    (tmp_path / ".work/report.html.tmp").mkdir()  # a disk that takes no second file
    with pytest.raises(OSError, match=r"report\.html\.tmp"):
        publish(tmp_path, report.Refused("other", "no weights", 0.5))
    assert {name: (tmp_path / name).read_bytes() for name in before} == before


def test_bars_are_proportional_to_their_values(tmp_path: Path) -> None:
    variants = (variant("int8", 1_000_000, 2.0, 0.99), variant("float", 4_000_000, 8.0, 1.0))
    write(tmp_path, manifest(variants=variants, candidates=()))
    page, _ = publish(tmp_path)
    bars = [attributes for tag, attributes in page.elements if tag == "rect"]
    assert [float(bar["width"] or 0) for bar in bars] == [126, 126 / 4] * 2
    assert [bar["class"] for bar in bars] == ["float", "quantized"] * 2
    labels = [attributes["aria-label"] for tag, attributes in page.elements if tag == "svg"]
    assert labels == [
        "Size: float 4.00 MB; INT8 1.00 MB",
        "Latency: float 8.00 ms; INT8 2.00 ms",
    ]


def test_every_metric_is_explained() -> None:
    assert set(METRICS) == set(MEANINGS)


def test_a_run_writes_the_report_and_a_second_one_keeps_the_seconds(
    tiny_recipe: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    arguments = ("--recipe", tiny_recipe, "--weights", "seeded", "--precision", "float")
    printed = succeed(*arguments, "--out", out, directory=tmp_path)
    assert printed.rstrip().endswith(f"report: {out / 'report.html'}")
    before = {name: (out / name).read_bytes() for name in ("report.html", "report.json")}
    (model,) = json.loads(before["report.json"])["models"]
    assert model["id"] == tiny_recipe.stem
    assert model["seconds"] > 0
    assert model["converted_at"].endswith("+00:00")
    succeed(*arguments, "--out", out, directory=tmp_path)
    assert {name: (out / name).read_bytes() for name in before} == before
