"""A camera that films a walker: perspective, panning and trembling.

Axes of the world are those of `motion`: x forward, y to the walker's left, z up, in body heights.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class View:
    """A range of viewpoints, in degrees."""

    azimuth: tuple[float, float]  # angle from the walking direction to the camera; 0 is frontal
    elevation: tuple[float, float]  # of the camera above the walker


# generate_camera() also mirrors them: oblique and frontal ones to behind, all to the other side
VIEWS: Mapping[str, View] = {
    "side": View((74, 106), (-2, 10)),
    "oblique": View((45, 66), (-2, 12)),
    "frontal": View((0, 12), (-2, 10)),
}
# between oblique and frontal, and from higher up; left out of VIEWS to test new viewpoints
UNSEEN = View((19, 38), (10, 20))


@dataclass(frozen=True, slots=True)
class Camera:
    """Position and movement of a camera during one clip; lengths in body heights."""

    azimuth: float  # degrees, seen from the walker; 0 is ahead, 90 to the left
    elevation: float  # degrees
    distance: float
    focal: float  # focal length; the walker fills focal / distance of the picture's side
    follow: float  # share of the walk that the camera pans; 1 keeps the walker in the middle
    shift: tuple[float, float]  # of the walker from the middle, as a share of the picture's side
    shake: float  # standard deviation of the trembling, px


def generate_camera(rng: np.random.Generator, view: View) -> Camera:
    """Generate a camera in a range of viewpoints, or its mirror image."""
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
    """The projection of the world to the picture, at T moments."""

    camera: Camera
    targets: Points  # (T, 3) points that the camera looks at
    trembling: Points  # (T, 2) px
    side: int  # of the picture, px

    def project(self, points: Points) -> tuple[Points, NDArray[np.float64]]:
        """Project points to the picture.

        Args:
            points: (T, ..., 3) in the world.

        Returns:
            pixels: (T, ..., 2) x, y in px.
            depths: (T, ...) distances from the camera, body heights.
        """
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
        """Return the unit vectors to the right, upwards and towards the camera."""
        azimuth, elevation = np.radians([self.camera.azimuth, self.camera.elevation])
        level = np.array([np.cos(azimuth), np.sin(azimuth), 0.0])
        towards = level * np.cos(elevation) + np.array([0, 0, np.sin(elevation)])
        right = np.array([-np.sin(azimuth), np.cos(azimuth), 0.0])
        return right, np.cross(towards, right), towards

    def pan(self) -> NDArray[np.float64]:
        """Return the camera's movement to its right, (T,), px at the walker's distance."""
        right, _, _ = self._axes()
        return (
            (self.targets - self.targets[0])
            @ right
            * (self.camera.focal * self.side / self.camera.distance)
        )


def aim(rng: np.random.Generator, camera: Camera, path: Points, *, side: int) -> Lens:
    """Point a camera at a walk.

    Args:
        rng: decides the trembling.
        camera: how it follows.
        path: (T, 3) positions of the walker.
        side: height and width of the picture, px.
    """
    middle = path.mean(axis=0, keepdims=True)
    targets = middle + camera.follow * (path - middle)
    targets[:, 2] = 0.5  # half a body height: head and feet are equally far from the middle
    return Lens(camera, targets, rng.normal(0, camera.shake, (len(path), 2)), side)
