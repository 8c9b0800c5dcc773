"""Which sounds a decoder has to unfold, told from their first bytes."""

import numpy as np
import pytest

from runtime.media.audio.containers import is_plain_wav, kind_of
from tests.runtime.support.recordings import sound, tone


@pytest.mark.parametrize(
    ("kind", "subtype", "plain"),
    [
        *[("WAV", s, True) for s in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")],
        *[("WAV", s, True) for s in ("ALAW", "ULAW")],
        ("WAVEX", "PCM_16", True),
        ("RF64", "PCM_24", True),
        *[("WAV", s, False) for s in ("IMA_ADPCM", "MS_ADPCM", "GSM610", "G721_32")],
        *[("FLAC", "PCM_16", False), ("OGG", "VORBIS", False), ("MP3", "MPEG_LAYER_III", False)],
    ],
)
def test_what_is_plain(kind: str, subtype: str, plain: bool) -> None:
    data = sound(tone(rate=8000), rate=8000, kind=kind, subtype=subtype)
    assert kind_of(data) == {"WAVEX": "wav", "RF64": "wav"}.get(kind, kind.lower())
    assert is_plain_wav(data) == plain


def test_damaged_headers_are_not_plain() -> None:
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
    ("data", "kind"),
    [
        (b"\x1a\x45\xdf\xa3", "matroska"),
        (b"\x00\x00\x00\x18ftypM4A ", "mp4"),
        (b"\x00\x00\x00\x18ftypheic", None),
        (b"\xff\xfb\x90", "mp3"),
        (b"\xff\xf1\x50", None),  # AAC as a stream: layer 0
        (b"RIFF\x04\x00\x00\x00AVI ", None),
        (b"FORM", None),
        (b"", None),
    ],
)
def test_kinds(data: bytes, kind: str | None) -> None:
    assert kind_of(data) == kind
