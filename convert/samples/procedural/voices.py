"""Drawn voices: syllables of a made-up speaker, with breath, pauses and a room's noise.

A voice is a train of glottal pulses and noise, each shaped by a spectrum that changes with time:
resonances of a vocal tract for the pulses, hiss for fricatives. It sounds like babble.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convert.samples.procedural import EVALUATION
from runtime.arrays import Waveform

SAMPLING_RATE = 16_000  # Hz
STEPS = 32_768  # of each sign: 16 bits
SECONDS = 3.0
# of the evaluation: most of one length, since only equal lengths make a batch, and others between
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

Track = NDArray[np.float64]  # a value per frame of HOP samples


@dataclass(frozen=True, slots=True)
class _Speaker:
    """What stays the same during one recording."""

    pitch_hz: float
    liveliness: float  # of the melody, in octaves
    tract: float  # factor of all resonances: short people have higher ones
    roughness: float  # of the pitch, from pulse to pulse
    breath: float  # noise beside the pulses
    syllable_s: float
    loudness: float  # peak, of full scale
    noise: float  # of the room, of the peak


@dataclass(frozen=True, slots=True)
class _Score:
    """What is said, frame by frame."""

    voiced: Track  # loudness of the pulses
    hiss: Track  # of the noise
    hiss_hz: Track  # its centre
    resonances: Track  # (frames, 3), Hz


def generate_voices(split: int, count: int) -> list[Waveform]:
    """Draw voices.

    Args:
        split: of `convert.samples.procedural`.
        count: how many; the first ones do not depend on it.

    Returns:
        (S,) float32 at SAMPLING_RATE, in [-1, 1]: SECONDS long, in the evaluation split of LENGTHS.
    """
    lengths = LENGTHS if split == EVALUATION else (SECONDS,)
    return [
        generate_voice(np.random.default_rng((split, index)), seconds=lengths[index % len(lengths)])
        for index in range(count)
    ]


def generate_voice(rng: np.random.Generator, *, seconds: float) -> Waveform:
    """One recording of one speaker: (S,) float32."""
    samples = round(seconds * SAMPLING_RATE)
    frames = -(-samples // HOP) + WINDOW // HOP
    speaker = _speaker(rng)
    score = _score(rng, speaker, frames)
    pulses = _pulses(rng, speaker, frames)
    breath = rng.standard_normal(pulses.size)
    tract, hiss = _tract(score.resonances), _band(score.hiss_hz)
    spoken = _shaped(pulses, tract * score.voiced[:, np.newaxis])
    spoken += _shaped(breath, tract * (speaker.breath * score.voiced)[:, np.newaxis])
    spoken += _shaped(breath, hiss * score.hiss[:, np.newaxis])
    return _recorded(rng, speaker, spoken[:samples])


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


def _score(rng: np.random.Generator, speaker: _Speaker, frames: int) -> _Score:
    """Syllables of a fricative or none and a vowel, now and then a pause."""
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
        # some fricatives are voiced
        voiced[at : at + onset] = rng.choice([0.0, 0.3])
        voiced[at + onset : at + length] = rng.uniform(0.4, 1.0)
        at += tail
    return _Score(_smooth(voiced, 5), _smooth(hiss, 3), _smooth(hiss_hz, 5), _glide(resonances))


def _smooth(track: Track, width: int) -> Track:
    window = np.hanning(width + 2)[1:-1]
    padded = np.pad(track, width // 2, mode="edge")
    return np.convolve(padded, window / window.sum(), mode="valid")[: track.size]


def _glide(resonances: Track) -> Track:
    return np.stack([_smooth(column, 9) for column in resonances.T], axis=1)


def _pulses(rng: np.random.Generator, speaker: _Speaker, frames: int) -> Track:
    """Change of the air flow through the vocal folds, frames * HOP + WINDOW samples."""
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


def _tract(resonances: Track) -> Track:
    """Gain of each frequency through three resonances, (frames, WINDOW // 2 + 1)."""
    frequencies = np.fft.rfftfreq(WINDOW, 1 / SAMPLING_RATE)
    gain = np.ones((len(resonances), frequencies.size))
    for column, width in zip(resonances.T, BANDWIDTHS, strict=True):
        centre = column[:, np.newaxis]
        gain *= centre**2 / np.hypot(centre**2 - frequencies**2, width * frequencies + 1.0)
    return gain


def _band(centres_hz: Track) -> Track:
    """A hump of 1,500 Hz around each frame's centre, (frames, WINDOW // 2 + 1)."""
    frequencies = np.fft.rfftfreq(WINDOW, 1 / SAMPLING_RATE)
    return np.exp(-(((frequencies - centres_hz[:, np.newaxis]) / 1500) ** 2))


def _shaped(source: Track, gains: Track) -> Track:
    """Each window of the source with its own gains, windows added where they overlap."""
    windows = np.lib.stride_tricks.sliding_window_view(source, WINDOW)[::HOP][: len(gains)]
    taper = np.hanning(WINDOW + 1)[:-1]
    shaped = np.fft.irfft(np.fft.rfft(windows * taper) * gains) * taper
    total = np.zeros(len(gains) * HOP + WINDOW)
    for index, window in enumerate(shaped):
        total[index * HOP : index * HOP + WINDOW] += window
    return total[WINDOW // 2 :]


def _recorded(rng: np.random.Generator, speaker: _Speaker, spoken: Track) -> Waveform:
    """At the speaker's loudness in a room, by a microphone of 16 bits."""
    level = spoken / max(float(np.abs(spoken).max()), 1e-9)
    level = (level + speaker.noise * rng.standard_normal(level.size)) * speaker.loudness
    return (np.round(level * STEPS).clip(-STEPS, STEPS - 1) / STEPS).astype(np.float32)
