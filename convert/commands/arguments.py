"""Declare the options of every command. Imports the standard library alone."""

import argparse
import os
from pathlib import Path
from typing import Any

ARTIFACT = "a version or a model of an artifacts directory: artifacts/<model>[/<version>]"

REFERENCE = "oci://REGISTRY/REPOSITORY[:TAG]"
REFERENCE_OR_DIGEST = "oci://REGISTRY/REPOSITORY[:TAG][@sha256:DIGEST]"


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return the parser of the command line; the chosen command is `options.command`."""
    root = argparse.ArgumentParser(prog="python -m convert", description=description)
    commands = root.add_subparsers(dest="command", required=True)
    own = "A model of your own is one recipe file: convert/README.md."
    commands.add_parser("list", help="list the models with a recipe", epilog=own)
    _add_evaluate(
        commands.add_parser(
            "evaluate", help="compare the accuracy of float and INT8 on labelled media"
        )
    )
    _add_verify(
        commands.add_parser(
            "verify", help="check that an artifact still works as verified, on this machine"
        )
    )
    samples = commands.add_parser(
        "samples", help="write photos from installed packages, to try a server with"
    )
    samples.add_argument(
        "folder",
        type=Path,
        nargs="?",
        default=Path("samples"),
        metavar="DIR",
        help="where to write them (default: samples)",
    )
    _add_sign(commands.add_parser("sign", help="sign versions, or make the key for it"))
    _add_transport(commands)
    # doctor checks a run in advance, so it takes the same options
    _add_run(commands.add_parser("run", help="convert models to verified ONNX artifacts"))
    _add_run(
        commands.add_parser("doctor", help="check that a run would find all it needs, in seconds")
    )
    return root


def _add_artifact(command: argparse.ArgumentParser, help_text: str, **settings: Any) -> None:
    command.add_argument("artifact", metavar="ARTIFACT", help=help_text, **settings)
    command.add_argument("--json", action="store_true", help="print JSON instead of text")


def _add_out(command: argparse.ArgumentParser, help_text: str) -> None:
    command.add_argument(
        "--out",
        type=Path,
        default=Path("artifacts"),
        metavar="DIR",
        help=f"{help_text} (default: artifacts)",
    )


def _add_verify(verify: argparse.ArgumentParser) -> None:
    _add_artifact(verify, ARTIFACT, type=Path)
    verify.add_argument(
        "--media",
        type=Path,
        metavar="DIR",
        help="media like those you will serve: INT8 is compared with float on them (default: "
        "generated ones)",
    )
    verify.add_argument(
        "--trusted-keys",
        default=os.environ.get("SLIPWAY_TRUSTED_KEYS", ""),
        metavar="KEY,...",
        help="public keys, one of which must have signed it (default: SLIPWAY_TRUSTED_KEYS)",
    )


def _add_sign(sign: argparse.ArgumentParser) -> None:
    sign.add_argument(
        "sources",
        type=Path,
        nargs="*",
        metavar="ARTIFACTS",
        help="artifacts, artifacts/<model> or artifacts/<model>/<version>: all versions there",
    )
    sign.add_argument(
        "--key", type=Path, metavar="FILE", help="secret key that signs, as --new-key wrote it"
    )
    sign.add_argument(
        "--new-key",
        type=Path,
        metavar="FILE",
        help="write a new secret key, and print its public key for SLIPWAY_TRUSTED_KEYS",
    )


def _add_transport(commands: Any) -> None:
    pack = commands.add_parser("pack", help="write versions as one deterministic tar")
    push = commands.add_parser("push", help="upload versions to an OCI registry")
    pull = commands.add_parser("pull", help="download versions from an OCI registry, or read a tar")
    for command in (pack, push):
        command.add_argument(
            "source",
            type=Path,
            metavar="ARTIFACTS",
            help="artifacts, artifacts/<model> or artifacts/<model>/<version>",
        )
    pack.add_argument("to", type=Path, metavar="TAR", help="file to write")
    push.add_argument("reference", metavar="REFERENCE", help=f"{REFERENCE}; without a tag: latest")
    pull.add_argument("source", metavar="SOURCE", help=f"{REFERENCE_OR_DIGEST}; or a tar of pack")
    _add_out(pull, "directory for the versions")
    for command in (push, pull):
        command.add_argument(
            "--plain-http",
            action="store_true",
            help="speak http to a registry of another machine (on this one http is spoken anyway)",
        )
    for command in (pack, push, pull):
        command.add_argument(
            "--timeout",
            type=float,
            default=3600.0,
            metavar="SECONDS",
            help="end after this time; what has arrived is kept for the next try (default: 3600)",
        )
        command.add_argument(
            "--max-mib",
            type=int,
            default=65536,
            metavar="MIB",
            help="refuse more than this in all (default: 65536)",
        )


def _add_evaluate(evaluate: argparse.ArgumentParser) -> None:
    _add_artifact(evaluate, f"{ARTIFACT}; or the id of a model in --out")
    evaluate.add_argument(
        "cases",
        type=Path,
        metavar="DIR",
        help="labelled cases: a folder per class, images/ with masks/, or a CSV of file,label",
    )
    evaluate.add_argument(
        "--limit", type=int, metavar="N", help="evaluate a fixed random subset of N cases"
    )
    evaluate.add_argument(
        "--variant",
        metavar="NAME",
        help="variant to compare with float (default: the one that this CPU serves)",
    )
    evaluate.add_argument(
        "--ignore",
        action="append",
        default=[],
        metavar="CLASS",
        help="leave out the cases of this folder or label; may be repeated",
    )
    evaluate.add_argument(
        "--allowed-loss",
        type=float,
        metavar="POINTS",
        help="exit with code 1 if accuracy (of masks: IoU) falls by more percentage points",
    )
    evaluate.add_argument(
        "--checkpoint",
        type=Path,
        metavar="PATH",
        help="export the float reference from this checkpoint instead of using the artifact's",
    )
    evaluate.add_argument(
        "--recipe", type=Path, metavar="FILE", help="recipe file to use with --checkpoint"
    )
    _add_out(evaluate, "directory of the artifacts")


def _add_run(run: argparse.ArgumentParser) -> None:
    run.add_argument(
        "models",
        nargs="*",
        metavar="MODEL",
        help="ids of models, as `list` prints them (default: without --recipe, every model but "
        "those whose recipe says `default=False`)",
    )
    run.add_argument(
        "--recipe",
        type=Path,
        metavar="FILE",
        help="convert a model of your own by its recipe (convert/README.md); the model gets the "
        "file's name",
    )
    _add_weights(run)
    run.add_argument(
        "--calibration",
        type=Path,
        metavar="DIR",
        help="media like those you will serve; INT8 ranges are measured on them (default: "
        "generated ones)",
    )
    run.add_argument(
        "--pairs",
        type=Path,
        metavar="PATH",
        help="labelled pairs of images that calibrate the similarity score: a CSV of "
        "image_a,image_b,kind (identical, similar or different), or a folder KIND/PAIR/ of two "
        "images each",
    )
    run.add_argument(
        "--labelled",
        type=Path,
        metavar="DIR",
        help="labelled media: of a classifier in a folder per class, of a detector images/ and "
        "labels/ with a text file for each image (YOLO), of masks images/ and masks/; 50 and more "
        "judge INT8, which may lose 1 point of accuracy, mAP or IoU; also tries every scale of "
        "pixels where it may be stated, and names the best without deciding on it",
    )
    run.add_argument(
        "--precision",
        choices=("auto", "int8", "float"),
        default="auto",
        help="auto: INT8 if it is accurate enough and faster, else float; int8: refuse the model "
        "instead of falling back to float; float: do not quantize (default: auto)",
    )
    run.add_argument(
        "--search",
        choices=("quick", "default", "thorough"),
        default="default",
        help="effort of the INT8 search: quick (10 candidates, 20 seconds), default (30, 1 minute) "
        "or thorough (300, 1 hour; first it learns rounding and biases from float on the "
        "calibration samples, which takes minutes)",
    )
    run.add_argument(
        "--variants",
        choices=("fp16",),
        action="append",
        default=[],
        help="fp16: package a float16 variant for GPUs too, verified on the CPU",
    )
    _add_out(run, "directory for the artifacts and the report")


def _add_weights(run: argparse.ArgumentParser) -> None:
    run.add_argument(
        "--weights",
        choices=("pretrained", "seeded", "auto"),
        default="pretrained",
        help="pretrained: from --checkpoint, checkpoints/ or the published source, else refuse; "
        "seeded: untrained, to try out speed and memory; auto: pretrained where they can be had, "
        "else seeded (default: pretrained)",
    )
    run.add_argument(
        "--checkpoint",
        type=Path,
        metavar="PATH",
        help="weights of the one model named: a file, a folder, or hf:owner/name[@revision]",
    )
    run.add_argument(
        "--labels",
        type=Path,
        metavar="FILE",
        help="names of the model's classes, in the order of its outputs: one a line, or JSON",
    )
    add_checkpoint_facts(run)


def add_checkpoint_facts(command: argparse.ArgumentParser) -> None:
    """Add the options that state what a checkpoint does not hold."""
    command.add_argument(
        "--arch",
        metavar="NAME",
        help="name of the network that was trained, where files of several look alike: "
        "efficientnet_b0 or tf_efficientnet_b0, ...",
    )
    command.add_argument(
        "--input-scale",
        choices=("unit", "symmetric", "raw", "imagenet", "caffe"),
        help="scale of the pixels that training used: unit 0 to 1, symmetric -1 to 1, raw 0 to "
        "255, imagenet and caffe as in keras.applications (default: read from a Keras model's own "
        "layers or from timm's settings, else symmetric for Keras and imagenet for torch, with a "
        "warning)",
    )
    command.add_argument(
        "--input-size",
        metavar="PX",
        help="side of the pictures that training used, or HEIGHTxWIDTH, where weights fit any "
        "(default: read from the file's settings, else as published, with a warning)",
    )
    for name in ("mean", "std"):
        command.add_argument(
            f"--input-{name}",
            metavar="VALUES",
            help=f"{name} of pixels in 0 to 1 that training used, one number or three as R,G,B",
        )
