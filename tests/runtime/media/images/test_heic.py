"""HEIC: a still picture that libheif wrote, decoded with PyAV, and refusals without it."""

import base64
import importlib.util

import numpy as np
import pytest

from runtime.errors import DecodeError, InputError, TooLargeError
from runtime.media.images import hevc
from runtime.media.images.decode import decode_photo
from runtime.media.images.headers import read_still

needs_av = pytest.mark.skipif(
    importlib.util.find_spec("av") is None, reason="PyAV is not installed: requirements/av.txt"
)
HEIGHT, WIDTH = 31, 45  # of 64 x 64 px that are coded
# ramps as in `picture`, with alpha, 4:4:4, quality 95, to be shown turned clockwise
SAMPLE = base64.b64decode("""
AAAAHGZ0eXBoZWl4AAAAAG1pZjFoZWl4bWlhZgAAAq1tZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAA
AAAAAEZpbG9jAAAAAERAAAMAAQAAAAAC0QABAAAAAAAAAiQAAgAAAAAE9QABAAAAAAAAAKYAAwAAAAAFmwABAAAAAAAAACQA
AABNaWluZgAAAAAAAwAAABVpbmZlAgAAAAABAABodmMxAAAAABVpbmZlAgAAAAACAABodmMxAAAAABVpbmZlAgAAAQADAABF
eGlmAAAAAA5waXRtAAAAAAABAAABt2lwcnAAAAGNaXBjbwAAAHdodmNDAQQIAAAAnjgAAAAAHvAA/P/4+AAADwNgAAEAF0AB
DAH//wQIAAADAJ44AAADAAAeugJAYQABACpCAQEECAAAAwCeOAAAAwAAHpAEECCy3VXTXNwENBgQAAADAZAAAAMAEIBiAAEA
CEQBwXMYMBiQAAAAE2NvbHJuY2x4AAEADQAGgAAAABRpc3BlAAAAAAAAAEAAAABAAAAAKGNsYXAAAAAtAAAAAQAAAB8AAAAB
////7QAAAAL////fAAAAAgAAABBwaXhpAAAAAAMICAgAAAAJaXJvdAMAAABxaHZjQwEECAAAAJ/4AAAAAB7wAPz8+PgAAA8D
YAABABdAAQwB//8ECAAAAwCf+AAAAwAAHroCQGEAAQAmQgEBBAgAAAMAn/gAAAMAAB7AggQWW6q6a5sCAAADADIAAAMAAhBi
AAEABkQBwXPBiQAAAA5waXhpAAAAAAEIAAAAJ2F1eEMAAAAAdXJuOm1wZWc6aGV2YzoyMDE1OmF1eGlkOjEAAAAAImlwbWEA
AAAAAAAAAgABBoECAwWEhgACBocDCImEhgAAAChpcmVmAAAAAAAAAA5hdXhsAAIAAQABAAAADmNkc2MAAwABAAEAAAL2bWRh
dAAAAiAoAa8Gsgjs2CGAsmUeK1lRtwfbTYMoJc+1ET/w2whY7f4J+dt0iloQtHTlxWLwd6d6x7YuhuZaDnqN7u22E7o+vHFO
3REohB2O0r3CrtvKOVui0T/hePcm0auZHji1CeaI3EAmBS5ArrGesaHEGR5KIouaV+uzQFEBYtZ2QHF1cArS1RlcgcBjW3mZ
Lq3dQLowwIGGxNwOq7NuqRyHHY9mMvwu8cIulVdDB2psnWoQQb+nWXFVRCmEPT94M4eZiMi/dl8xoszsXCkiNw7i3XGfeP72
fcNnmvdX3B5TH8jW3Kd4zj5bAmkWZVTnVIItclQI9vDDKS7VkewjQUXBnz8yJ5KsY2S1B7DDhMbeObWAJo8lO8a7hTsW+yz5
6flyHuHlwhtmZv6+jOkcjrkEyO4oIQXsC246jcpxsoUO6taudcEJBgPtTYWus4zRhAej3GSGLnpv13tDGt1+b4SA/TJ+gwzS
fYy9jjgeT8Z68bzaA1+0E2bvewJVTU+6Wz2O767qVl+l4swi1l2pGAy07vCgJBjExnvaCZ4c0zO/4LCmxWDKae+xMAWy/f6G
LOIPPPN2nvoIBQTVCFIU2J+ONheA7n5QXVz6x5n/37ce9DZ2gGR//hyOLWazWYT3A7aIJrdtoNJjliWAqh6XXnpwjMCkW/Sj
MAaWAI4z0J2wAT6ZZkXtUtTe8aSElls8DeiR63iz20CGT01ayufz9/+YHFv8AAAAoigBrg1kNydTvxUX+yL6UiMV61oRpTwR
ZGn+Z+ivh6803Ox1cyZ3Z0PEpQu6ofkMysYNiFmZ6j/tbHbRYeF9kcofQIJDrzJZ2s1zo/532e5f0IyM0tMYFMVZqRCYRWZY
+eoN9aGggSgrlm9f9lVGpXvCBKk5XUuJP3F1QF95VDMeVlVQV9LEfJqAtvw0j0SQvSrSOGola5OyfDYZ7tpbOkJBwAAAAAZF
eGlmAABNTQAqAAAACAABARIAAwAAAAEABgAAAAAAAA==
""")


def picture() -> tuple[np.ndarray, np.ndarray]:
    """Return the ramps that were encoded, (H, W, 3), and their opacity, (H, W)."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    pixels = np.stack([x * 5, y * 8, 255 - x * 3 - y * 3], axis=-1).astype(np.uint8)
    return pixels, np.where(x < 23, 255, 128).astype(np.uint8)


def changed(old: bytes, new: bytes) -> bytes:
    assert SAMPLE.count(old) >= 1
    return SAMPLE.replace(old, new)


@needs_av
def test_the_part_that_is_shown_is_decoded_upright_with_its_alpha() -> None:
    photo = decode_photo(SAMPLE, with_alpha=True)
    pixels, alpha = (np.rot90(array, -1) for array in picture())
    assert photo.pixels.shape == (WIDTH, HEIGHT, 3)
    assert np.abs(photo.pixels.astype(int) - pixels).max() <= 8  # lossy; libheif's own: 8
    assert np.abs(photo.pixels.astype(int) - pixels).mean() < 1.5
    assert photo.alpha is not None
    assert np.abs(photo.alpha.astype(int) - alpha).mean() < 2
    assert photo.warnings == ()


def test_the_header_tells_the_size_and_the_limit_holds() -> None:
    still = read_still(SAMPLE, max_pixels=64 * 64)
    assert (still.format, still.height, still.width, still.orientation) == ("HEIC", 31, 45, 6)
    with pytest.raises(TooLargeError, match="HEIC of 64 x 64 px; allowed: at most 4095 px"):
        read_still(SAMPLE, max_pixels=64 * 64 - 1)


def test_without_pyav_the_refusal_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hevc, "is_installed", lambda: False)
    with pytest.raises(
        DecodeError, match=r"is HEIC, .* package av \(PyAV\) is installed; allowed h"
    ):
        decode_photo(SAMPLE)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (changed(b"\0\0hvc1", b"\0\0grid"), "found HEIC, a grid of tiles as phones write it; allo"),
        (changed(b"hvcC", b"free"), "no picture that is coded as HEVC, or does not say its size"),
        (changed(b"clap\0\0\0\x2d", b"clap\0\0\0\x41"), "shows a part that is not inside its pic"),
        (changed(b"clap\0\0\0\x2d", b"clap\0\0\0\0"), "shows a part that is not inside its pictu"),
        (SAMPLE[:60], "HEIC of 60 bytes ends within its header|has no"),
    ],
    ids=["tiles", "no decoder", "too wide", "empty", "short"],
)
def test_other_heic_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(DecodeError, match=message):
        decode_photo(data)


@needs_av
def test_a_bitstream_larger_than_its_description_is_not_allocated() -> None:
    # both pictures now claim 8 x 8 px, and no aperture
    small = changed(b"ispe\0\0\0\0\0\0\0\x40\0\0\0\x40", b"ispe" + bytes(4) + b"\0\0\0\x08" * 2)
    data = small.replace(b"clap", b"free")
    assert decode_photo(data).pixels.shape == (8, 8, 3)  # within a block of the decoder
    still = read_still(data, max_pixels=64)
    assert still.coded is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hevc, "BLOCK", 1)
        with pytest.raises(TooLargeError, match="HEIC says 8 x 8 px and holds more"):
            hevc.decode(still.coded)


@needs_av
def test_damage_anywhere_is_refused_or_decoded_but_never_worse() -> None:
    random = np.random.default_rng(0)
    for _ in range(60):
        data = bytearray(SAMPLE)
        data[int(random.integers(len(data)))] ^= int(random.integers(1, 256))
        try:
            assert decode_photo(bytes(data), max_pixels=1_000_000).pixels.ndim == 3
        except InputError:
            continue
