"""What several commands may be told alike."""

import argparse
from pathlib import Path


def declare_artifacts(parser: argparse.ArgumentParser) -> None:
    """Where the models are."""
    parser.add_argument(
        "--artifacts",
        type=Path,
        default=Path("artifacts"),
        metavar="DIR",
        help="what the converter wrote (default: artifacts)",
    )


def declare_model(parser: argparse.ArgumentParser, default: str) -> None:
    """Which model answers."""
    parser.add_argument(
        "--model", default=default, metavar="ID", help="who answers (default: %(default)s)"
    )
