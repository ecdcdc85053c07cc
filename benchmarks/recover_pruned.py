"""EfficientNet-lite0 pruned to 0.6 of its MACs, then recovered from the unpruned model alone.

    python benchmarks/fetch_models.py
    python benchmarks/recover_pruned.py [--cache FOLDER] [--minutes 20] [--steps N]

Filters go by the reconstruction they cost on the calibration photographs, and what is left is
fitted anew; that is "before". Then the float model learns to give the logits of the unpruned one,
on 200 crops of 20 photographs without labels, for so many minutes; that is "after". Both are
judged on 64 crops of other photographs. Top-1 agreement with the unpruned model must be three
times that before. Goes to results/recover_pruned.json and .md. Ends with 1 if the goal was missed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from fetch_models import DEFAULT_CACHE
from training_samples import training_samples

from onnxq import Config, finetune, prune
from onnxq.measure import Fidelity

RESULTS = Path(__file__).parent / "results" / "recover_pruned.json"
MODEL = "efficientnet_lite0"
MACS, FACTOR = 0.6, 3.0


def measure(
    cache: Path, minutes: float, steps: int | None, *, repair: bool, rate: float
) -> dict[str, Any]:
    """Prune, train and judge."""
    folder = cache / MODEL
    calibration = {"data": str(folder / "calibration.npz")}
    held_out, budget = {"data": str(folder / "held_out.npz")}, {"min_speedup": None}
    cpu = time.process_time()
    pruned = prune(
        folder / "model.onnx",
        config=Config(
            calibration=calibration, budget=budget, prune={"macs": MACS, "repair": repair}
        ),
        verify=False,
    )
    pruning_cpu, cpu = time.process_time() - cpu, time.process_time()
    result = finetune(
        pruned.model,
        teacher=folder / "model.onnx",
        config=Config(
            calibration=calibration,
            evaluate=held_out,
            budget=budget,
            finetune={
                "quantization": None,
                "data": str(training_samples(cache, MODEL)),
                "losses": ("distill",),
                "batch": 16,
                "mix": 0.3,
                "rate": rate,
                "minutes": minutes,
                "steps": steps,
                "evaluations": 10,
            },
        ),
    )
    before, after = (
        _figures(one) for one in (result.untrained.fidelity.values(), result.fidelity.values())
    )
    return {
        "repaired": repair,
        "minutes_given": minutes,
        "macs": [pruned.before.macs, pruned.after.macs],
        "bytes": [result.sizes.input, result.sizes.output],
        "before": before,
        "after": after,
        "holds": 0.0 < after["agreement"] >= FACTOR * before["agreement"],
        "steps": result.training.steps,
        "samples": result.training.samples,
        "rate": rate,
        "held_out_loss": [point.held_out for point in result.training.history],
        "difference_to_training": result.difference,
        "pruning_cpu_minutes": round(pruning_cpu / 60, 2),
        "training_minutes": round(result.training.seconds / 60, 2),
        "finetune_cpu_minutes": round((time.process_time() - cpu) / 60, 2),
    }


def _figures(fidelity: Any) -> dict[str, float]:
    one: Fidelity = next(iter(fidelity))
    assert one.agreement is not None
    return {"agreement": one.agreement, "cosine": one.cosine, "sqnr": one.sqnr or 0.0}


def table(rows: dict[str, dict[str, Any]]) -> str:
    lines = [
        "# A pruned model, recovered without labels",
        "",
        f"EfficientNet-lite0 at {MACS} of its MACs, on one thread; top-1 agreement with the "
        "unpruned model on 64 crops of photographs that nothing was learned from. Made by "
        "`benchmarks/recover_pruned.py`.",
        "",
        "| pruning | training given | steps | CPU of fine-tuning | MACs | agreement, before "
        f"→ after | times (goal {FACTOR:g}) |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, row in rows.items():
        before, after = row["before"]["agreement"], row["after"]["agreement"]
        times = f"{after / before:.1f}" if before else "∞" if after else "–"
        lines.append(
            f"| {name} | {row['minutes_given']:g} min | {row['steps']} | "
            f"{row['finetune_cpu_minutes']:.1f} min | {row['macs'][1] / row['macs'][0]:.3f} | "
            f"{before:.1%} → {after:.1%} | {times}: {'holds' if row['holds'] else 'missed'} |"
        )
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--rate", type=float, default=3e-4)
    parser.add_argument("--no-repair", action="store_true", help="leave the fit after pruning out")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    name = "without repair" if arguments.no_repair else "with repair"
    rows[name] = row = measure(
        arguments.cache,
        arguments.minutes,
        arguments.steps,
        repair=not arguments.no_repair,
        rate=arguments.rate,
    )
    print(name, json.dumps(row), flush=True)
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n")
    RESULTS.with_suffix(".md").write_text(table(rows))
    sys.exit(0 if row["holds"] else 1)


if __name__ == "__main__":
    main()
