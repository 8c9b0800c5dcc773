"""Draw the latencies of a report as the picture of the README: float and served, one thread.

The shapes and texts lie on a card with its own background, so that they are legible on a page of
any colour; browsers in dark mode get a dark card. The file has no scripts and loads no fonts.
"""

from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape

from benchmarks.page.model import Json, latency, served, three_digits, variant_name

THREADS = 1
WIDTH, MARGIN = 840, 32
HEADER, GROUP, FOOTER = 88, 76, 82
BARS_X, BARS_WIDTH = 300, 300  # width of the longest bar of each model
BAR, BAR_GAP = 20, 6
NAME_CHARACTERS = 30  # longest name that fits left of the bars in the widest font
_STYLE = """
    text { font-family: system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; }
    .card { fill: #ffffff; stroke: #d0d7de; }
    .rule { stroke: #d8dee4; }
    .title { font-size: 20px; font-weight: 600; fill: #1f2328; }
    .name { font-size: 13px; font-weight: 600; fill: #1f2328; }
    .value { font-size: 13px; fill: #1f2328; }
    .note { font-size: 12px; fill: #59636e; }
    .ratio { font-size: 18px; font-weight: 600; fill: #0a58c2; text-anchor: end; }
    .end { text-anchor: end; }
    .float { fill: #afb8c1; }
    .served { fill: #0969da; }
    @media (prefers-color-scheme: dark) {
      .card { fill: #0d1117; stroke: #30363d; }
      .rule { stroke: #21262d; }
      .title, .name, .value { fill: #e6edf3; }
      .note { fill: #9198a1; }
      .ratio { fill: #58a6ff; }
      .float { fill: #57606a; }
      .served { fill: #388bfd; }
    }
"""


def draw(suite: Json) -> str:
    """Return the picture of a section "suite" as SVG text."""
    models = suite["models"]
    height = HEADER + GROUP * len(models) + FOOTER
    title = "Time to run one input, 1 thread"
    busy = " Measured on a BUSY machine." if suite["conditions"]["busy"] else ""
    body = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="title summary">',
        f'  <title id="title">{title}</title>',
        f'  <desc id="summary">{escape(_summary(models))}</desc>',
        f"  <style>{_STYLE}  </style>",
        f'  <rect class="card" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="10"/>',
        _text("title", MARGIN, 42, title),
        _text("note", MARGIN, 64, f"Shorter is faster. Each model has a scale of its own.{busy}"),
    ]
    for number, model in enumerate(models):
        body += _group(model, HEADER + GROUP * number)
    body += _footer(suite, height - FOOTER)
    return "\n".join([*body, "</svg>", ""])


def _group(model: Json, top: int) -> Iterator[str]:
    bars = _bars(model)
    longest = max(_median_ms(variant) for variant in bars)
    yield f'  <line class="rule" x1="{MARGIN}" x2="{WIDTH - MARGIN}" y1="{top}" y2="{top}"/>'
    yield _text("name", MARGIN, top + 33, _name(model))
    yield _text("note", MARGIN, top + 52, _weights(model))
    first = top + (GROUP - len(bars) * (BAR + BAR_GAP) + BAR_GAP) // 2
    for number, variant in enumerate(bars):
        y = first + number * (BAR + BAR_GAP)
        width = max(2.0, BARS_WIDTH * _median_ms(variant) / longest)
        kind = "served" if variant["served"] else "float"
        size = f'width="{width:.1f}" height="{BAR}" rx="3"'
        yield f'  <rect class="{kind}" x="{BARS_X}" y="{y}" {size}/>'
        yield _text("value", BARS_X + width + 8, y + 15, _value(variant))
    ratio, meaning = _verdict(model)
    yield _text("ratio", WIDTH - MARGIN, top + 36, ratio)
    yield _text("note end", WIDTH - MARGIN, top + 54, meaning)


def _name(model: Json) -> str:
    name: str = model["id"]
    return name if len(name) <= NAME_CHARACTERS else f"{name[: NAME_CHARACTERS - 3]}..."


def _bars(model: Json) -> list[Json]:
    """Return the float variant, unless it is the served one, and the served variant."""
    others = [v for v in model["variants"] if v["precision"] == "float" and not v["served"]]
    return [*others, served(model)]


def _median_ms(variant: Json) -> float:
    spread = latency(variant, THREADS)
    if spread is None:
        raise ValueError(f"{variant['name']} was not measured at {THREADS} threads")
    return float(spread["median_ms"])


def _value(variant: Json) -> str:
    return f"{variant_name(variant['name'])} {three_digits(_median_ms(variant))} ms"


def _verdict(model: Json) -> tuple[str, str]:
    variant = served(model)
    if variant["precision"] == "float":
        return "float", "is packaged"
    timing = next((one for one in variant["timings"] if one["threads"] == THREADS), None)
    if timing is None or timing["times_faster"] is None:
        return "", ""
    return f"{timing['times_faster']:.2f} x", "float's speed"


def _weights(model: Json) -> str:
    weights = model["weights"]
    explained = "seeded, untrained" if weights == "seeded" else weights
    return f"weights: {explained}"


def _footer(suite: Json, top: int) -> Iterator[str]:
    conditions, server = suite["conditions"], suite["server"]
    machine = conditions["machine"]
    frameworks = ", ".join(suite["imports"]["frameworks"]) or "no training framework"
    bars = [variant for model in suite["models"] for variant in _bars(model)]
    fewest = min(variant["timings"][0]["latency"]["runs"] for variant in bars)
    lines = (
        f"Server with {len(server['models'])} models: listening after "
        f"{server['listening_s']:.1f} s, {server['used']['resident_mb']:.0f} MB after use, "
        f"{sum(suite['packages_mb'].values()):.0f} MB of packages, {frameworks}.",
        f"{machine['cpu']} ({', '.join(machine['dot_products']) or 'no 8-bit dot products'}), "
        f"onnxruntime {conditions['versions'].get('onnxruntime', '')}. Medians of {fewest} runs or "
        f"more, in turns. {conditions['measured_at'][:10]}",
    )
    yield f'  <line class="rule" x1="{MARGIN}" x2="{WIDTH - MARGIN}" y1="{top}" y2="{top}"/>'
    for number, line in enumerate(lines):
        yield _text("note", MARGIN, top + 34 + 22 * number, line)


def _summary(models: Sequence[Json]) -> str:
    texts = (
        f"{model['id']} ({_weights(model)}): {', '.join(_value(v) for v in _bars(model))}"
        for model in models
    )
    return "; ".join(texts)


def _text(kind: str, x: float, y: float, content: str) -> str:
    return f'  <text class="{kind}" x="{x:g}" y="{y:g}">{escape(content)}</text>'
