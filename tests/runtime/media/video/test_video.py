"""Sampling the frames of clips: which frames, their pixels, and what is refused."""

import struct
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from runtime.artifact.steps import Grayscale, Resize
from runtime.errors import DecodeError, InputError, TooLargeError
from runtime.media.boxes import track_headers
from runtime.media.isolation.pool import IsolatedDecoders
from runtime.media.video.reader import (
    Deadline,
    DecodedFrame,
    Timeline,
    decode_all,
    path_to,
    read_timeline,
)
from runtime.media.video.sample import (
    IMPLAUSIBLE_ASPECT,
    VideoLimits,
    _FrameCollector,
    frame_indices,
    sample_array,
    sample_frames,
)
from tests.runtime.support.recordings import shades, video
from tests.support.shared_data import CASES, DATA, needs_data

LEVELS = range(10, 250, 8)  # 30 frames, each brighter than the one before
SMALL = Resize("area", height=8, width=8)


def levels(frames: np.ndarray) -> np.ndarray:
    return np.asarray(frames.reshape(len(frames), -1).mean(axis=1))


@pytest.mark.parametrize(
    ("clip", "count", "indices"),
    [
        (16, 16, tuple(range(16))),
        (31, 16, tuple(range(0, 31, 2))),
        (100, 4, (0, 33, 66, 99)),
        (6, 4, (0, 1, 3, 5)),
        (3, 5, (0, 1, 2, 2, 2)),
        (1, 3, (0, 0, 0)),
        (9, 1, (0,)),
    ],
)
def test_indices_by_hand(clip: int, count: int, indices: tuple[int, ...]) -> None:
    assert frame_indices(clip, count) == indices


def test_indices_equal_those_of_a_division_in_floats() -> None:
    for clip in range(16, 2000):
        assert frame_indices(clip, 16) == tuple(int(i * (clip - 1) / 15) for i in range(16))


@pytest.mark.parametrize(
    ("kind", "codec"),
    [("mp4", "mp4v"), ("mov", "mp4v"), ("avi", "MJPG"), ("mkv", "mp4v"), ("webm", "VP80")],
)
def test_each_container_is_decoded_in_order(tmp_path: Path, kind: str, codec: str) -> None:
    data = video(shades(LEVELS), tmp_path, kind=kind, codec=codec)
    sampled = sample_frames(data, count=4)
    assert (sampled.clip_frames, sampled.indices) == (30, (0, 9, 19, 29))
    assert sampled.frames.shape == (4, 48, 64, 3)
    assert sampled.frames.dtype == np.uint8
    np.testing.assert_allclose(levels(sampled.frames), [10, 82, 162, 242], atol=4)


def test_frames_are_rgb_and_the_steps_are_applied(tmp_path: Path) -> None:
    clip = shades(LEVELS)
    clip[..., 0], clip[..., 1:] = 200, 20  # red
    data = video(clip, tmp_path, kind="avi", codec="MJPG")
    coloured = sample_frames(data, count=2, steps=(SMALL,)).frames
    assert coloured.shape == (2, 8, 8, 3)
    np.testing.assert_allclose(coloured.mean(axis=(0, 1, 2)), [200, 20, 20], atol=6)
    assert sample_frames(data, count=2, steps=(SMALL, Grayscale())).frames.shape == (2, 8, 8, 1)


def test_short_clip_repeats_its_last_frame(tmp_path: Path) -> None:
    sampled = sample_frames(video(shades([20, 120, 220]), tmp_path), count=5)
    assert sampled.indices == (0, 1, 2, 2, 2)
    np.testing.assert_allclose(levels(sampled.frames), [20, 120, 220, 220, 220], atol=4)


@pytest.mark.parametrize("share", [0.4, 0.7])
def test_a_clip_that_is_cut_off_is_sampled_over_its_remaining_frames(
    tmp_path: Path, share: float
) -> None:
    whole = video(shades(range(200)), tmp_path, kind="avi", codec="MJPG")
    sampled = sample_frames(whole[: int(len(whole) * share)], count=4)
    assert sampled.clip_frames == pytest.approx(200 * share, abs=12)
    assert sampled.indices == frame_indices(sampled.clip_frames, 4)
    np.testing.assert_allclose(levels(sampled.frames), sampled.indices, atol=4)


def test_an_array_is_sampled_like_a_file() -> None:
    sampled = sample_array(shades(LEVELS), count=4, steps=(SMALL,))
    np.testing.assert_array_equal(levels(sampled.frames), [10, 82, 162, 242])


@pytest.mark.parametrize("shape", [(0, 8, 8, 3), (5, 8, 8, 1), (8, 8, 3)])
def test_an_array_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"clip is uint8 .*; allowed: uint8 \(n, H, W, 3\), RGB"):
        sample_array(np.zeros(shape, np.uint8), count=4)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the video is empty; allowed: MP4, MOV, WebM, Matroska, AVI"),
        (b"GIF89a" + bytes(40), "the video is GIF; allowed: MP4"),
        (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "begins with bytes 23 45 58 54"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "begins with bytes 66 66 63 6f"),
        (b"RIFF\x04\x00\x00\x00WAVE", "the video is WAV audio; allowed: MP4"),
        (b"\x00\x00\x00\x18ftypmp42" + bytes(60), "the video cannot be decoded"),
        (b"\x1a\x45\xdf\xa3" + bytes(60), "the video cannot be decoded"),
        (b"RIFF\x04\x00\x00\x00AVI LIST", "the video cannot be decoded"),
    ],
)
def test_other_files_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(DecodeError) as caught:
        sample_frames(data, count=4)
    assert message in str(caught.value)


def test_damaged_clips_are_decoded_or_refused(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    refused = 0
    for kind, codec in (("mp4", "mp4v"), ("avi", "MJPG"), ("mkv", "mp4v")):
        whole = np.frombuffer(video(shades(LEVELS), tmp_path, kind=kind, codec=codec), np.uint8)
        for _ in range(8):
            damaged = whole.copy()
            places = generator.integers(16, whole.size, 30)
            damaged[places] = generator.integers(0, 256, 30)
            try:
                sampled = sample_frames(damaged.tobytes(), count=4, steps=(SMALL,))
            except InputError:
                refused += 1
                continue
            assert sampled.frames.shape == (4, 8, 8, 3)
    assert 0 < refused < 24


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (VideoLimits(frames=29), "the video has more frames than allowed: 29"),
        (VideoLimits(seconds=1.0), "the video is 1.2 s long; allowed: 1 s"),
        (VideoLimits(pixels=48 * 64 - 1), "frames of 64 x 48 px; allowed: 3071 px in all"),
    ],
)
def test_limits(tmp_path: Path, limits: VideoLimits, message: str) -> None:
    data = video(shades(LEVELS), tmp_path)
    with pytest.raises(TooLargeError) as caught:
        sample_frames(data, count=4, limits=limits)
    assert message in str(caught.value)


def test_the_size_in_the_header_is_checked_before_anything_is_decoded(tmp_path: Path) -> None:
    limits = VideoLimits(pixels=48 * 64 - 1)
    with path_to(video(shades(LEVELS), tmp_path)) as path, pytest.raises(TooLargeError, match="64"):
        read_timeline(path, limits, Deadline.start(limits))


def test_frames_are_counted_when_the_header_claims_fewer(tmp_path: Path) -> None:
    data = bytearray(video(shades(LEVELS), tmp_path, kind="avi", codec="MJPG"))
    for chunk, offset in ((b"avih", 24), (b"strh", 40)):  # their counts of frames
        at = data.index(chunk) + offset
        assert int.from_bytes(data[at : at + 4], "little") == 30
        data[at : at + 4] = (3).to_bytes(4, "little")
    sampled = sample_frames(bytes(data), count=4)
    assert (sampled.clip_frames, sampled.indices) == (30, (0, 9, 19, 29))
    with pytest.raises(TooLargeError, match="more frames than allowed: 20"):
        sample_frames(bytes(data), count=4, limits=VideoLimits(frames=20))


def test_times_begin_at_the_first_frame(tmp_path: Path) -> None:
    data = video(shades(LEVELS), tmp_path, fps=10)
    assert sample_frames(data, count=4).times_s == pytest.approx((0.0, 0.9, 1.9, 2.9), abs=1e-3)
    assert sample_frames(data, count=1).times_s == (0.0,)


def test_decoding_ends_with_the_deadline(tmp_path: Path) -> None:
    data = video(shades(LEVELS), tmp_path)
    with pytest.raises(TooLargeError, match="takes too long to decode; allowed: 0 s"):
        sample_frames(data, count=4, limits=VideoLimits(deadline_s=0))


@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_the_chunk_size_does_not_change_the_frames(tmp_path: Path, chunk: int) -> None:
    data = video(shades(LEVELS), tmp_path)
    sampled = sample_frames(data, count=8, steps=(SMALL,), limits=VideoLimits(chunk=chunk))
    expected = sample_frames(data, count=8, steps=(SMALL,))
    np.testing.assert_array_equal(sampled.frames, expected.frames)


def test_a_chunk_holds_no_more_pixels_than_one_frame_may_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunk_sizes: list[int] = []
    preprocess_chunk = _FrameCollector.preprocess_chunk

    def record_size(collector: _FrameCollector) -> None:
        chunk_sizes.append(len(collector.full_size))
        preprocess_chunk(collector)

    monkeypatch.setattr(_FrameCollector, "preprocess_chunk", record_size)
    data = video(shades(LEVELS), tmp_path)
    sample_frames(data, count=9, limits=VideoLimits(chunk=4))
    assert chunk_sizes == [4, 4, 1]
    chunk_sizes.clear()
    sample_frames(data, count=9, limits=VideoLimits(chunk=4, pixels=3 * 48 * 64))
    assert chunk_sizes == [3, 3, 3, 0]


def noisy(count: int) -> np.ndarray:
    """Return a clip whose frames all differ, (n, 48, 64, 3)."""
    coarse = np.random.default_rng(0).integers(0, 256, (count, 6, 8, 3), np.uint8)
    return coarse.repeat(8, axis=1).repeat(8, axis=2)


def test_seeking_returns_the_frames_that_full_decoding_returns(tmp_path: Path) -> None:
    data = video(noisy(90), tmp_path, kind="avi", codec="MJPG")
    with path_to(data) as path:
        timeline = read_timeline(path, VideoLimits(), Deadline.start(VideoLimits()))
    assert timeline.seekable
    assert timeline.keys == list(range(90))
    for count in (2, 3, 7):
        sampled = sample_frames(data, count=count)
        assert sampled.by_seeking
        decoded: list[DecodedFrame] = []
        with path_to(data) as path:
            frame_count = decode_all(
                path,
                sampled.indices,
                decoded.append,
                limits=VideoLimits(),
                deadline=Deadline.start(VideoLimits()),
            )
        assert frame_count == 90
        expected = [frame.pixels[..., ::-1] for frame in decoded]
        np.testing.assert_array_equal(sampled.frames, expected)


@pytest.mark.parametrize("wrong", ["moved", "missing", "more", "hidden"])
def test_a_seek_that_lands_elsewhere_falls_back_to_full_decoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    data = video(noisy(90), tmp_path, kind="avi", codec="MJPG")

    def read_wrong_timeline(path: str, limits: VideoLimits, deadline: Deadline) -> Timeline:
        packets = list(read_timeline(path, limits, deadline).packets)
        if wrong == "moved":
            packets = [replace(packet, time_ms=packet.time_ms + 7) for packet in packets]
        elif wrong == "missing":
            del packets[-1]
        elif wrong == "hidden":
            packets.insert(2, replace(packets[1], time_ms=packets[1].time_ms + 7))
        else:
            packets.append(replace(packets[-1], time_ms=packets[-1].time_ms + 40))
        return Timeline(tuple(packets), seekable=True)

    count = 40 if wrong == "hidden" else 5  # 40 are too close together for seeks
    expected = sample_frames(data, count=count)
    monkeypatch.setattr("runtime.media.video.reader.read_timeline", read_wrong_timeline)
    sampled = sample_frames(data, count=count)
    assert not sampled.by_seeking
    assert sampled.indices == expected.indices
    np.testing.assert_array_equal(sampled.frames, expected.frames)


def test_frames_that_opencv_did_not_convert_are_refused(tmp_path: Path) -> None:
    data = bytearray(video(noisy(20), tmp_path))
    start = data.index(b"\x00\x00\x01\x20")  # MPEG-4's video object layer
    bits = "".join(f"{byte:08b}" for byte in data[start : start + 40])
    size = f"1{64:013b}1{48:013b}1"
    place = bits.index(size) + len(size)
    data[start + place // 8] |= 0x80 >> place % 8  # "interlaced"
    with pytest.raises(DecodeError, match="interlaced video is not decoded here"):
        sample_frames(bytes(data), count=4)


@pytest.mark.parametrize(("kind", "codec"), [("mp4", "mp4v"), ("avi", "MJPG"), ("webm", "VP80")])
def test_a_clip_without_motion_is_not_taken_for_interlaced(
    tmp_path: Path, kind: str, codec: str
) -> None:
    for clip in (shades([80] * 40), noisy(1).repeat(40, axis=0)):
        data = video(clip, tmp_path, kind=kind, codec=codec)
        assert len(sample_frames(data, count=8).frames) == 8


def test_sounds_and_photos_in_mp4_are_refused() -> None:
    for brand, name in ((b"M4A ", "M4A audio"), (b"heic", "HEIC"), (b"avif", "AVIF")):
        with pytest.raises(DecodeError, match=f"^the video is {name}; allowed: MP4, MOV, WebM"):
            sample_frames(b"\x00\x00\x00\x18ftyp" + brand + bytes(60), count=4)


@pytest.mark.parametrize("kind", ["mp4", "webm"])
def test_a_clip_coded_as_av1_is_refused_by_name(kind: str) -> None:
    data = (Path(__file__).parents[3] / "data" / "clips" / f"av1.{kind}").read_bytes()
    with pytest.raises(DecodeError) as caught:
        sample_frames(data, count=4)
    assert str(caught.value) == (
        "the video, coded as AV1, holds no frame that can be decoded; allowed: MP4, MOV, WebM, "
        "Matroska, AVI, with H.264, H.265, VP8, VP9, MPEG-4, Motion JPEG"
    )


def test_no_file_descriptor_is_left_open(tmp_path: Path) -> None:
    data = video(shades(LEVELS), tmp_path)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        sample_frames(data, count=4)
        with pytest.raises(DecodeError):
            sample_frames(data[:100], count=4)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_refusals_write_nothing_to_stderr(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = video(shades(LEVELS), tmp_path, kind="avi", codec="MJPG")
    sample_frames(data[: len(data) // 2], count=4)
    with pytest.raises(DecodeError):
        sample_frames(b"\x00\x00\x00\x18ftypmp42" + bytes(60), count=4)
    assert capfd.readouterr().err == ""


REAL_CLIPS = {  # number of frames
    "har_walking.mp4": 462,
    "mma_test.avi": 164,
    "mp_walking.mp4": 144,
    "please.mkv": 73,
    "realshort.mp4": 36,
}


@needs_data
@pytest.mark.parametrize("name", REAL_CLIPS)
def test_real_clips_equal_frames_read_by_opencv_one_by_one(name: str) -> None:
    path = DATA / "video" / name
    sampled = sample_frames(path.read_bytes(), count=16, steps=(SMALL,))
    assert sampled.clip_frames == REAL_CLIPS[name]
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    small = []
    while (read := capture.read())[0]:
        small.append(cv2.resize(read[1], (8, 8), interpolation=cv2.INTER_AREA)[..., ::-1])
    capture.release()
    assert len(small) == REAL_CLIPS[name]
    np.testing.assert_array_equal(sampled.frames, [small[i] for i in frame_indices(len(small), 16)])


@needs_data
def test_real_clip_over_a_minute_and_files_without_video_are_refused() -> None:
    long = (DATA / "video" / "one-by-one-person-detection.mp4").read_bytes()
    with pytest.raises(TooLargeError, match=r"the video is 139\.4 s long; allowed: 60 s"):
        sample_frames(long, count=16)
    with pytest.raises(DecodeError, match="cannot be decoded, or holds no pictures"):
        sample_frames((DATA / "badmedia/audio_pydub/test5.webm").read_bytes(), count=16)
    with pytest.raises(DecodeError, match="the video is M4A audio; allowed: MP4"):
        sample_frames((DATA / "badmedia/audio_tinytag/alac_file.m4a").read_bytes(), count=16)


@needs_data
def test_a_real_clip_is_sampled_by_seeking() -> None:
    folder = DATA / "video"
    data = (folder / "one-by-one-person-detection.mp4").read_bytes()
    sampled = sample_frames(data, count=3, steps=(SMALL,), limits=VideoLimits(seconds=200))
    assert (sampled.by_seeking, sampled.indices) == (True, (0, 696, 1393))
    assert sampled.times_s == pytest.approx((0.0, 69.6, 139.3), abs=1e-3)
    capture = cv2.VideoCapture(str(folder / "one-by-one-person-detection.mp4"), cv2.CAP_FFMPEG)
    small = []
    for index in range(1394):
        assert capture.grab()
        if index in sampled.indices:
            frame = capture.retrieve()[1]
            small.append(cv2.resize(frame, (8, 8), interpolation=cv2.INTER_AREA)[..., ::-1])
    np.testing.assert_array_equal(sampled.frames, small)


@pytest.mark.parametrize("matrix", [(-1, 0, 0, 1), (1, 0, 0, -1), (0, 1, 1, 0)])
def test_a_mirrored_clip_is_refused(tmp_path: Path, matrix: tuple[int, ...]) -> None:
    data = bytearray(video(shades(LEVELS), tmp_path))
    place = data.index(b"tkhd") + 44  # version 0
    a, b, c, d = (value * 65536 for value in matrix)
    data[place : place + 20] = struct.pack(">5i", a, b, 0, c, d)
    with pytest.raises(DecodeError, match="the video's display matrix mirrors it"):
        sample_frames(bytes(data), count=4)


# matrix entries a, b, c, d by quarter turns clockwise
TURN_MATRICES = {1: (0, 1, -1, 0), 2: (-1, 0, 0, -1), 3: (0, -1, 1, 0)}


@needs_data
@pytest.mark.parametrize("quarters", TURN_MATRICES)
def test_a_clip_with_a_turned_display_matrix_is_turned(quarters: int) -> None:
    path = DATA / "video" / "realshort.mp4"
    data = bytearray(path.read_bytes())
    upright = sample_frames(bytes(data), count=3).frames
    matrix = data.index(b"tkhd") + 44  # version 0
    a, b, c, d = (value * 65536 for value in TURN_MATRICES[quarters])
    data[matrix : matrix + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    turned = sample_frames(bytes(data), count=3).frames
    np.testing.assert_array_equal(turned, np.rot90(upright, -quarters, axes=(1, 2)))


def with_pixel_aspect(data: bytes, wide: int, high: int) -> bytes:
    """Return an MP4 with a `pasp` box in its sample description.

    OpenCV writes the index behind the frames, so that their offsets stay right.
    """
    box = struct.pack(">I4sII", 16, b"pasp", wide, high)
    edited = bytearray(data)
    description = data.index(b"stsd")
    entry = data.index(b"mp4v", description) - 4
    end = entry + int.from_bytes(data[entry : entry + 4], "big")
    parents = [data.index(name) - 4 for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl")]
    for start in (*parents, description - 4, entry):
        size = int.from_bytes(data[start : start + 4], "big") + len(box)
        edited[start : start + 4] = size.to_bytes(4, "big")
    edited[end:end] = box
    return bytes(edited)


@pytest.mark.parametrize(
    ("aspect", "shape"),
    [((2, 1), (48, 128)), ((4, 3), (48, 85)), ((1, 2), (48, 32)), ((1, 1), (48, 64))],
)
def test_the_width_of_pixels_is_scaled_as_players_do(
    tmp_path: Path, aspect: tuple[int, int], shape: tuple[int, int]
) -> None:
    data = with_pixel_aspect(video(noisy(30), tmp_path), *aspect)
    sampled = sample_frames(data, count=4)
    assert sampled.frames.shape == (4, *shape, 3)
    assert sampled.warnings == ()
    plain = sample_frames(video(noisy(30), tmp_path), count=4).frames
    expected = np.stack([cv2.resize(frame, shape[::-1]) for frame in plain])
    assert np.abs(expected.astype(int) - sampled.frames).mean() < 10
    small = sample_frames(data, count=4, steps=(Resize("area", shortest_side=24),)).frames
    assert small.shape[1:3] == (
        24 * shape[0] // min(shape), 24 * shape[1] // min(shape),
    )  # fmt: skip


def test_the_width_of_the_pixels_of_a_turned_clip_is_the_height_of_the_upright_ones(
    tmp_path: Path,
) -> None:
    data = bytearray(with_pixel_aspect(video(shades(LEVELS), tmp_path), 2, 1))
    matrix = data.index(b"tkhd") + 44
    a, b, c, d = (value * 65536 for value in TURN_MATRICES[1])
    data[matrix : matrix + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    height, width = sample_frames(bytes(data), count=2).frames.shape[1:3]
    assert height / width == pytest.approx(128 / 48, abs=0.1)


def test_an_implausible_width_of_pixels_is_ignored_with_a_warning(tmp_path: Path) -> None:
    data = with_pixel_aspect(video(shades(LEVELS), tmp_path), 60_000, 1)
    sampled = sample_frames(data, count=2)
    assert sampled.frames.shape == (2, 48, 64, 3)
    assert sampled.warnings == (IMPLAUSIBLE_ASPECT,)
    with IsolatedDecoders() as pool:
        isolated = pool.sample_frames(data, count=2, steps=(), limits=VideoLimits())
    assert isolated.warnings == (IMPLAUSIBLE_ASPECT,)


def test_frames_with_square_pixels_must_not_be_too_large(tmp_path: Path) -> None:
    data = with_pixel_aspect(video(shades(LEVELS), tmp_path), 2, 1)
    limits = VideoLimits(pixels=48 * 127)
    with pytest.raises(TooLargeError, match="frames of 128 x 48 px; allowed: 6096 px"):
        sample_frames(data, count=2, limits=limits)


def test_a_part_of_a_stream_that_keeps_its_clock_is_as_long_as_it_is(tmp_path: Path) -> None:
    data = video(shades(LEVELS), tmp_path, kind="webm", codec="VP80")
    cluster = data.index(b"\x1f\x43\xb6\x75")
    assert data[cluster + 6 : cluster + 9] == b"\xe7\x81\x00"  # the time of the cluster, 0 ms
    moved = bytearray(data)
    moved[cluster + 6 : cluster + 9] = b"\xe7\x82\xea\x60"  # 60 s
    moved[cluster + 4 : cluster + 6] = (
        int.from_bytes(data[cluster + 4 : cluster + 6], "big") + 1
    ).to_bytes(2, "big")
    segment = data.index(b"\x18\x53\x80\x67") + 4
    moved[segment : segment + 8] = (
        int.from_bytes(data[segment : segment + 8], "big") + 1
    ).to_bytes(8, "big")
    duration = data.index(b"\x44\x89\x88") + 3
    moved[duration : duration + 8] = struct.pack(">d", 61_200)
    sampled = sample_frames(bytes(moved), count=4)
    expected = sample_frames(data, count=4)
    assert sampled.times_s == pytest.approx(expected.times_s, abs=1e-3)
    assert (sampled.clip_frames, sampled.indices) == (30, (0, 9, 19, 29))
    np.testing.assert_array_equal(sampled.frames, expected.frames)


def test_the_letters_of_a_track_header_elsewhere_mirror_nothing(tmp_path: Path) -> None:
    mirroring = struct.pack(">I4sB43x5i", 92, b"tkhd", 0, -65536, 0, 0, 0, 65536).ljust(92, b"\0")
    data = video(shades(LEVELS), tmp_path)
    free = struct.pack(">I4s", 8 + len(mirroring), b"free") + mirroring
    assert len(sample_frames(data + free, count=4).frames) == 4


def test_the_track_header_of_a_sound_mirrors_no_clip(tmp_path: Path) -> None:
    data = bytearray(video(shades(LEVELS), tmp_path))
    place = data.index(b"tkhd") + 44
    data[place : place + 20] = struct.pack(">5i", -65536, 0, 0, 0, 65536)
    handler = data.index(b"vide", data.index(b"hdlr"))
    assert list(track_headers(bytes(data)))
    data[handler : handler + 4] = b"soun"
    assert not list(track_headers(bytes(data)))


@needs_data
@pytest.mark.parametrize(
    ("name", "shape"),
    [("sar2.mp4", (320, 240)), ("matroska-starts-at-60s.mkv", (320, 240))],
)
def test_cases(name: str, shape: tuple[int, int]) -> None:
    sampled = sample_frames((CASES / name).read_bytes(), count=4)
    assert sampled.frames.shape == (4, *shape, 3)
    assert (sampled.clip_frames, sampled.warnings) == (90, ())
    assert sampled.times_s[-1] == pytest.approx(89 / 30, abs=0.01)
