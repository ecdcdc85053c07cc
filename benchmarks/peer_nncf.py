"""Quantizes one model with NNCF as its documentation says.

    python benchmarks/peer_nncf.py MODEL --calibration FEED.npz --out OUT.onnx [--kind transformer]

Run it in a process of its own: what it takes is that of the whole process.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

import nncf
import numpy as np
import onnx


def post_training(
    model: onnx.ModelProto, samples: nncf.Dataset, model_type: nncf.ModelType | None
) -> onnx.ModelProto:
    """8-bit weights and activations; symmetric weights, asymmetric activations."""
    preset = nncf.QuantizationPreset.MIXED
    return nncf.quantize(model, samples, preset=preset, model_type=model_type, subset_size=64)


def weights_alone(model: onnx.ModelProto) -> onnx.ModelProto:
    """4-bit weights in blocks of 32; tables of embeddings keep 8 bits."""
    return nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT4_SYM, group_size=32)


KINDS: Mapping[str, Callable[[onnx.ModelProto, nncf.Dataset], onnx.ModelProto]] = {
    "plain": lambda model, samples: post_training(model, samples, None),
    "transformer": lambda model, samples: post_training(model, samples, nncf.ModelType.TRANSFORMER),
    "4-bit": lambda model, _samples: weights_alone(model),
}


def dataset(feed: Mapping[str, np.ndarray]) -> nncf.Dataset:
    """One sample a run, as a mapping by input name."""
    count = len(next(iter(feed.values())))
    return nncf.Dataset([{k: v[i : i + 1] for k, v in feed.items()} for i in range(count)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--calibration", type=Path, required=True)
    parser.add_argument("--kind", choices=KINDS, default="plain")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    with np.load(arguments.calibration) as archive:
        feed = {name: archive[name] for name in archive.files}
    onnx.save(KINDS[arguments.kind](onnx.load(arguments.model), dataset(feed)), arguments.out)


if __name__ == "__main__":
    main()
