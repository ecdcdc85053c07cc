"""Quantizes one model with onnxq and says what that cost, as peer_onnxruntime.py does.

    python benchmarks/own_quantize.py MODEL --calibration FEED.npz --out OUT.onnx

Prints one JSON object. Verification is left out, because the peer does none; memory is that of
the whole process.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path

import onnxq
import onnxq.workflow
from onnxq.config import parse_config


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--calibration", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--method", default="min-max")
    arguments = parser.parse_args()
    # `evaluate.data` says that other samples judge the result: all of these may calibrate.
    config = parse_config(
        {
            "calibration": {"method": arguments.method},
            "evaluate": {"data": str(arguments.calibration)},
        }
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    started = time.perf_counter()
    result = onnxq.quantize(
        arguments.model, calibration=arguments.calibration, config=config, verify=False
    )
    onnxq.save(result.model, arguments.out)
    seconds = time.perf_counter() - started
    print(
        json.dumps(
            {
                "tool": "onnxq",
                "method": arguments.method,
                "seconds": round(seconds, 2),
                "stages": {name: round(value, 2) for name, value in result.seconds.items()},
                "megabytes_before": round(before),
                "peak_megabytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
                "samples": result.ranges.samples,
                "out": str(arguments.out),
            }
        )
    )


if __name__ == "__main__":
    main()
