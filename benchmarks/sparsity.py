"""How well models keep their outputs with 2:4 zeros, by method, without any training.

    python benchmarks/sparsity.py CACHE [MODEL ...]

CACHE is the folder that benchmarks/fetch_models.py fills. Writes benchmarks/results/sparsity.json
and .md. Weights are chosen on the calibration samples; figures are of the held-out ones.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

import onnxq
from onnxq.calibration import open_feeds
from onnxq.config import Config, Sparsify
from onnxq.engine import input_specs, open_session, runner
from onnxq.measure import compare_outputs, mean_sqnr
from onnxq.pruning.nm import stored_weight

RESULTS = Path(__file__).parent / "results"
MODELS = ("efficientnet_lite0", "minilm")
METHODS = ("magnitude", "wanda", "sparsegpt")
PATTERN = "2:4"


def row(folder: Path, method: str, *, permute: bool) -> dict[str, Any]:
    """Figures of one method on one model, and what quantization makes of the mask."""
    config = Config(sparsify=Sparsify(pattern=PATTERN, method=method, permute=permute))
    source, calibration = folder / "model.onnx", str(folder / "calibration.npz")
    started = time.process_time()
    result = onnxq.sparsify(source, calibration=calibration, config=config, verify=False)
    seconds = time.process_time() - started
    sessions = (open_session(source), open_session(result.model))
    feeds = open_feeds(folder / "held_out.npz", input_specs(sessions[0]))
    fidelity = compare_outputs(*map(runner, sessions), feeds)
    checked = onnxq.check_sparsity(result.model)
    first = next(iter(fidelity.values()))
    return {
        "method": method,
        "permuted": permute,
        "reordered_groups": len(result.permuted),
        "sqnr": mean_sqnr(fidelity),
        "cosine": first.cosine,
        "agreement": first.agreement,
        "seconds": seconds,
        "sparse_layers": len(result.layers),
        "dense_layers": len(result.dense),
        "share_of_weights": result.share,
        "kept": sum(not layer.fault for layer in checked.promised),
        "broken": len(checked.broken),
        "packed_share": result.packed.packed / result.packed.dense,
        "packed_share_int8": result.packed.packed_int8 / result.packed.elements,
        "quantized": None
        if permute or method != METHODS[-1]
        else quantized(result.model, calibration),
    }


def quantized(sparse: onnxq.Model, calibration: str) -> dict[str, Any]:
    """Whether every zero of every promised layer is still zero in the int8 model."""
    config = Config.model_validate({"effort": "none", "weights": {"rounding": "gptq"}})
    made = onnxq.quantize(sparse, calibration=calibration, config=config, verify=False).model
    checked = onnxq.check_sparsity(made)
    before = {node.name: stored_weight(node) for node in sparse.nodes}
    revived = 0
    for node in made.nodes:
        old, new = before.get(node.name), stored_weight(node)
        if old is not None and new is not None and old.used.shape == new.used.shape:
            revived += int(np.count_nonzero(new.used & ~old.used))
    return {
        "promised": len(checked.promised),
        "broken": len(checked.broken),
        "stored": sorted({layer.stored for layer in checked.promised}),
        "revived_zeros": revived,
    }


def page(found: dict[str, list[dict[str, Any]]]) -> str:
    """The results for people."""
    lines = [
        "# 2:4 sparsity without training",
        "",
        "Made by `benchmarks/sparsity.py`: weights chosen on calibration samples, figures on "
        "held-out ones. SQNR is that of the outputs against the dense model; agreement the share "
        "of equal largest outputs. Seconds are of processor time, reading samples included. ONNX "
        "Runtime on the CPU gains no speed from the zeros.",
    ]
    for model, rows in found.items():
        first = rows[0]
        lines += [
            "",
            f"## {model}",
            "",
            f"{first['sparse_layers']} layers with {first['share_of_weights']:.1%} of all layers' "
            f"weights can follow the pattern, {first['dense_layers']} cannot. Packed, those "
            f"weights would take {first['packed_share']:.3f} of their float32 size, and "
            f"{first['packed_share_int8']:.3f} of their int8 size once quantized.",
            "",
            "| method | channels | SQNR | cosine | agreement | seconds | layers that keep the "
            "pattern | after int8 with GPTQ |",
            "|---|---|---:|---:|---:|---:|---:|---|",
        ]
        for one in rows:
            agreement = "–" if one["agreement"] is None else f"{one['agreement']:.1%}"
            order = f"reordered in {one['reordered_groups']} groups" if one["permuted"] else "as is"
            after = one["quantized"]
            text = (
                ""
                if after is None
                else f"{after['promised'] - after['broken']} of {after['promised']} layers keep "
                f"it, {after['revived_zeros']} zeros lost"
            )
            lines.append(
                f"| {one['method']} | {order} | {one['sqnr']:.2f} dB | {one['cosine']:.4f} | "
                f"{agreement} | {one['seconds']:.1f} | {one['kept']} of {one['sparse_layers']} | "
                f"{text} |"
            )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cache", type=Path)
    parser.add_argument("models", nargs="*", default=MODELS)
    arguments = parser.parse_args()
    place = RESULTS / "sparsity.json"
    found = json.loads(place.read_text()) if place.exists() else {}
    for model in arguments.models:
        found[model] = []
        for permute in (False, True):
            for method in METHODS:
                found[model].append(row(arguments.cache / model, method, permute=permute))
                print(model, found[model][-1], flush=True)
        place.write_text(json.dumps(found, indent=1) + "\n")
        (RESULTS / "sparsity.md").write_text(page(found))


if __name__ == "__main__":
    main()
