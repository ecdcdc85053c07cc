"""Quantizes the weights of one model with ONNX Runtime's tools that need no samples.

    python benchmarks/peer_weights.py MODEL --kind dynamic --out OUT.onnx

Run it in a process of its own: what it takes is that of the whole process.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.matmul_nbits_quantizer import (
    HQQWeightOnlyQuantConfig,
    MatMulNBitsQuantizer,
)


def dynamic(model: Path, out: Path) -> None:
    """Signed weights per channel; activations are quantized at run time."""
    quantize_dynamic(str(model), str(out), per_channel=True, weight_type=QuantType.QInt8)


def nearest(model: Path, out: Path, *, bits: int, block: int) -> None:
    """Weights alone, in blocks along the summed axis, with zero points, rounded to nearest."""
    tool = MatMulNBitsQuantizer(onnx.load(model), bits=bits, block_size=block, is_symmetric=False)
    tool.process()
    tool.model.save_model_to_file(str(out))


def half_quadratic(model: Path, out: Path, *, bits: int, block: int) -> None:
    """Weights alone, zero points found by half-quadratic quantization; needs torch."""
    config = HQQWeightOnlyQuantConfig(block_size=block, bits=bits)
    tool = MatMulNBitsQuantizer(onnx.load(model), algo_config=config)
    tool.process()
    tool.model.save_model_to_file(str(out))


KINDS: Mapping[str, Callable[[Path, Path], None]] = {
    "dynamic": dynamic,
    "8-bit": partial(nearest, bits=8, block=128),
    "4-bit-128": partial(nearest, bits=4, block=128),
    "4-bit-32": partial(nearest, bits=4, block=32),
    "4-bit-hqq-128": partial(half_quadratic, bits=4, block=128),
    "4-bit-hqq-32": partial(half_quadratic, bits=4, block=32),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--kind", choices=KINDS, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    KINDS[arguments.kind](arguments.model, arguments.out)


if __name__ == "__main__":
    main()
