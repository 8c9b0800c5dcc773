"""Options that several commands share."""

import argparse
from pathlib import Path


def add_artifacts_option(parser: argparse.ArgumentParser) -> None:
    """Add `--artifacts`, the directory of the models."""
    parser.add_argument(
        "--artifacts",
        type=Path,
        default=Path("artifacts"),
        metavar="DIR",
        help="directory of converted models, as 'python -m convert run' writes it "
        "(default: artifacts)",
    )


def add_model_option(parser: argparse.ArgumentParser, default: str) -> None:
    """Add `--model`, the model that answers."""
    parser.add_argument(
        "--model",
        default=default,
        metavar="ID",
        help="model to use: the name of its directory below --artifacts (default: %(default)s)",
    )
