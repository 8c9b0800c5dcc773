"""Train gait weights on synthetic clips, and measure them.

    python -m convert.gait.train train --out gait_student.pt
    python -m convert.gait.train report --weights gait_student.pt

`clinical_text_minilm` embeds the texts about patients, as it does in a conversion.
"""

import argparse
from pathlib import Path

from convert.gait.conditions import read_conditions
from convert.gait.train.condition_sampler import build_sampler, embed_texts


def main(arguments: list[str] | None = None) -> None:
    """Run one of the two commands."""
    options = _parser().parse_args(arguments)
    {"train": _train, "report": _report}[options.command](options)


def _train(options: argparse.Namespace) -> None:
    import torch

    from convert.architectures.gait_student import GaitStudent
    from convert.gait.train.training import TrainingPlan, restore, save, train

    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    table = read_conditions()
    sampler = build_sampler(table, embed_texts(table))
    student = GaitStudent()
    if options.start is not None:
        restore(student, options.start)
    plan = TrainingPlan(
        joint_steps=options.pose_steps,
        tracks=options.tracks,
        clips=options.clips,
        workers=options.workers,
        seed=options.seed,
    )
    part = options.out.with_suffix(".part")
    train(student, sampler, plan, checkpoint=part, log=_print)
    save(student, part)
    part.replace(options.out)


def _report(options: argparse.Namespace) -> None:
    from convert.gait.train.report import report

    table = read_conditions()
    for line in report(options.weights, table, embed_texts(table), clips=options.clips):
        _print(line)


def _print(line: str) -> None:
    print(line, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m convert.gait.train", description="Train and measure gait weights."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", help="train weights on synthetic clips")
    train.add_argument("--out", type=Path, required=True, help="file to write the weights to")
    train.add_argument(
        "--pose-steps",
        type=int,
        default=4000,
        help="training steps for locating joints, of 128 frames each (default: 4000)",
    )
    train.add_argument(
        "--tracks",
        type=int,
        default=40000,
        help="walks to classify from joints alone, without frames (default: 40000)",
    )
    train.add_argument(
        "--clips",
        type=int,
        default=12000,
        help="walks to classify from joints that the network locates (default: 12000)",
    )
    train.add_argument("--start", type=Path, help="weights to continue from (default: none)")
    train.add_argument("--threads", type=int, default=1, help="threads that train (default: 1)")
    train.add_argument(
        "--workers", type=int, default=1, help="processes that generate examples (default: 1)"
    )
    train.add_argument("--seed", type=int, default=0, help="seed of random numbers (default: 0)")
    report = commands.add_parser("report", help="measure weights on walkers never trained on")
    report.add_argument("--weights", type=Path, required=True, help="file to measure")
    report.add_argument(
        "--clips", type=int, default=600, help="walkers per test set (default: 600)"
    )
    return parser


if __name__ == "__main__":
    main()
