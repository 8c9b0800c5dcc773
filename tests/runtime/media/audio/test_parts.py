"""Sounds whose headers tell a wrong length: all of what the file holds is decoded."""

import struct

import numpy as np
import pytest

from runtime.errors import DecodeError, TooLargeError
from runtime.media.audio.decode import concatenate, stream_audio
from runtime.media.audio.parts import MAX_PARTS
from runtime.media.audio.parts.wav import is_plain_wav
from runtime.media.isolation.pool import IsolatedDecoders
from tests.runtime.support.recordings import sound, tone
from tests.support.shared_data import CASES, needs_data

RATE = 16_000
SUBTYPES = {"WAV": "PCM_16", "RF64": "PCM_16", "FLAC": "PCM_16", "OGG": "VORBIS"}
SUBTYPES["MP3"] = "MPEG_LAYER_III"
LONGER = "the header of the sound says {:.1f} s, the file holds {:.1f} s: all of it was used"
CUT_OFF = "the header of the sound says {:.1f} s, the file holds {:.1f} s: it is cut off"


def encoded(kind: str, *, hertz: float = 440.0, rate: int = RATE, seconds: float = 1.5) -> bytes:
    samples = tone(hertz=hertz, rate=rate, seconds=seconds)
    return sound(samples, kind=kind, subtype=SUBTYPES[kind], rate=rate)


def decoded(data: bytes, *, max_seconds: float = 60) -> tuple[np.ndarray, list[str]]:
    warnings: list[str] = []
    blocks = stream_audio(data, sampling_rate=RATE, max_seconds=max_seconds, warn=warnings.append)
    return concatenate(blocks), warnings


def frequencies(waveform: np.ndarray, *, parts: int) -> list[float]:
    """Return the loudest frequency in the middle second of each of equal parts."""
    size = waveform.size // parts
    middles = [waveform[i * size + size // 2 :][: size // 4] for i in range(parts)]
    return [float(np.abs(np.fft.rfft(m)).argmax() * RATE / m.size) for m in middles]


@pytest.mark.parametrize("second_rate", [RATE, 44_100])
@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3"])
def test_joined_files_are_decoded_to_the_end(kind: str, second_rate: int) -> None:
    first, second = encoded(kind), encoded(kind, hertz=1000, rate=second_rate)
    waveform, warnings = decoded(first + second)
    assert waveform.size / RATE == pytest.approx(3.0, abs=0.02)
    assert frequencies(waveform, parts=2) == pytest.approx([440, 1000], abs=5)
    # the pages of Ogg tell the length of their own link, and no header that of the file
    expected = [] if kind == "OGG" else [LONGER.format(1.6 if kind == "MP3" else 1.5, 3.0)]
    assert warnings == expected


@pytest.mark.parametrize("kind", ["WAV", "RF64", "FLAC", "OGG", "MP3"])
def test_a_whole_file_has_no_warning(kind: str) -> None:
    waveform, warnings = decoded(encoded(kind))
    assert (waveform.size, warnings) == (24_000, [])


def test_links_of_a_chain_may_have_different_codecs_and_run_side_by_side_pages() -> None:
    opus = sound(tone(hertz=1000), kind="OGG", subtype="OPUS")
    waveform, warnings = decoded(encoded("OGG", seconds=1.0) + opus)
    assert waveform.size == 32_000
    assert frequencies(waveform, parts=2) == pytest.approx([440, 1000], abs=5)
    assert warnings == []


def with_data_size(size: int) -> bytes:
    data = encoded("WAV")
    return data[:40] + struct.pack("<I", size) + data[44:]


@pytest.mark.parametrize(
    ("size", "warnings"),
    [
        (0, []),
        (0xFFFFFFFF, []),
        (0x7FFFF800, []),
        (0x80000000, []),
        (24_000, [LONGER.format(0.8, 1.5)]),
        (23_001, [LONGER.format(0.7, 1.5)]),
        (480_000, [CUT_OFF.format(15.0, 1.5)]),
    ],
)
def test_wrong_sizes_of_a_wav_are_not_believed(size: int, warnings: list[str]) -> None:
    waveform, actual = decoded(with_data_size(size))
    np.testing.assert_array_equal(waveform, decoded(encoded("WAV"))[0])
    assert actual == warnings


def test_a_wrong_size_in_rf64_is_not_believed() -> None:
    data = encoded("RF64")
    place = data.index(b"ds64") + 16
    wrong = data[:place] + struct.pack("<Q", 24_000) + data[place + 8 :]
    waveform, warnings = decoded(wrong)
    assert (waveform.size, warnings) == (24_000, [LONGER.format(0.8, 1.5)])


@pytest.mark.parametrize(
    "tail",
    [
        b"LIST\x1a\0\0\0INFOISFT\x0d\0\0\0Lavf58.29.100\0",
        b"id3 \x80\x13\0\0" + bytes(range(250)) * 20,
        b"ID3\x04\0\0\0\0\0\x76" + bytes(range(250)) * 20,
        b"TAG" + b"title".ljust(125, b" "),
        bytes(8000),
        b"\r\n",
    ],
)
def test_chunks_tags_and_padding_behind_the_samples_are_no_sound(tail: bytes) -> None:
    waveform, warnings = decoded(encoded("WAV") + tail)
    assert (waveform.size, warnings) == (24_000, [])


def test_a_joined_wav_is_plain_only_if_all_its_files_are() -> None:
    adpcm = sound(tone(), subtype="IMA_ADPCM")
    assert is_plain_wav(encoded("WAV") * 2)
    assert not is_plain_wav(encoded("WAV") + adpcm)
    assert not is_plain_wav(encoded("WAV", seconds=0.1) * 17)
    assert decoded(encoded("WAV") + adpcm)[0].size == pytest.approx(40_000, abs=1000)


def with_flac_total(samples: int) -> bytes:
    data = bytearray(encoded("FLAC"))
    fields = int.from_bytes(data[18:26], "big") >> 36 << 36 | samples
    return bytes(data[:18]) + fields.to_bytes(8, "big") + bytes(data[26:])


@pytest.mark.parametrize(
    ("samples", "warnings"),
    [(0, []), (12_000, [LONGER.format(0.8, 1.5)]), (48_000, [CUT_OFF.format(3.0, 1.5)])],
)
def test_wrong_numbers_of_samples_in_flac_are_not_believed(
    samples: int, warnings: list[str]
) -> None:
    waveform, actual = decoded(with_flac_total(samples))
    assert (waveform.size, actual) == (24_000, warnings)


@pytest.mark.parametrize("padding", [1, 64, 3000, 100_000])
def test_zeros_before_the_first_frame_of_an_mp3_are_skipped(padding: int) -> None:
    data = encoded("MP3")
    expected, _ = decoded(data)
    for padded in (bytes(padding) + data, data[:0] + bytes(padding) + b"ID3\4\0\0\0\0\0\1x" + data):
        waveform, warnings = decoded(padded)
        np.testing.assert_array_equal(waveform, expected)
        assert warnings == []


def test_zeros_before_no_frame_are_a_damaged_mp3() -> None:
    with pytest.raises(DecodeError, match="cannot be decoded"):
        decoded(bytes(100) + b"\xff\xfb" + bytes(200))
    with pytest.raises(DecodeError, match="begins with bytes 00 00"):
        decoded(bytes(1000))


def test_an_mp3_that_goes_on_behind_its_count_of_frames_is_decoded_to_the_end() -> None:
    data = encoded("MP3")
    place = data.index(b"Xing") + 8
    low = data[:place] + struct.pack(">I", 10) + data[place + 4 :]
    waveform, warnings = decoded(low)
    assert waveform.size / RATE == pytest.approx(1.5, abs=0.2)  # with the encoder's silence
    assert warnings == [LONGER.format(0.4, waveform.size / RATE)]


def test_tags_between_the_files_of_a_joined_mp3_are_skipped() -> None:
    tag = b"ID3\4\0\0\0\0\7\x68" + encoded("MP3")[:1000]  # a tag that holds what looks like frames
    for between in (b"TAG" + bytes(125), tag, bytes(500), b"TAG" + bytes(125) + tag):
        waveform, warnings = decoded(encoded("MP3") + between + encoded("MP3", hertz=1000))
        assert waveform.size == 48_000
        assert frequencies(waveform, parts=2) == pytest.approx([440, 1000], abs=5)
        assert len(warnings) == 1


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3"])
def test_all_parts_count_to_the_longest_sound(kind: str) -> None:
    with pytest.raises(TooLargeError, match="the sound is longer than is allowed: 2 s"):
        decoded(encoded(kind) * 2, max_seconds=2)


def test_too_many_parts_are_refused() -> None:
    data = encoded("FLAC", seconds=0.01)
    assert decoded(data * MAX_PARTS)[0].size == 160 * MAX_PARTS
    with pytest.raises(DecodeError, match="joined from more than the 256 parts allowed"):
        decoded(data * (MAX_PARTS + 1))


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3"])
def test_damaged_joined_files_are_decoded_or_refused(kind: str) -> None:
    generator = np.random.default_rng(0)
    whole = np.frombuffer(encoded(kind, seconds=0.5) * 3, np.uint8)
    for _ in range(60):
        damaged = whole[: generator.integers(20, whole.size)].copy()
        places = generator.integers(12, damaged.size, 12)
        damaged[places] = generator.integers(0, 256, 12)
        try:
            waveform, _ = decoded(damaged.tobytes())
        except Exception as error:
            assert type(error).__module__ == "runtime.errors", error  # noqa: PT017
            continue
        assert waveform.size <= 3 * RATE


def test_a_worker_decodes_all_parts_and_warns() -> None:
    data = encoded("MP3") + encoded("MP3", hertz=1000)
    warnings: list[str] = []
    with IsolatedDecoders() as pool:
        blocks = pool.stream_audio(data, sampling_rate=RATE, max_seconds=30, warn=warnings.append)
        waveform = concatenate(blocks)
    np.testing.assert_array_equal(waveform, decoded(data)[0])
    assert warnings == [LONGER.format(1.6, 3.0)]


@needs_data
@pytest.mark.parametrize(
    ("name", "seconds", "warned"),
    [
        ("mp3-two-joined.mp3", 3.05, True),
        ("wav-length-understated.wav", 3.0, True),
        ("wav-unfinalised.wav", 1.5, False),
        ("mp3-leading-zeros.mp3", 1.5, False),
    ],
)
def test_cases(name: str, seconds: float, warned: bool) -> None:
    waveform, warnings = decoded((CASES / name).read_bytes())
    assert waveform.size / RATE == pytest.approx(seconds, abs=0.1)
    assert bool(warnings) == warned
    assert np.abs(waveform).max() > 0.3


def test_an_mp3_of_variable_bitrate_without_a_count_is_decoded_to_the_end() -> None:
    data = encoded("MP3")
    first = data.index(b"\xff\xf3", 4)  # behind the frame that tells the count
    waveform, warnings = decoded(data[first:])
    assert waveform.size / RATE == pytest.approx(1.5, abs=0.2)
    assert warnings == []
