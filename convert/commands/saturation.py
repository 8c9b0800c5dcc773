"""`python -m convert saturation`: what 8-bit products lose without VNNI, layer by layer."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

from convert.quantize.saturation.losses import Loss, losses
from runtime.errors import SlipwayError
from runtime.model import version_directory

SHOWN = 12


def saturation(options: argparse.Namespace) -> int:
    """Tell of one artifact, on its golden inputs; exit code 1 where it has no 8-bit variant."""
    try:
        found = losses(version_directory(options.artifact))
    except SlipwayError as error:
        print(f"convert: {error}", file=sys.stderr)
        return 1
    print(json.dumps([asdict(one) for one in found]) if options.json else _table(found))
    return 0


def _table(found: Sequence[Loss]) -> str:
    worst = sorted(found, key=lambda one: -one.error_8_bit)
    hit = sum(one.saturated_pairs > 0 for one in found)
    return "\n".join(
        [
            f"{'layer':28}{'pairs saturated':>16}{'error, 8 bits':>15}{'error, 7 bits':>15}",
            *map(_line, worst[:SHOWN]),
            "",
            f"{hit} of {len(found)} layers saturate without VNNI; errors are root mean squares, as "
            "a share of the exact 8-bit result's",
        ]
    )


def _line(one: Loss) -> str:
    seven = "-" if one.error_7_bit is None else f"{one.error_7_bit:.4f}"
    return f"{one.layer:28}{one.saturated_pairs:16.2e}{one.error_8_bit:15.4f}{seven:>15}"
