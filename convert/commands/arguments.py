"""What the commands on finished artifacts take; nothing is imported for it."""

import argparse
from pathlib import Path
from typing import Any


def add_commands(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add `evaluate`, `verify` and `saturation`."""
    _add_evaluate(commands.add_parser("evaluate", help="labelled accuracy, float against INT8"))
    verify = commands.add_parser("verify", help="verify an artifact again, on this machine")
    saturation = commands.add_parser(
        "saturation", help="what 8-bit products lose on CPUs without VNNI"
    )
    for command in (verify, saturation):
        command.add_argument(
            "artifact", type=Path, metavar="ARTIFACT", help="artifacts/<model>[/<version>]"
        )
        command.add_argument("--json", action="store_true", help="print JSON")
    verify.add_argument(
        "--media",
        type=Path,
        metavar="DIR",
        help="media like those to be served, to judge INT8 by; otherwise drawings",
    )


def _add_evaluate(evaluate: argparse.ArgumentParser) -> None:
    evaluate.add_argument(
        "artifact", metavar="ARTIFACT", help="artifacts/<model>[/<version>], or a model id in --out"
    )
    evaluate.add_argument(
        "cases",
        type=Path,
        metavar="DIR",
        help="a folder per class, images/ with masks/, or a CSV of file and label",
    )
    evaluate.add_argument("--json", action="store_true", help="print JSON")
    evaluate.add_argument("--limit", type=int, metavar="N", help="look at N cases alone, drawn")
    evaluate.add_argument(
        "--variant", metavar="NAME", help="what comes after; otherwise what this machine serves"
    )
    evaluate.add_argument(
        "--ignore", action="append", default=[], metavar="CLASS", help="leave a folder or label out"
    )
    evaluate.add_argument(
        "--allowed-loss",
        type=float,
        metavar="POINTS",
        help="exit code 1 where accuracy (masks: IoU) falls by more percentage points",
    )
    evaluate.add_argument(
        "--checkpoint",
        type=Path,
        metavar="PATH",
        help="export the float reference from it again, in place of the artifact's float variant",
    )
    evaluate.add_argument("--recipe", type=Path, metavar="FILE", help="of that export")
    evaluate.add_argument("--out", type=Path, default=Path("artifacts"), metavar="DIR")
