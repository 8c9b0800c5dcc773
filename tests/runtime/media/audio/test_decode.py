"""Decoding sounds. tests/convert/oracles/test_sound.py compares the waveforms with librosa's."""

import struct
import tracemalloc

import numpy as np
import pytest

from runtime.errors import DecodeError, InputError, TooLargeError
from runtime.media.audio.decode import (
    _resample_blocks,
    concatenate,
    decode_audio,
    resample,
    stream_audio,
)
from tests.runtime.support.recordings import sound, tone
from tests.support.shared_data import DATA, needs_data

RATE = 16_000


@pytest.mark.parametrize(
    ("file_format", "subtype", "tolerance"),
    [
        ("WAV", "PCM_16", 1e-4),
        ("WAV", "FLOAT", 1e-7),
        ("WAV", "PCM_U8", 0.01),
        ("WAVEX", "PCM_24", 1e-6),
        ("RF64", "PCM_16", 1e-4),
        ("FLAC", "PCM_16", 1e-4),
        ("OGG", "VORBIS", 0.05),
        ("OGG", "OPUS", 0.1),
        ("MP3", "MPEG_LAYER_III", 0.1),
    ],
)
def test_each_format_is_decoded(file_format: str, subtype: str, tolerance: float) -> None:
    samples = tone()
    waveform = decode_audio(sound(samples, kind=file_format, subtype=subtype), sampling_rate=RATE)
    assert waveform.dtype == np.float32
    # encoders pad the end, and MP3 the beginning: compare the middle where it correlates best
    shift = int(np.argmax(np.correlate(waveform[:6000], samples[2000:4000], "valid")))
    part = waveform[shift : shift + 2000]
    np.testing.assert_allclose(part, samples[2000:4000], atol=tolerance)


def test_channels_are_averaged() -> None:
    left, right = tone(level=0.5), tone(level=0.1)
    waveform = decode_audio(sound(np.stack([left, right], axis=1)), sampling_rate=RATE)
    np.testing.assert_allclose(waveform, (left + right) / 2, atol=1e-7)


@pytest.mark.parametrize(
    ("samples", "rate", "length"),
    [(44_100, 44_100, 16_000), (12_345, 22_050, 8958), (800, 8000, 1600)],
)
def test_length_is_rounded_up(samples: int, rate: int, length: int) -> None:
    assert resample(np.zeros(samples, np.float32), rate, RATE).shape == (length,)


def test_resampling_keeps_low_frequencies_and_drops_those_that_would_alias() -> None:
    low, high = (tone(rate=48_000, hertz=hertz) for hertz in (440.0, 12_000.0))
    waveform = resample(low + high, 48_000, RATE)
    np.testing.assert_allclose(waveform[1000:-1000], tone()[1000:-1000], atol=2e-3)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the sound is empty; allowed: WAV, FLAC, Ogg (Vorbis, Opus), MP3"),
        (b"RIFF\x04\x00\x00\x00AVI ", "the sound is AVI video; allowed: WAV"),
        (b"FORM\x00\x00\x00\x04AIFF", "the sound is AIFF audio; allowed: WAV"),
        (b"\xff\xd8\xff\xe0", "the sound is JPEG; allowed: WAV"),
        (b"\x00\x00\x00\x20ftypavif", "the sound is AVIF; allowed: WAV"),
        (b"\x00\x00\x00\x20ftypheic", "the sound is HEIC; allowed: WAV"),
        (b"no sound", "the sound begins with bytes 6e 6f 20 73"),
        (b"RIFF\x04\x00\x00\x00WAVE", "cannot be decoded"),
        (b"OggS" + bytes(60), "cannot be decoded"),
        (b"fLaC" + bytes(60), "cannot be decoded"),
        (b"ID3\x03" + bytes(60), "cannot be decoded"),
    ],
)
def test_other_files_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(DecodeError) as caught:
        decode_audio(data, sampling_rate=RATE)
    assert message in str(caught.value)


@pytest.mark.parametrize("size", [1, 777, 65_536])
def test_resampling_in_blocks_equals_resampling_at_once(size: int) -> None:
    generator = np.random.default_rng(0)
    waveform = generator.uniform(-1, 1, 20_011).astype(np.float32)
    blocks = (waveform[at : at + size] for at in range(0, waveform.size, size))
    joined = concatenate(_resample_blocks(blocks, 44_100, RATE))
    np.testing.assert_allclose(joined, resample(waveform, 44_100, RATE), rtol=0, atol=1e-6)


def test_streaming_an_hour_needs_the_memory_of_one_block() -> None:
    hour = sound(np.zeros(3600 * 8000, np.float32), rate=8000, kind="FLAC", subtype="PCM_16")
    tracemalloc.start()
    total = sum(b.size for b in stream_audio(hour, sampling_rate=RATE, max_seconds=3600))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == 3600 * RATE
    assert peak < 4e6  # bytes; whole it is 230 MB


def test_a_file_that_is_cut_off_is_decoded_as_far_as_it_goes() -> None:
    whole = sound(tone(), subtype="PCM_16")
    waveform = decode_audio(whole[: len(whole) // 2], sampling_rate=RATE)
    assert 7000 < waveform.size < 8001


@pytest.mark.parametrize(
    ("samples", "seconds"), [(0, "0.000"), (464, "0.029"), (800, "0.050"), (1599, "0.099")]
)
def test_too_short_a_sound_is_refused(samples: int, seconds: str) -> None:
    with pytest.raises(InputError) as caught:
        decode_audio(sound(tone(seconds=samples / RATE)), sampling_rate=RATE)
    assert str(caught.value) == f"the sound is {seconds} s long; allowed: at least 0.1 s"


def test_the_header_of_too_long_a_sound_is_enough() -> None:
    # ten minutes of silence in a few kB
    data = sound(np.zeros(600 * RATE, np.float32), kind="FLAC", subtype="PCM_16")
    with pytest.raises(TooLargeError, match=r"the sound is 600\.0 s long; allowed: 30 s"):
        decode_audio(data, sampling_rate=RATE)


@pytest.mark.parametrize(
    ("samples", "seconds"), [(16_001, "1.1"), (17_600, "1.1"), (17_601, "1.2")]
)
def test_a_length_just_over_the_limit_is_rounded_up(samples: int, seconds: str) -> None:
    with pytest.raises(TooLargeError, match=f"the sound is {seconds} s long; allowed: 1 s"):
        decode_audio(sound(tone(seconds=samples / RATE)), sampling_rate=RATE, max_seconds=1)


def test_the_length_is_checked_while_decoding_if_the_header_has_none() -> None:
    data = bytearray(sound(np.zeros(40 * RATE, np.float32), kind="FLAC", subtype="PCM_16"))
    assert int.from_bytes(data[21:26], "big") & (2**36 - 1) == 40 * RATE
    data[21] &= 0xF0  # STREAMINFO: 0 samples means unknown
    data[22:26] = bytes(4)
    with pytest.raises(TooLargeError, match="the sound is longer than is allowed: 30 s"):
        decode_audio(bytes(data), sampling_rate=RATE)


def test_too_many_channels_are_refused() -> None:
    data = sound(np.zeros((2000, 9), np.float32))
    with pytest.raises(TooLargeError, match="9 channels; allowed: 8"):
        decode_audio(data, sampling_rate=RATE)


@pytest.mark.parametrize("rate", [999, 192_001])
def test_rates_out_of_range_are_refused(rate: int) -> None:
    with pytest.raises(InputError, match=rf"at {rate} Hz; allowed: 1000 to 192000 Hz"):
        decode_audio(sound(np.zeros(rate, np.float32), rate=rate), sampling_rate=RATE)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_finite_are_refused(value: float) -> None:
    samples = tone()
    samples[100] = value
    with pytest.raises(InputError, match="samples that are not finite numbers"):
        decode_audio(sound(samples), sampling_rate=RATE)


def test_integers_stored_as_floats_are_refused() -> None:
    with pytest.raises(InputError, match=r"the sound's samples reach 32[0-9]{3}; allowed: 16"):
        decode_audio(sound(tone(level=32_767)), sampling_rate=RATE)


def test_a_small_overshoot_is_not_clipped() -> None:
    waveform = decode_audio(sound(tone(level=1.2)), sampling_rate=RATE)
    assert waveform.max() == pytest.approx(1.2, abs=1e-3)


def test_a_false_length_in_the_header_is_ignored() -> None:
    data = bytearray(sound(tone(), subtype="PCM_16"))
    at = data.index(b"data")
    data[at + 4 : at + 8] = struct.pack("<I", 0xFFFFFFF0)
    assert decode_audio(bytes(data), sampling_rate=RATE).size == RATE


@needs_data
def test_real_speech_and_malformed_files_are_decoded_or_refused() -> None:
    speech = sorted((DATA / "speech").rglob("*.*"))
    malformed = sorted(p for p in (DATA / "badmedia").glob("audio_*/*") if p.is_file())
    for path in speech:
        waveform = decode_audio(path.read_bytes(), sampling_rate=RATE)
        assert 0.01 < np.abs(waveform).max() < 1.2, path
    refused = 0
    for path in malformed:
        try:
            decode_audio(path.read_bytes(), sampling_rate=RATE)
        except InputError:
            refused += 1
    assert len(malformed) > refused > 20
