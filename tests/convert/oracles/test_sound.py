"""Waveforms of the runtime against those of librosa, which the models were trained on."""

import io
import os
from pathlib import Path

import librosa
import numpy as np
import pytest

from runtime.errors import InputError
from runtime.media.audio.decode import decode_audio
from tests.runtime.support.recordings import sound, tone

# librosa warns of changes in numpy and audioread
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

RATE = 16_000
FOLDERS = ("speech", "badmedia/audio_pydub", "badmedia/audio_scipy", "badmedia/audio_tinytag")
CODERS = [
    *[("WAV", s) for s in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")],
    *[("WAV", s) for s in ("ALAW", "ULAW", "IMA_ADPCM", "MS_ADPCM")],
    ("WAVEX", "PCM_24"),
    ("RF64", "PCM_16"),
    *[("FLAC", s) for s in ("PCM_S8", "PCM_16", "PCM_24")],
    *[("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")],
]


def noisy(rate: int, channels: int, seconds: float = 0.7) -> np.ndarray:
    generator = np.random.default_rng(rate)
    base = tone(seconds=seconds, rate=rate)[:, np.newaxis]
    return (base + 0.2 * generator.uniform(-1, 1, (base.size, channels))).astype(np.float32)


def assert_equal_to_librosa(data: bytes, source: Path | io.BytesIO) -> None:
    expected, _ = librosa.load(source, sr=RATE, mono=True)
    waveform = decode_audio(data, sampling_rate=RATE, max_seconds=600)
    assert waveform.shape == expected.shape
    np.testing.assert_allclose(waveform, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    "rate",
    [1000, 7919, 8000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 88_200, 96_000, 192_000],
)
@pytest.mark.parametrize("channels", [1, 2, 5, 8])
def test_every_rate_and_channel_count(rate: int, channels: int) -> None:
    data = sound(noisy(rate, channels), rate=rate)
    assert_equal_to_librosa(data, io.BytesIO(data))


@pytest.mark.parametrize(("kind", "subtype"), CODERS)
@pytest.mark.parametrize("channels", [1, 2])
def test_every_coder(kind: str, subtype: str, channels: int) -> None:
    rate = 48_000 if subtype == "OPUS" else 44_100
    data = sound(noisy(rate, channels), rate=rate, kind=kind, subtype=subtype)
    assert_equal_to_librosa(data, io.BytesIO(data))


@pytest.mark.parametrize("rate", [8000, 12_000, 24_000, 48_000])
def test_every_rate_of_opus(rate: int) -> None:
    data = sound(noisy(rate, 2), rate=rate, kind="OGG", subtype="OPUS")
    assert_equal_to_librosa(data, io.BytesIO(data))


@pytest.mark.parametrize("rate", [8000, 11_025, 22_050, 32_000, 48_000])
def test_every_version_of_mpeg(rate: int) -> None:
    data = sound(noisy(rate, 2), rate=rate, kind="MP3", subtype="MPEG_LAYER_III")
    assert_equal_to_librosa(data, io.BytesIO(data))


@pytest.mark.parametrize("rate", [44_100, 7919])
def test_sounds_of_many_blocks(rate: int) -> None:
    # the decoder reads 65 536 frames at a time: five blocks and a part of one
    data = sound(noisy(rate, 2, seconds=5.3 * 65_536 / rate), rate=rate, subtype="PCM_16")
    assert_equal_to_librosa(data, io.BytesIO(data))


def test_real_and_malformed_files() -> None:
    folder = os.environ.get("SLIPWAY_TEST_DATA")
    if not folder:
        pytest.skip("SLIPWAY_TEST_DATA names no folder")
    files = [p for f in FOLDERS for p in sorted((Path(folder) / "data" / f).iterdir())]
    files += sorted((Path(folder) / "data" / "speech" / "emodb").rglob("*.wav"))[::3]
    decoded = 0
    for path in files:
        if not path.is_file() or path.stat().st_size > 5_000_000:
            continue
        data = path.read_bytes()
        try:
            decode_audio(data, sampling_rate=RATE, max_seconds=600)
        except InputError:
            continue
        if path.suffix not in (".mp4", ".webm", ".m4a"):  # librosa reads none of these
            assert_equal_to_librosa(data, path)
        decoded += 1
    assert decoded >= 30
