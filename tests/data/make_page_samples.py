"""Write the samples of the page, `serve/page/static/samples/`. Everything in them is generated.

.venv-convert/bin/python -m tests.data.make_page_samples
"""

from pathlib import Path

import cv2
import numpy as np
import soundfile
from numpy.typing import NDArray

from convert.samples.procedural import SAMPLES
from convert.samples.procedural.images import generate_images
from convert.samples.procedural.voices import SAMPLING_RATE, generate_voice
from convert.samples.walkers import VIEWS, generate_clip

FOLDER = Path(__file__).parents[2] / "serve" / "page" / "static" / "samples"
SIZE = (480, 640)  # height, width of the picture of two people, px
SCALE = 16  # of coordinates: four bits after the point
CLIP_SIDE = 224  # px
CLIP_FRAMES = 30
CLIP_RATE = 10.0  # frames per second
VOICE_SECONDS = 9.0

Plane = NDArray[np.float64]
Colour = tuple[float, float, float]  # RGB in [0, 1]


def people() -> Plane:
    """Draw two people in front of a wall: one smiles, the other does not."""
    height, width = SIZE
    rng = np.random.default_rng(7)
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    light = 0.55 + 0.35 * x - 0.2 * y
    wall = light[..., np.newaxis] * np.array([0.62, 0.74, 0.80])
    coarse = rng.uniform(-1, 1, (10, 14, 1))
    wall += 0.04 * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)[..., None]
    picture = np.clip(wall, 0, 1)
    person(picture, (205, 215), skin=(0.93, 0.74, 0.62), hair=(0.30, 0.18, 0.10), smile=1.0)
    person(picture, (450, 235), skin=(0.62, 0.43, 0.32), hair=(0.08, 0.07, 0.08), smile=-0.7)
    soft = cv2.GaussianBlur(picture, (0, 0), 0.9)
    return np.clip(soft + rng.normal(0, 0.012, soft.shape), 0, 1)


def person(
    canvas: Plane, centre: tuple[int, int], *, skin: Colour, hair: Colour, smile: float
) -> None:
    """Draw head and shoulders; `smile` is from -1, corners of the mouth down, to 1."""
    x, y = centre
    dark = tuple(0.35 * level for level in skin)
    coat = tuple(np.roll(hair, 1) * 1.2 + 0.15)
    ellipse(canvas, (x, y + 235), (135, 110), coat, shade=0.25)
    ellipse(canvas, (x, y + 105), (34, 50), tuple(0.82 * level for level in skin))
    ellipse(canvas, (x, y - 22), (86, 100), hair, shade=0.2)
    ellipse(canvas, (x, y), (74, 95), skin, shade=0.3)
    for side in (-1, 1):
        ellipse(canvas, (x + side * 75, y + 5), (10, 18), tuple(0.85 * level for level in skin))
        eye = x + side * 30
        ellipse(canvas, (eye, y - 12), (15, 9), (0.95, 0.95, 0.93))
        ellipse(canvas, (eye, y - 12), (7, 8), (0.18, 0.13, 0.10))
        ellipse(canvas, (eye + 2, y - 15), (2, 2), (1.0, 1.0, 1.0))
        brow = np.array(
            [[eye - 18, y - 33 - 4 * side * smile], [eye + 18, y - 33 + 4 * side * smile]]
        )
        curve(canvas, brow, hair, 6)
    ellipse(canvas, (x, y - 62), (62, 30), hair, shade=0.2)
    curve(canvas, np.array([[x + 2, y - 5], [x + 10, y + 26], [x - 6, y + 28]]), dark, 3)
    along = np.linspace(-1, 1, 24)
    lip = np.stack([x + 30 * along, y + 54 + 13 * smile * (0.5 - along**2)], axis=1)
    if smile > 0:
        teeth = np.concatenate([lip, np.stack([x + 26 * along[::-1], y + 49 + 0 * along], axis=1)])
        cv2.fillPoly(canvas, [fixed(teeth)], (0.97, 0.96, 0.94), cv2.LINE_AA, 4)
    curve(canvas, lip, (0.62 * skin[0], 0.28 * skin[1], 0.30 * skin[2]), 6)


def ellipse(
    canvas: Plane,
    centre: tuple[int, int],
    axes: tuple[int, int],
    colour: Colour,
    shade: float = 0.0,
) -> None:
    """Draw an ellipse whose left side is lighter by `shade` than its right one."""
    mask = np.zeros(canvas.shape[:2], np.uint8)
    cv2.ellipse(mask, centre, axes, 0, 0, 360, 255, -1, cv2.LINE_AA)
    cover = cv2.GaussianBlur(mask, (0, 0), 1.0)[..., np.newaxis] / 255.0
    across = (np.arange(canvas.shape[1]) - centre[0]) / axes[0]
    light = (1 - shade * np.clip(across, -1, 1) / 2)[np.newaxis, :, np.newaxis]
    canvas[:] = canvas * (1 - cover) + np.clip(np.array(colour) * light, 0, 1) * cover


def curve(canvas: Plane, points: Plane, colour: Colour, width: int) -> None:
    """Draw a line through (N, 2) points."""
    cv2.polylines(canvas, [fixed(points)], False, colour, width, cv2.LINE_AA, 4)


def fixed(points: Plane) -> NDArray[np.int32]:
    """Return points with four bits after the point, as OpenCV takes them."""
    return (points * SCALE).round().astype(np.int32)


def write_jpeg(name: str, image: NDArray[np.uint8]) -> None:
    """Write an RGB image."""
    cv2.imwrite(str(FOLDER / name), image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 82])


def write_clip(name: str, frames: NDArray[np.uint8]) -> None:
    """Write (T, H, W, 3) RGB frames as VP9, which browsers play."""
    codec = cv2.VideoWriter.fourcc(*"VP90")
    writer = cv2.VideoWriter(str(FOLDER / name), codec, CLIP_RATE, (CLIP_SIDE, CLIP_SIDE))
    for frame in frames:
        # the noise of the generated camera is most of the bytes
        writer.write(cv2.GaussianBlur(frame[..., ::-1], (0, 0), 0.7))
    writer.release()


def main() -> None:
    """Write a picture of people, three scenes, a voice and a clip; print their sizes."""
    FOLDER.mkdir(exist_ok=True)
    write_jpeg("people.jpg", (people() * 255).round().astype(np.uint8))
    scenes = generate_images("scene", SAMPLES, 15)
    write_jpeg("backdrop.jpg", scenes[0])
    write_jpeg("scene-a.jpg", scenes[14])
    # the same scene from nearer, mirrored and darker
    height, width = scenes[14].shape[:2]
    nearer = scenes[14][height // 8 :, width // 8 : -width // 8][:, ::-1]
    write_jpeg("scene-b.jpg", (nearer * 0.8).round().astype(np.uint8))
    voice = generate_voice(np.random.default_rng((SAMPLES, 1)), seconds=VOICE_SECONDS)
    soundfile.write(FOLDER / "voice.mp3", voice, SAMPLING_RATE)
    clip = generate_clip(
        SAMPLES, 1, label="hemiparetic", view=VIEWS["side"], frame_count=CLIP_FRAMES, side=CLIP_SIDE
    )
    write_clip("walk.webm", clip.frames)
    for path in sorted(FOLDER.iterdir()):
        print(f"{path.name} {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
