"""U2NET background removal, the full net: from upstream's state_dict, or rembg's ONNX file of it.

Loading, seeding, numerics and their source: `convert.models.shared.u2net`.
"""

from typing import Any

from convert.authoring import Recipe, Source, Tolerance
from convert.models.shared.u2net import U2Net


def _build() -> Any:
    from convert.architectures.u2net import u2net

    return u2net()


NETWORK = U2Net(_build)

RECIPE = Recipe(
    task="image-segmentation",
    description="Foreground alpha of a photo (U-2-Net, full: 176 MB in float)",
    licence="Apache-2.0",
    load=NETWORK.load,
    seed=NETWORK.seed,
    tolerance=Tolerance(
        at_least={"iou_mean": 0.985, "iou_p05": 0.95},
        at_most={"mae": 0.006, "collapsed_fraction": 0.0},
    ),
    media="scene",
    default=False,  # 176 MB, and minutes on two cores
    source=Source(
        "https://github.com/danielgatis/rembg/releases/download/v0.0.0/u2net.onnx",
        md5="60024c5c889badc19c04ad937298a77b",
        licence="Apache-2.0",
    ),
)
