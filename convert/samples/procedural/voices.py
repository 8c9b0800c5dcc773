"""Synthetic voices: syllables of an imaginary speaker, with breath, pauses and room noise.

A source-filter model: glottal pulses pass through the resonances of a vocal tract, and noise is
shaped to the hiss of fricatives. Both filters change with time. The result sounds like babble.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convert.samples.procedural import EVALUATION
from runtime.arrays import Waveform

SAMPLING_RATE = 16_000  # Hz
FULL_SCALE = 32_768  # of 16-bit samples
SECONDS = 3.0
# of the evaluation split: most of one length, because only equal lengths make a batch
LENGTHS = (SECONDS, SECONDS, SECONDS, 1.0, SECONDS, 3.3, SECONDS, 10.0)

WINDOW, HOP = 512, 128  # samples; the spectrum changes every 8 ms
# first three resonances of vowels, Hz, of a vocal tract of medium length
VOWELS = np.array(
    [
        (730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480),
        (570, 840, 2410), (490, 1350, 1690), (660, 1720, 2410), (500, 1500, 2500),
    ],
    np.float64,
)  # fmt: skip
BANDWIDTHS = np.array((80.0, 110.0, 160.0))  # Hz

Track = NDArray[np.float64]  # one value, or row of values, per frame of HOP samples


@dataclass(frozen=True, slots=True)
class _Speaker:
    """Properties of a voice and its recording that do not change with time."""

    pitch_hz: float
    liveliness: float  # spread of the pitch, in octaves
    tract: float  # factor of all resonances; a short vocal tract has higher ones
    roughness: float  # change of loudness from pulse to pulse
    breath: float  # level of noise that accompanies the pulses
    syllable_s: float
    loudness: float  # peak as a share of full scale; over 1 is clipped
    noise: float  # of the room, as a share of the peak


@dataclass(frozen=True, slots=True)
class _Utterance:
    """The sounds of a recording, frame by frame."""

    voiced: Track  # (frames,) loudness of the pulses
    hiss: Track  # (frames,) loudness of fricatives
    hiss_hz: Track  # (frames,) center of their spectrum
    resonances: Track  # (frames, 3), Hz


def generate_voices(split: int, count: int) -> list[Waveform]:
    """Generate recordings.

    Args:
        split: of `convert.samples.procedural`.
        count: number of recordings; recording i does not depend on it.

    Returns:
        (S,) float32 in [-1, 1] at SAMPLING_RATE, SECONDS long; in the evaluation split, LENGTHS.
    """
    lengths = LENGTHS if split == EVALUATION else (SECONDS,)
    return [
        generate_voice(np.random.default_rng((split, index)), seconds=lengths[index % len(lengths)])
        for index in range(count)
    ]


def generate_voice(rng: np.random.Generator, *, seconds: float) -> Waveform:
    """Generate one recording of one speaker, (S,) float32."""
    samples = round(seconds * SAMPLING_RATE)
    frames = -(-samples // HOP) + WINDOW // HOP
    speaker = _speaker(rng)
    utterance = _utterance(rng, speaker, frames)
    pulses = _pulses(rng, speaker, frames)
    breath = rng.standard_normal(pulses.size)
    tract, hiss = _tract_gains(utterance.resonances), _hiss_gains(utterance.hiss_hz)
    speech = _filter(pulses, tract * utterance.voiced[:, np.newaxis])
    speech += _filter(breath, tract * (speaker.breath * utterance.voiced)[:, np.newaxis])
    speech += _filter(breath, hiss * utterance.hiss[:, np.newaxis])
    return _record(rng, speaker, speech[:samples])


def _speaker(rng: np.random.Generator) -> _Speaker:
    pitch_hz = float(np.exp(rng.uniform(np.log(85), np.log(300))))
    return _Speaker(
        pitch_hz=pitch_hz,
        liveliness=float(rng.uniform(0.03, 0.6)),
        tract=float(0.85 + 0.3 * np.log(pitch_hz / 85) / np.log(300 / 85) + rng.normal(0, 0.04)),
        roughness=float(rng.uniform(0.0, 0.03)),
        breath=float(rng.uniform(0.01, 0.3)),
        syllable_s=float(rng.uniform(0.12, 0.32)),
        loudness=float(rng.choice([0.03, 0.15, 0.4, 0.6, 0.9, 1.3])),  # the last is clipped
        noise=float(rng.choice([0.0, 0.001, 0.01, 0.05])),
    )


def _utterance(rng: np.random.Generator, speaker: _Speaker, frames: int) -> _Utterance:
    """Generate syllables: a fricative or none, a vowel, sometimes a pause."""
    voiced, hiss, hiss_hz = np.zeros(frames), np.zeros(frames), np.full(frames, 3000.0)
    resonances = np.empty((frames, 3))
    frame_s, at = HOP / SAMPLING_RATE, 0
    while at < frames:
        length = max(8, round(speaker.syllable_s * rng.uniform(0.6, 1.5) / frame_s))
        onset = round(length * rng.uniform(0.1, 0.4)) if rng.random() < 0.6 else 0
        tail = length + (round(rng.uniform(0.1, 0.5) / frame_s) if rng.random() < 0.2 else 0)
        resonances[at : at + tail] = VOWELS[rng.integers(len(VOWELS))] * speaker.tract
        hiss[at : at + onset] = rng.uniform(0.05, 0.5)
        hiss_hz[at : at + onset] = rng.uniform(2000, 6500)
        # half of the fricatives are voiced
        voiced[at : at + onset] = rng.choice([0.0, 0.3])
        voiced[at + onset : at + length] = rng.uniform(0.4, 1.0)
        at += tail
    return _Utterance(_smooth(voiced, 5), _smooth(hiss, 3), _smooth(hiss_hz, 5), _glide(resonances))


def _smooth(track: Track, width: int) -> Track:
    window = np.hanning(width + 2)[1:-1]
    padded = np.pad(track, width // 2, mode="edge")
    return np.convolve(padded, window / window.sum(), mode="valid")[: track.size]


def _glide(resonances: Track) -> Track:
    return np.stack([_smooth(column, 9) for column in resonances.T], axis=1)


def _pulses(rng: np.random.Generator, speaker: _Speaker, frames: int) -> Track:
    """Return the change of air flow through the vocal folds, frames * HOP + WINDOW samples."""
    samples = frames * HOP + WINDOW
    knots = max(4, round(samples / SAMPLING_RATE * 3))
    melody = np.interp(
        np.linspace(0, knots - 1, samples), np.arange(knots), rng.normal(0, 1, knots)
    )
    fall = np.linspace(0.15, -0.15, samples)  # octaves: sentences end lower
    octaves = speaker.liveliness * melody + fall
    cycles = np.cumsum(speaker.pitch_hz * 2.0**octaves / SAMPLING_RATE)
    number = cycles.astype(np.int64)
    shimmer = 1 + speaker.roughness * 4 * rng.standard_normal(number[-1] + 1)
    phase = cycles - number
    opening, closing = 0.4, 0.16  # of a cycle
    rising = 0.5 - 0.5 * np.cos(np.pi * phase / opening)
    falling = np.cos(np.pi / 2 * (phase - opening) / closing)
    flow = np.where(phase < opening, rising, np.where(phase < opening + closing, falling, 0.0))
    flow = flow * shimmer[number]
    return np.diff(flow, prepend=flow[:1])


def _tract_gains(resonances: Track) -> Track:
    """Return the gain of three resonances at each frequency, (frames, WINDOW // 2 + 1)."""
    frequencies = np.fft.rfftfreq(WINDOW, 1 / SAMPLING_RATE)
    gain = np.ones((len(resonances), frequencies.size))
    for column, width in zip(resonances.T, BANDWIDTHS, strict=True):
        centre = column[:, np.newaxis]
        gain *= centre**2 / np.hypot(centre**2 - frequencies**2, width * frequencies + 1.0)
    return gain


def _hiss_gains(centres_hz: Track) -> Track:
    """Return the gain of 1,500 Hz around each frame's center, (frames, WINDOW // 2 + 1)."""
    frequencies = np.fft.rfftfreq(WINDOW, 1 / SAMPLING_RATE)
    return np.exp(-(((frequencies - centres_hz[:, np.newaxis]) / 1500) ** 2))


def _filter(source: Track, gains: Track) -> Track:
    """Filter each window of the source with its own gains, and overlap-add the windows."""
    windows = np.lib.stride_tricks.sliding_window_view(source, WINDOW)[::HOP][: len(gains)]
    taper = np.hanning(WINDOW + 1)[:-1]
    shaped = np.fft.irfft(np.fft.rfft(windows * taper) * gains) * taper
    total = np.zeros(len(gains) * HOP + WINDOW)
    for index, window in enumerate(shaped):
        total[index * HOP : index * HOP + WINDOW] += window
    return total[WINDOW // 2 :]


def _record(rng: np.random.Generator, speaker: _Speaker, speech: Track) -> Waveform:
    """Set the speaker's loudness, add the room's noise, and round to 16 bits."""
    level = speech / max(float(np.abs(speech).max()), 1e-9)
    level = (level + speaker.noise * rng.standard_normal(level.size)) * speaker.loudness
    return (np.round(level * FULL_SCALE).clip(-FULL_SCALE, FULL_SCALE - 1) / FULL_SCALE).astype(
        np.float32
    )
