"""WebM and M4A: decoded if PyAV is installed, otherwise refused with the reason."""

import importlib.util
import io

import numpy as np
import pytest

from runtime.errors import DecodeError, InputError, TooLargeError
from runtime.media.audio import pyav
from runtime.media.audio.channels import CANCELLED
from runtime.media.audio.decode import concatenate, decode_audio, stream_audio
from runtime.media.isolation.pool import IsolatedDecoders
from tests.runtime.support.recordings import tone
from tests.support.shared_data import DATA, needs_data

RATE = 16_000
needs_av = pytest.mark.skipif(
    importlib.util.find_spec("av") is None,
    reason="PyAV is not installed: pip install -r requirements/av.txt",
)


def recording(
    container: str, codec: str, *, rate: int, channels: int = 2, second: float = 0.5
) -> bytes:
    """Encode two seconds of 440 Hz with PyAV; `second` is the level of the second channel."""
    import av

    buffer = io.BytesIO()
    left = tone(seconds=2, rate=rate)
    samples = np.stack([left * np.float32(share) for share in (1, second)[:channels]])
    layout = ("mono", "stereo")[channels - 1]
    with av.open(buffer, "w", format=container) as file:
        stream = file.add_stream(codec, rate=rate, layout=layout)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=layout)
        frame.sample_rate = rate
        fifo = av.AudioFifo()
        fifo.write(frame)
        resampler = av.AudioResampler(format=stream.format, layout=layout, rate=rate)
        while part := fifo.read(stream.codec_context.frame_size or 1024, partial=True):
            for ready in resampler.resample(part):
                file.mux(stream.encode(ready))
        file.mux(stream.encode(None))
    return buffer.getvalue()


def check_tone(waveform: np.ndarray, level: float) -> None:
    """Check for a tone of 440 Hz and an amplitude, whatever the delay of the codec."""
    assert waveform.dtype == np.float32
    assert waveform.size == pytest.approx(2 * RATE, abs=0.1 * RATE)
    middle = waveform[8000:24_000]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(middle.size)))
    assert np.argmax(spectrum) == pytest.approx(440, abs=1)  # of 16 000 samples: 1 Hz a bin
    assert np.sqrt(2 * np.square(middle).mean()) == pytest.approx(level, rel=0.05)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"\x1a\x45\xdf\xa3" + bytes(60), "WebM or Matroska"),
        (b"\x00\x00\x00\x18ftypM4A " + bytes(60), "MP4 or M4A"),
    ],
)
def test_without_pyav_the_refusal_names_it(
    monkeypatch: pytest.MonkeyPatch, data: bytes, name: str
) -> None:
    monkeypatch.setattr(pyav, "is_installed", lambda: False)
    with pytest.raises(DecodeError) as caught:
        decode_audio(data, sampling_rate=RATE)
    assert str(caught.value) == (
        f"the sound is {name}, which is read only where the optional package av (PyAV) is "
        "installed; allowed here: WAV, FLAC, Ogg (Vorbis, Opus), MP3"
    )


@needs_av
@pytest.mark.parametrize(
    ("container", "codec", "rate"),
    [
        ("webm", "libopus", 48_000),
        ("matroska", "pcm_s32le", 44_100),
        ("ipod", "aac", 44_100),
        ("mp4", "aac", 22_050),
        ("mov", "pcm_s16le", 32_000),
        ("mov", "alac", 48_000),
        ("matroska", "pcm_u8", 8000),
    ],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_recordings_of_browsers_and_phones_are_decoded(
    container: str, codec: str, rate: int, channels: int
) -> None:
    data = recording(container, codec, rate=rate, channels=channels)
    check_tone(decode_audio(data, sampling_rate=RATE), 0.5 if channels == 1 else 0.375)


@needs_av
def test_a_worker_decodes_the_same() -> None:
    data = recording("webm", "libopus", rate=48_000)
    with IsolatedDecoders() as pool:
        waveform = concatenate(pool.stream_audio(data, sampling_rate=RATE, max_seconds=30))
    np.testing.assert_array_equal(waveform, decode_audio(data, sampling_rate=RATE))


@needs_av
def test_too_long_is_refused() -> None:
    with pytest.raises(TooLargeError, match="the sound is longer than is allowed: 1 s"):
        decode_audio(recording("ipod", "aac", rate=44_100), sampling_rate=RATE, max_seconds=1)


@needs_av
@pytest.mark.parametrize(("container", "codec"), [("webm", "libopus"), ("ipod", "aac")])
def test_damaged_files_are_decoded_or_refused(container: str, codec: str) -> None:
    whole = np.frombuffer(recording(container, codec, rate=48_000), np.uint8)
    generator = np.random.default_rng(0)
    refused = 0
    for attempt in range(40):
        # M4A has its index at the end: of a file that is cut off, nothing can be decoded
        size = whole.size if attempt % 2 else generator.integers(20, whole.size)
        damaged = whole[:size].copy()
        places = generator.integers(16, damaged.size, 20)
        damaged[places] = generator.integers(0, 256, 20)
        try:
            waveform = decode_audio(damaged.tobytes(), sampling_rate=RATE)
        except InputError:
            refused += 1
            continue
        assert np.isfinite(waveform).all()
    assert refused < 40


@needs_av
@needs_data
def test_real_recordings() -> None:
    folder = DATA / "badmedia"
    lengths = {"audio_pydub/test5.webm": 1.48, "audio_pydub/creative_common.mp4": 2.261}
    for name, seconds in lengths.items():
        waveform = decode_audio((folder / name).read_bytes(), sampling_rate=RATE)
        assert waveform.size / RATE == pytest.approx(seconds, abs=1e-3)
        assert 0.1 < np.abs(waveform).max() < 1
    cut_off = (folder / "audio_tinytag/test2.m4a").read_bytes()
    with pytest.raises(DecodeError, match="the MP4 or M4A file holds no sound that can be decoded"):
        decode_audio(cut_off, sampling_rate=RATE)


@needs_av
@pytest.mark.parametrize(("container", "codec"), [("webm", "libopus"), ("ipod", "aac")])
def test_opposite_channels_are_not_silence(container: str, codec: str) -> None:
    warnings: list[str] = []
    data = recording(container, codec, rate=48_000, second=-1)
    blocks = stream_audio(data, sampling_rate=RATE, max_seconds=30, warn=warnings.append)
    check_tone(concatenate(blocks), 0.5)
    assert warnings == [CANCELLED]
