"""Where a walker is filmed from: perspective, and a camera that follows, drags behind or stands."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class View:
    """A range of viewpoints, in degrees."""

    azimuth: tuple[float, float]  # between the direction of the walk and that to the camera
    elevation: tuple[float, float]  # of the camera above the walker


# frontal views are also from behind, all are also from the other side
VIEWS: Mapping[str, View] = {
    "side": View((74, 106), (-2, 10)),
    "oblique": View((45, 66), (-2, 12)),
    "frontal": View((0, 12), (-2, 10)),
}
# between the oblique and the frontal ones, and from higher up: not drawn unless asked for
UNSEEN = View((19, 38), (10, 20))


@dataclass(frozen=True, slots=True)
class Camera:
    """A camera for one clip; lengths in body heights."""

    azimuth: float  # degrees, of the camera seen from the walker; 0 is ahead, 90 to the left
    elevation: float  # degrees
    distance: float
    focal: float  # side of the picture in distances: a walker of height 1 fills focal / distance
    follow: float  # 1: the walker stays in the middle; 0: the camera stands still
    shift: tuple[float, float]  # of the walker from the middle, share of the picture's side
    shake: float  # spread of the hand's trembling, px


def draw_camera(rng: np.random.Generator, view: View) -> Camera:
    """A camera somewhere in a range of viewpoints."""
    azimuth = rng.uniform(*view.azimuth)
    if rng.random() < 0.5 and view.azimuth[1] < 90:
        azimuth = 180 - azimuth
    distance = rng.uniform(3.0, 8.0)
    return Camera(
        azimuth=azimuth * rng.choice([-1, 1]),
        elevation=rng.uniform(*view.elevation),
        distance=distance,
        focal=distance * rng.uniform(0.55, 0.8),
        follow=1.0 if rng.random() < 0.4 else rng.uniform(0.55, 1.0),
        shift=(rng.uniform(-0.08, 0.08), rng.uniform(-0.05, 0.05)),
        shake=rng.uniform(0.0, 0.8),
    )


@dataclass(frozen=True, slots=True)
class Lens:
    """A camera at the moments of a clip: maps the world to the picture."""

    camera: Camera
    targets: Points  # (T, 3) what the camera looks at
    trembling: Points  # (T, 2) px
    side: int  # of the picture, px

    def project(self, points: Points) -> tuple[Points, NDArray[np.float64]]:
        """(T, ..., 3) points to (T, ..., 2) pixels x, y and (T, ...) distances from the camera."""
        right, up, towards = self._axes()
        lead = (len(self.targets), *(1,) * (points.ndim - 2))
        relative = points - self.targets.reshape(*lead, 3)
        depth = self.camera.distance - relative @ towards
        scale = self.camera.focal * self.side / np.maximum(depth, 0.5)
        middle = 0.5 + np.asarray(self.camera.shift)
        x = middle[0] * self.side + scale * (relative @ right)
        y = middle[1] * self.side - scale * (relative @ up)
        return np.stack([x, y], -1) + self.trembling.reshape(*lead, 2), depth

    def _axes(self) -> tuple[Points, Points, Points]:
        azimuth, elevation = np.radians([self.camera.azimuth, self.camera.elevation])
        level = np.array([np.cos(azimuth), np.sin(azimuth), 0.0])
        towards = level * np.cos(elevation) + np.array([0, 0, np.sin(elevation)])
        right = np.array([-np.sin(azimuth), np.cos(azimuth), 0.0])
        return right, np.cross(towards, right), towards

    def pan(self) -> NDArray[np.float64]:
        """(T,) how far the camera has moved to its right, px at the walker's distance."""
        right, _, _ = self._axes()
        return (
            (self.targets - self.targets[0])
            @ right
            * (self.camera.focal * self.side / self.camera.distance)
        )


def film(rng: np.random.Generator, camera: Camera, path: Points, *, side: int) -> Lens:
    """Point a camera at a walk.

    Args:
        rng: the hand's trembling.
        camera: the camera.
        path: (T, 3) positions to follow.
        side: of the picture, px.
    """
    middle = path.mean(axis=0, keepdims=True)
    targets = middle + camera.follow * (path - middle)
    targets[:, 2] = 0.5  # half a body height up: head and feet are equally far
    return Lens(camera, targets, rng.normal(0, camera.shake, (len(path), 2)), side)
