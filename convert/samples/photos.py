"""Photos in Python packages, as samples to try a server with.

`python -m convert samples` copies them into a folder, because the environment of the server cannot
read the packages. requirements/samples.txt lists the packages; none is imported.
"""

from dataclasses import dataclass

from convert.sources import PackageSource

MATPLOTLIB, SCIKIT_IMAGE, SCIKIT_LEARN = "matplotlib", "scikit-image", "scikit-learn"


@dataclass(frozen=True, slots=True)
class Crop:
    """A rectangle of a photo, in px from its top left corner."""

    x1: int
    y1: int
    x2: int
    y2: int


@dataclass(frozen=True, slots=True)
class Photo:
    """One sample: a file of a package as it is, a part of it, or all of it at another size."""

    name: str  # of the file to write; its suffix is the format of a changed one
    source: PackageSource
    credit: str  # who made it, and what allows to copy it
    crop: Crop | None = None
    scale: float | None = None  # factor of both sides


GRACE_HOPPER = PackageSource(
    MATPLOTLIB,
    version="3.11.2",
    path="matplotlib/mpl-data/sample_data/grace_hopper.jpg",
    sha256="a8ca6d734765703b09728ab47fe59f473d93ae3967fc24c7c0288c3c7adb7130",
    licence="public domain",
)
ASTRONAUT = PackageSource(
    SCIKIT_IMAGE,
    version="0.26.0",
    path="skimage/data/astronaut.png",
    sha256="88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
    licence="public domain",
)
CHELSEA = PackageSource(
    SCIKIT_IMAGE,
    version="0.26.0",
    path="skimage/data/chelsea.png",
    sha256="596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
    licence="CC0-1.0",
)
COFFEE = PackageSource(
    SCIKIT_IMAGE,
    version="0.26.0",
    path="skimage/data/coffee.png",
    sha256="cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
    licence="CC0-1.0",
)
FLOWER = PackageSource(
    SCIKIT_LEARN,
    version="1.9.1",
    path="sklearn/datasets/images/flower.jpg",
    sha256="a77f6ec41e353afdf8bdff2ea981b2955535d8d83294f8cfa49cf4e423dd5638",
    licence="CC-BY-2.0",
)

_HOPPER = "Grace Hopper, photo of the US Navy"
_COLLINS = "Eileen Collins, photo of NASA"
_CAT = "Chelsea the cat, photo by Stefan van der Walt"
_CUP = "Coffee cup, photo by Rachel Michetti, courtesy of Pikolo Espresso Bar"
_FLOWER = "Flower, photo by vultilion, https://www.flickr.com/photos/vultilion/6056698931"

PHOTOS = (
    # mini-XCEPTION is for faces alone: it finds the whole portrait angry, this part of it neutral
    Photo("face.png", GRACE_HOPPER, _HOPPER, crop=Crop(141, 106, 393, 358)),
    Photo("portrait.jpg", GRACE_HOPPER, _HOPPER),
    Photo("astronaut.png", ASTRONAUT, _COLLINS),
    Photo("cat.png", CHELSEA, _CAT),
    Photo("cat-small.png", CHELSEA, _CAT, scale=0.5),
    Photo("coffee.png", COFFEE, _CUP),
    Photo("flower.jpg", FLOWER, _FLOWER),
)
