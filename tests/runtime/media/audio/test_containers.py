"""Containers of sounds by their first bytes, and WAV files that need no decoder."""

import numpy as np
import pytest

from runtime.media.audio.containers import container_of
from runtime.media.audio.parts.wav import is_plain_wav
from tests.runtime.support.recordings import sound, tone


@pytest.mark.parametrize(
    ("file_format", "subtype", "plain"),
    [
        *[("WAV", s, True) for s in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")],
        *[("WAV", s, True) for s in ("ALAW", "ULAW")],
        ("WAVEX", "PCM_16", True),
        ("RF64", "PCM_24", True),
        *[("WAV", s, False) for s in ("IMA_ADPCM", "MS_ADPCM", "GSM610", "G721_32")],
        *[("FLAC", "PCM_16", False), ("OGG", "VORBIS", False), ("MP3", "MPEG_LAYER_III", False)],
    ],
)
def test_only_uncompressed_wav_is_plain(file_format: str, subtype: str, plain: bool) -> None:
    data = sound(tone(rate=8000), rate=8000, kind=file_format, subtype=subtype)
    expected = {"WAVEX": "wav", "RF64": "wav"}.get(file_format, file_format.lower())
    assert container_of(data) == expected
    assert is_plain_wav(data) == plain


def test_damaged_headers_raise_nothing() -> None:
    whole = sound(tone(), subtype="PCM_16")
    generator = np.random.default_rng(0)
    for end in range(44):
        is_plain_wav(whole[:end])
    for _ in range(500):
        damaged = np.frombuffer(whole[:60], np.uint8).copy()
        damaged[generator.integers(4, 40, 4)] = generator.integers(0, 256, 4)
        is_plain_wav(damaged.tobytes())
    assert not is_plain_wav(whole[:20])
    assert not is_plain_wav(b"RIFF\x04\x00\x00\x00WAVEdata\x00\x00\x00\x00")


@pytest.mark.parametrize(
    ("data", "container"),
    [
        (b"\x1a\x45\xdf\xa3", "matroska"),
        (b"\x00\x00\x00\x18ftypM4A ", "mp4"),
        (b"\x00\x00\x00\x18ftypheic", None),
        (b"\xff\xfb\x90", "mp3"),
        (b"\xff\xf1\x50", None),  # a frame of AAC (ADTS): layer 0
        (b"RIFF\x04\x00\x00\x00AVI ", None),
        (b"FORM", None),
        (b"", None),
    ],
)
def test_containers_by_first_bytes(data: bytes, container: str | None) -> None:
    assert container_of(data) == container
