"""Train gait weights on drawings.

    python -m convert.gait.train train --out gait_student.pt
    python -m convert.gait.train report --weights gait_student.pt

The texts about patients are embedded by `clinical_text_minilm`, as they are when a model is made.
"""

import argparse
from pathlib import Path

from convert.gait.conditions import read_conditions
from convert.gait.train.evidence import embeddings, gather


def main(arguments: list[str] | None = None) -> None:
    """Run one of the two commands."""
    given = _parser().parse_args(arguments)
    {"train": _train, "report": _report}[given.command](given)


def _train(given: argparse.Namespace) -> None:
    import torch

    from convert.architectures.gait_student import GaitStudent
    from convert.gait.train.learn import Plan, restore, save, train

    torch.manual_seed(given.seed)
    torch.set_num_threads(given.threads)
    table = read_conditions()
    evidence = gather(table, embeddings(table))
    student = GaitStudent()
    if given.start is not None:
        restore(student, given.start)
    plan = Plan(given.pose_steps, given.tracks, given.clips, workers=given.workers, seed=given.seed)
    part = given.out.with_suffix(".part")
    train(student, evidence, plan, checkpoint=part, tell=_tell)
    save(student, part)
    part.replace(given.out)


def _report(given: argparse.Namespace) -> None:
    from convert.gait.train.report import report

    table = read_conditions()
    for line in report(given.weights, table, embeddings(table), clips=given.clips):
        _tell(line)


def _tell(line: str) -> None:
    print(line, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m convert.gait.train", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", help="make weights")
    train.add_argument("--out", type=Path, required=True, help="file for the weights")
    train.add_argument("--pose-steps", type=int, default=4000, help="of 128 frames each")
    train.add_argument("--tracks", type=int, default=40000, help="walks as joints alone")
    train.add_argument("--clips", type=int, default=12000, help="walks as the student sees them")
    train.add_argument("--start", type=Path, help="weights to go on from; default: none")
    train.add_argument("--threads", type=int, default=1, help="that learn")
    train.add_argument("--workers", type=int, default=1, help="processes that draw")
    train.add_argument("--seed", type=int, default=0, help="of the random numbers")
    report = commands.add_parser("report", help="measure weights on walkers never trained on")
    report.add_argument("--weights", type=Path, required=True, help="file to measure")
    report.add_argument("--clips", type=int, default=600, help="walkers of each kind")
    return parser


if __name__ == "__main__":
    main()
