"""Low-bit training on the digits sample: methods side by side, without labels.

    python benchmarks/qat_digits.py

Every row trains the sample network on its 96 calibration pictures, unlabelled, and is judged on
1,500 others. Rows that are in results/qat_digits.json already are not run again.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import torch

from onnxq import Config, finetune

HERE = Path(__file__).parent
DIGITS = HERE.parent / "samples" / "digits"
RESULTS = HERE / "results" / "qat_digits.json"
STEPS = 300
WIDTHS = ((2, 2), (4, 4))
# (weights, activations) by the name of the row.
METHODS = {
    "LSQ": ("lsq", "lsq"),
    "LSQ+": ("lsq", "lsq+"),
    "PACT (weights ARQ)": ("arq", "pact"),
    "DoReFa (fixed activations)": ("dorefa", "ste"),
    "ULQ": ("ulq", "ulq"),
    "STE (nothing learned but weights)": ("ste", "ste"),
}


def config(bits: tuple[int, int], weights: str, activations: str) -> Config:
    return Config(
        weights={"bits": bits[0], "search": "mse"},
        activations={"bits": bits[1]},
        effort="none",
        calibration={"data": str(DIGITS / "calibration.npz"), "method": "mse"},
        evaluate={"data": str(DIGITS / "test.npz"), "labels": "labels"},
        finetune={
            "steps": STEPS,
            "mix": 0.5,
            "losses": ({"kind": "distill", "temperature": 1},),
            "quantization": {"weights": weights, "activations": activations},
        },
    )


def measure(bits: tuple[int, int], weights: str, activations: str) -> dict[str, Any]:
    started = time.perf_counter()
    result = finetune(DIGITS / "model.onnx", config=config(bits, weights, activations))
    assert result.accuracy is not None and result.untrained.accuracy is not None
    return {
        "fp32": result.accuracy[0].value,
        "untrained": result.untrained.accuracy.value,
        "trained": result.accuracy[1].value,
        "difference": result.difference,
        "bytes": result.sizes.output,
        "bytes_fp32": result.sizes.input,
        "training_seconds": round(result.training.seconds, 1),
        "seconds": round(time.perf_counter() - started, 1),
    }


def table(rows: dict[str, dict[str, Any]]) -> str:
    lines = [
        "# Low-bit training on the digits sample",
        "",
        f"{STEPS} steps of 32 on 96 unlabelled pictures, distilled from the float model; top-1 on "
        "1,500 others. First and last layer have 8 bits. Made by `benchmarks/qat_digits.py`.",
        "",
        "| bits | method | fp32 | without training | trained | to fp32 | ORT − torch | size |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, row in rows.items():
        bits, method = name.split(" ", 1)
        gap = 100 * (row["trained"] - row["fp32"])
        lines.append(
            f"| {bits} | {method} | {row['fp32']:.2%} | {row['untrained']:.2%} | "
            f"{row['trained']:.2%} | {gap:+.2f} | {row['difference']:.0e} | "
            f"{row['bytes'] / 1000:.1f} kB of {row['bytes_fp32'] / 1000:.0f} kB |"
        )
    return "\n".join([*lines, ""])


def main() -> None:
    torch.set_num_threads(1)
    rows: dict[str, dict[str, Any]] = {}
    if RESULTS.exists():
        rows = json.loads(RESULTS.read_text())
    for bits in WIDTHS:
        for name, (weights, activations) in METHODS.items():
            key = f"{bits[0]}/{bits[1]} {name}"
            if key not in rows:
                rows[key] = measure(bits, weights, activations)
                print(key, rows[key], flush=True)
                RESULTS.write_text(json.dumps(rows, indent=1) + "\n")
                RESULTS.with_suffix(".md").write_text(table(rows))


if __name__ == "__main__":
    main()
