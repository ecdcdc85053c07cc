"""Speech-like sound, made from nothing: harmonics under formants, in syllables, over noise."""

from __future__ import annotations

import numpy as np

SAMPLE_RATE = 16000

# First three formants in hertz of ten vowels, means over men and women
# (Peterson and Barney 1952, "Control methods used in a study of the vowels", table II).
FORMANTS = np.array(
    [
        [290, 2540, 3160],
        [410, 2235, 2825],
        [570, 2085, 2740],
        [760, 1885, 2630],
        [790, 1155, 2625],
        [580, 880, 2560],
        [455, 1090, 2460],
        [335, 910, 2455],
        [700, 1295, 2585],
        [495, 1495, 1825],
    ]
)
BANDWIDTHS = np.array([60.0, 90.0, 150.0])


def utterance(seconds: float, random: np.random.Generator) -> np.ndarray:
    """Return float32 [seconds * 16000] in -1..1: syllables with pauses, and background noise."""
    total = round(seconds * SAMPLE_RATE)
    sound = np.zeros(total)
    pitch = float(random.uniform(90, 240))
    at = 0
    while at < total:
        part = _syllable(pitch, random) if random.random() < 0.75 else _hiss(random)
        part = part[: total - at]
        sound[at : at + len(part)] += part
        pause = random.uniform(0.15, 0.5) if random.random() < 0.15 else random.uniform(0, 0.04)
        at += len(part) + int(pause * SAMPLE_RATE)
    sound *= random.uniform(0.1, 0.8) / max(np.abs(sound).max(), 1e-9)
    noise = random.normal(0, 10 ** random.uniform(-4, -1.7), total)
    return (sound + noise).clip(-1, 1).astype(np.float32)


def _syllable(pitch: float, random: np.random.Generator) -> np.ndarray:
    """A vowel gliding into another, 80 to 300 ms, with its own pitch movement."""
    length = int(random.uniform(0.08, 0.3) * SAMPLE_RATE)
    way = np.linspace(0.0, 1.0, length)
    height = pitch * random.uniform(0.85, 1.2) * (1 + random.uniform(-0.15, 0.1) * way)
    phase = 2 * np.pi * np.cumsum(height) / SAMPLE_RATE
    first, second = FORMANTS[random.integers(len(FORMANTS), size=2)]
    sound = np.zeros(length)
    for harmonic in range(1, int(0.45 * SAMPLE_RATE / height.max())):
        frequency = harmonic * float(height.mean())
        start, end = _resonance(frequency, first), _resonance(frequency, second)
        strength = start + (end - start) * way
        # The voice itself falls by 12 dB an octave.
        sound += strength / harmonic**2 * np.sin(harmonic * phase)
    return _shaped(sound, random.uniform(0.4, 1))


def _hiss(random: np.random.Generator) -> np.ndarray:
    """A consonant: noise above a random edge, 40 to 120 ms."""
    length = int(random.uniform(0.04, 0.12) * SAMPLE_RATE)
    spectrum = np.fft.rfft(random.normal(size=length))
    spectrum[: int(random.uniform(0.2, 0.6) * len(spectrum))] = 0
    noise = np.fft.irfft(spectrum, length)
    return _shaped(noise, random.uniform(0.05, 0.4))


def _resonance(frequency: float, formants: np.ndarray) -> float:
    """The gain of the formants in parallel, each a resonance curve of its bandwidth."""
    distance = (frequency - formants) / (BANDWIDTHS / 2)
    return float((1 / np.sqrt(1 + distance**2)).sum())


def _shaped(sound: np.ndarray, peak: float) -> np.ndarray:
    """The sound with a quick rise, a slow fall and the given peak."""
    rise = np.minimum(1.0, np.arange(len(sound)) / (0.02 * SAMPLE_RATE))
    fall = np.minimum(1.0, np.arange(len(sound))[::-1] / (0.05 * SAMPLE_RATE))
    shaped: np.ndarray = peak * sound / max(float(np.abs(sound).max()), 1e-9) * rise * fall
    return shaped
