"""Low-bit training of real models without labels: EfficientNet-lite0 and MiniLM.

    python benchmarks/fetch_models.py
    python benchmarks/qat_real.py [--cache FOLDER] [--minutes 20] [--steps N] [NAME ...]

* efficientnet_lite0_w4a4: all weights and activations at 4 bits, first and last layer at 8,
  distilled on 200 crops of 20 photographs; top-1 agreement with fp32 on held-out photographs must
  be three times that of post-training quantization at the same widths.
* minilm_w4a8: weights at 4 bits in blocks of 32, activations at 8, trained block by block;
  embeddings of held-out sentences must keep a cosine of 0.99.

Rows go to results/qat_real.json and .md as they are done, with the minutes they were given and the
CPU minutes they took. Ends with 1 if a goal was missed.
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
from training_samples import training_samples

from onnxq import Config, finetune

RESULTS = Path(__file__).parent / "results" / "qat_real.json"


@dataclass(frozen=True)
class Row:
    """One training.

    Attributes:
        model: Folder of the model and its samples.
        bits: Of weights and activations.
        granularity: Of the scales of weights.
        finetune: How it is trained.
        goal: What must hold, in words.
    """

    model: str
    bits: tuple[int, int]
    granularity: Any
    finetune: dict[str, Any]
    goal: str


ROWS = {
    "efficientnet_lite0_w4a4": Row(
        "efficientnet_lite0",
        (4, 4),
        "channel",
        {"batch": 16, "rate": 3e-4, "mix": 0.3, "losses": ("distill",)},
        "agreement at least 3 times that without training",
    ),
    "minilm_w4a8": Row(
        "minilm",
        (4, 8),
        {"block": 32},
        {"batch": 8, "rate": 2e-4, "blocks": {"steps": 400, "layers": 6}},
        "cosine at least 0.99",
    ),
}


def holds(row: Row, before: dict[str, float], after: dict[str, float]) -> bool:
    if row.goal.startswith("cosine"):
        return after["cosine"] >= 0.99
    return 0.0 < after["agreement"] >= 3 * before["agreement"]


def measure(row: Row, cache: Path, minutes: float, steps: int | None) -> dict[str, Any]:
    folder = cache / row.model
    samples = training_samples(cache, row.model)
    config = Config(
        weights={"bits": row.bits[0], "granularity": row.granularity, "search": "mse"},
        activations={"bits": row.bits[1]},
        effort="none",
        calibration={"data": str(folder / "calibration.npz"), "method": "mse", "samples": 64},
        evaluate={"data": str(folder / "held_out.npz")},
        budget={"min_speedup": None},
        finetune={
            **row.finetune,
            "data": str(samples),
            "minutes": minutes,
            "steps": steps,
            "evaluations": 10,
        },
    )
    started, cpu = time.perf_counter(), time.process_time()
    result = finetune(folder / "model.onnx", config=config)
    fidelities = [
        {name: {k: getattr(f, k) for k in ("cosine", "agreement", "sqnr")} for name, f in one}
        for one in (result.untrained.fidelity.items(), result.fidelity.items())
    ]
    before, after = (next(iter(one.values())) for one in fidelities)
    return {
        "goal": row.goal,
        "minutes_given": minutes,
        "holds": holds(row, before, after),
        "without_training": fidelities[0],
        "trained": fidelities[1],
        "difference_to_training": result.difference,
        "fused_difference_to_training": result.fused_difference,
        "warnings": list(result.warnings),
        "steps": result.training.steps,
        "samples": result.training.samples,
        "held_out_loss": [point.held_out for point in result.training.history],
        "training_minutes": round(result.training.seconds / 60, 2),
        "minutes": round((time.perf_counter() - started) / 60, 2),
        "cpu_minutes": round((time.process_time() - cpu) / 60, 2),
        "bytes": [result.sizes.input, result.sizes.output],
        "weights_by_bits": {str(bits): count for bits, count in result.bits.items()},
    }


def table(rows: dict[str, dict[str, Any]]) -> str:
    lines = [
        "# Low-bit training of real models",
        "",
        "Without labels, on one thread; judged on held-out inputs against fp32, as the engine runs "
        "the file. First and last layer have 8 bits. Made by `benchmarks/qat_real.py`.",
        "",
        "| row | training given | steps | CPU, whole command | agreement, before → after | "
        "cosine, before → after | size | goal |",
        "|---|---:|---:|---:|---:|---:|---:|---|",
    ]
    for name, row in rows.items():
        before, after = (next(iter(row[key].values())) for key in ("without_training", "trained"))
        bytes_before, bytes_after = row["bytes"]
        lines.append(
            f"| {name} | {row['minutes_given']:g} min | {row['steps']} | "
            f"{row['cpu_minutes']:.1f} min | {_pair(before, after, 'agreement', '.1%')} | "
            f"{_pair(before, after, 'cosine', '.4f')} | "
            f"{bytes_before / 1e6:.1f} → {bytes_after / 1e6:.1f} MB | "
            f"{row['goal']}: {'holds' if row['holds'] else 'missed'} |"
        )
    return "\n".join([*lines, ""])


def _pair(before: dict[str, Any], after: dict[str, Any], figure: str, form: str) -> str:
    if before[figure] is None:
        return ""
    return f"{before[figure]:{form}} → {after[figure]:{form}}"


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
        RESULTS.with_suffix(".md").write_text(table(rows))
    sys.exit(0 if all(rows[name]["holds"] for name in arguments.names) else 1)


if __name__ == "__main__":
    main()
