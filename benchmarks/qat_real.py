"""Low-bit training of real models without labels: EfficientNet-lite0 and MiniLM.

    python benchmarks/fetch_models.py
    python benchmarks/qat_real.py [--cache FOLDER] [--minutes 20] [--steps N] [NAME ...]

* efficientnet_lite0_w4a4: all weights and activations at 4 bits, first and last layer at 8,
  distilled on at most 200 photographs; top-1 agreement with fp32 on held-out photographs must be
  three times that of post-training quantization at the same widths.
* minilm_w4a8: weights at 4 bits, activations at 8; embeddings of held-out sentences must keep a
  cosine of 0.99.

Rows go to results/qat_real.json as they are done. Ends with 1 if a goal was missed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from fetch_models import DEFAULT_CACHE

from onnxq import Config, finetune

RESULTS = Path(__file__).parent / "results" / "qat_real.json"
_PHOTOGRAPHS = 200


@dataclass(frozen=True)
class Row:
    """One training.

    Attributes:
        model: Folder of the model and its samples.
        bits: Of weights and activations.
        finetune: How it is trained.
        goal: What must hold, in words.
    """

    model: str
    bits: tuple[int, int]
    finetune: dict[str, Any]
    goal: str


ROWS = {
    "efficientnet_lite0_w4a4": Row(
        "efficientnet_lite0",
        (4, 4),
        {"samples": _PHOTOGRAPHS, "batch": 16, "rate": 3e-4, "mix": 0.3, "losses": ("distill",)},
        "agreement at least 3 times that without training",
    ),
    "minilm_w4a8": Row(
        "minilm",
        (4, 8),
        {"samples": 512, "batch": 16, "rate": 1e-4, "losses": ("cosine", "match")},
        "cosine at least 0.99",
    ),
}


def holds(row: Row, before: dict[str, float], after: dict[str, float]) -> bool:
    if row.goal.startswith("cosine"):
        return after["cosine"] >= 0.99
    return after["agreement"] >= 3 * before["agreement"]


def measure(row: Row, cache: Path, minutes: float, steps: int | None) -> dict[str, Any]:
    folder = cache / row.model
    config = Config(
        weights={"bits": row.bits[0], "search": "mse"},
        activations={"bits": row.bits[1]},
        effort="none",
        calibration={"data": str(folder / "calibration.npz"), "method": "mse", "samples": 64},
        evaluate={"data": str(folder / "held_out.npz")},
        budget={"min_speedup": None},
        finetune={
            **row.finetune,
            "data": str(folder / "calibration.npz"),
            "minutes": minutes,
            "steps": steps,
            "evaluations": 10,
        },
    )
    started = time.perf_counter()
    result = finetune(folder / "model.onnx", config=config)
    fidelities = [
        {name: {k: getattr(f, k) for k in ("cosine", "agreement", "sqnr")} for name, f in one}
        for one in (result.untrained.fidelity.items(), result.fidelity.items())
    ]
    before, after = (next(iter(one.values())) for one in fidelities)
    return {
        "goal": row.goal,
        "holds": holds(row, before, after),
        "without_training": fidelities[0],
        "trained": fidelities[1],
        "difference_to_training": result.difference,
        "steps": result.training.steps,
        "samples": result.training.samples,
        "held_out_loss": [point.held_out for point in result.training.history],
        "training_minutes": round(result.training.seconds / 60, 2),
        "minutes": round((time.perf_counter() - started) / 60, 2),
        "bytes": [result.sizes.input, result.sizes.output],
        "weights_by_bits": {str(bits): count for bits, count in result.bits.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", default=list(ROWS), metavar="NAME")
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--steps", type=int)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in arguments.names:
        rows[name] = measure(ROWS[name], arguments.cache, arguments.minutes, arguments.steps)
        print(name, json.dumps(rows[name]), flush=True)
        RESULTS.write_text(json.dumps(rows, indent=1) + "\n")
    sys.exit(0 if all(row["holds"] for row in rows.values()) else 1)


if __name__ == "__main__":
    main()
