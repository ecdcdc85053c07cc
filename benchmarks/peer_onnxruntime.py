"""Quantizes one model with ONNX Runtime's own tools and says what that cost.

    python benchmarks/peer_onnxruntime.py MODEL --calibration FEED.npz --out OUT.onnx

Prints one JSON object: the setting, wall seconds, peak resident memory in MB, the output file.
Run it in a process of its own: the memory is that of the whole process.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnx.version_converter
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as state
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

METHODS = {
    "min-max": CalibrationMethod.MinMax,
    "percentile": CalibrationMethod.Percentile,
    "entropy": CalibrationMethod.Entropy,
}


class Samples(CalibrationDataReader):
    """Hands out a feed file batch by batch along axis 0."""

    def __init__(self, feed: dict[str, np.ndarray], batch: int) -> None:
        """Cut `feed` into runs of `batch` samples."""
        self._runs = self._batches(feed, batch)

    @staticmethod
    def _batches(feed: dict[str, np.ndarray], batch: int) -> Iterator[dict[str, np.ndarray]]:
        for start in range(0, len(next(iter(feed.values()))), batch):
            yield {name: array[start : start + batch] for name, array in feed.items()}

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Return the next run's inputs, or None at the end."""
        return next(self._runs, None)


def prepare(model: Path, prepared: Path) -> str:
    """Run the recommended pre-processing; return which form of it succeeded."""
    try:
        quant_pre_process(str(model), str(prepared))
    except Exception as error:  # the tool raises bare Exception when its inference gives up
        quant_pre_process(str(model), str(prepared), skip_symbolic_shape=True)
        return f"without symbolic shapes ({str(error)[:80]})"
    return "full"


def raised(model: Path, raised_model: Path, opset: int) -> Path:
    """Convert a model to a newer opset, as its output may need; return the file to go on with."""
    converted = onnx.version_converter.convert_version(onnx.load(model), opset)
    onnx.save(converted, raised_model)
    return raised_model


def load_error(model: Path) -> str | None:
    """Return why ONNX Runtime refuses its own output, or None if it loads."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except (state.InvalidGraph, state.Fail, state.NotImplemented) as error:
        return str(error)[:200]
    return None


def main() -> None:
    """Quantize and print the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--calibration", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--method", choices=METHODS, default="min-max")
    parser.add_argument("--batch", type=int, default=1, help="samples of one run")
    parser.add_argument("--per-tensor", action="store_true", help="one scale for each weight")
    parser.add_argument("--opset", type=int, help="convert the model to this opset beforehand")
    arguments = parser.parse_args()
    with np.load(arguments.calibration) as archive:
        feed = {name: archive[name] for name in archive.files}
    before = _peak_megabytes()
    start = time.perf_counter()
    model, out = arguments.model.resolve(), arguments.out.resolve()
    # The tools leave files of their own in the working directory.
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        prepared = Path(folder) / "prepared.onnx"
        source = model
        if arguments.opset is not None:
            source = raised(model, Path(folder) / "raised.onnx", arguments.opset)
        preparation = prepare(source, prepared)
        prepared_at = time.perf_counter()
        quantize_static(
            str(prepared),
            str(out),
            Samples(feed, arguments.batch),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=not arguments.per_tensor,
            calibrate_method=METHODS[arguments.method],
        )
    end = time.perf_counter()
    peak = _peak_megabytes()
    result = {
        "tool": "onnxruntime",
        "method": arguments.method,
        "per_channel": not arguments.per_tensor,
        "preparation": preparation,
        "prepare_seconds": round(prepared_at - start, 2),
        "seconds": round(end - start, 2),
        "megabytes_before": before,
        "peak_megabytes": peak,
        "out": str(out),
        "loads": load_error(out) or True,
        "size_ratio": round(out.stat().st_size / model.stat().st_size, 4),
    }
    json.dump(result, sys.stdout)
    print()


def _peak_megabytes() -> int:
    # Linux counts in kilobytes, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit // 2**20


if __name__ == "__main__":
    main()
