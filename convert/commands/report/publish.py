"""Write report.html and report.json under a lock: both, or neither."""

import json
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from convert.commands.report import page
from convert.commands.report.facts import Facts, Refused, gather
from convert.files import locked
from runtime.artifact import schema

PAGE, DATA = "report.html", "report.json"


def publish(out: Path, refused: Iterable[Refused] = ()) -> Path:
    """Write report.html and report.json into an artifacts directory; return the page's path.

    Two conversions that end at once write one after the other, and the later report covers both.

    Raises:
        OSError: the disk is full or not writable; an earlier report stays.
    """
    hidden = out / ".work"
    # a model id holds no dot, so this is no model's lock
    with locked(hidden / f"{PAGE}.lock"):
        facts = gather(out, refused)
        texts = {DATA: as_json(facts), PAGE: page.render(facts)}
        for name, text in texts.items():
            (hidden / f"{name}.tmp").write_text(text, encoding="utf-8")
        for name in texts:  # both are on the disk by now
            os.replace(hidden / f"{name}.tmp", out / name)
    return out / PAGE


def as_json(facts: Facts) -> str:
    """Return the facts as JSON text; equal facts give equal text."""
    content = _finite_or_null(schema.to_json(facts))
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def _finite_or_null(value: Any) -> Any:
    """Replace NaN and infinities by None, since JSON has none; fidelity can be NaN."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _finite_or_null(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite_or_null(item) for item in value]
    return value
