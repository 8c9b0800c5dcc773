"""The two files: written beside under a lock, and renamed when whole."""

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
    """Write report.html and report.json into an artifacts directory; gives the page's path.

    Two conversions that end at once write one after the other, and the later one sees what both
    packaged.

    Raises:
        OSError: the disk is full or not writable; an earlier report stays.
    """
    hidden = out / ".work"
    # two dots: no model's lock, whatever its id
    with locked(hidden / f"{PAGE}.lock"):
        facts = gather(out, refused)
        texts = {DATA: as_json(facts), PAGE: page.render(facts)}
        for name, text in texts.items():
            (hidden / f"{name}.tmp").write_text(text, encoding="utf-8")
        for name in texts:  # once there is room for both
            os.replace(hidden / f"{name}.tmp", out / name)
    return out / PAGE


def as_json(facts: Facts) -> str:
    """The facts as JSON text; equal facts give equal text."""
    plain = _finite(schema.to_json(facts))
    return json.dumps(plain, indent=1, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    """JSON has no NaN, which a graph that answers it has as its fidelity."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return value
