"""Models that listen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import sounds
from model_cache import Cache, Case

WAKE_WORD_PACKAGE = "openwakeword==0.4.0"
ORIGIN = "synthetic: speech-like sound (harmonics under formants, syllables, noise)"
WINDOW = 76  # frames of one embedding
STEP = 8  # frames between two embeddings
EMBEDDINGS = 16  # of one decision


def openwakeword_embedding(cache: Cache) -> Case:
    """A convolutional encoder of 0.76 s of sound."""
    folder = cache.package(WAKE_WORD_PACKAGE)
    windows = _windows(folder, 128, 12)[:, :WINDOW, :, None]
    return Case(
        name="openwakeword_embedding",
        package=WAKE_WORD_PACKAGE,
        model=onnx.load(next(folder.rglob("embedding_model.onnx"))),
        calibration={"input_1": windows[:64]},
        held_out={"input_1": windows[64:]},
        metric="sqnr",
        origin=ORIGIN,
    )


def openwakeword_mycroft(cache: Cache) -> Case:
    """A wake-word detector of two LSTM layers over sixteen embeddings."""
    folder = cache.package(WAKE_WORD_PACKAGE)
    frames = _windows(folder, 128, 13)
    encoder = _session(next(folder.rglob("embedding_model.onnx")))
    starts = range(0, STEP * EMBEDDINGS, STEP)
    features = np.stack(
        [
            np.concatenate(
                [
                    encoder.run(None, {"input_1": row[None, at : at + WINDOW, :, None]})[0]
                    for at in starts
                ]
            )
            for row in frames
        ]
    ).reshape(len(frames), EMBEDDINGS, 96)
    return Case(
        name="openwakeword_mycroft",
        package=WAKE_WORD_PACKAGE,
        model=onnx.load(next(folder.rglob("hey_mycroft_v0.1.onnx"))),
        calibration={"input_1": features[:64]},
        held_out={"input_1": features[64:]},
        metric="sqnr",
        origin=ORIGIN + ", through the package's own features and encoder",
        remarks=("the wake word is never said: the output stays under 0.001",),
    )


def speechmos(cache: Cache) -> Case:
    """A judge of speech quality that takes 9 s of sound and computes its own spectrum."""
    requirement = "speechmos==0.0.1.1"
    folder = cache.package(requirement)
    random = np.random.default_rng(14)
    rows = np.stack([sounds.utterance(9.01, random) for _ in range(32)])
    return Case(
        name="speechmos",
        package=requirement,
        model=onnx.load(next(folder.rglob("dnsmos_models/sig_bak_ovr.onnx"))),
        calibration={"input_1": rows[:16]},
        held_out={"input_1": rows[16:]},
        metric="sqnr",
        origin=ORIGIN,
    )


def _windows(folder: Path, count: int, seed: int) -> np.ndarray:
    """Return float32 [count, frames, 32], log spectra as the package scales them."""
    random = np.random.default_rng(seed)
    frames = WINDOW + STEP * (EMBEDDINGS - 1)
    spectrum = _session(next(folder.rglob("melspectrogram.onnx")))
    # A frame is 10 ms; one tenth of a second is spare.
    seconds = frames / 100 + 0.1
    rows = []
    for _ in range(count):
        sound = np.round(sounds.utterance(seconds, random) * 32767)
        bands = spectrum.run(None, {"input": sound[None].astype(np.float32)})[0]
        rows.append(bands.reshape(-1, 32)[:frames] / 10 + 2)
    return np.stack(rows).astype(np.float32)


def _session(model: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
