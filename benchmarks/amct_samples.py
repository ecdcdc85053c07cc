"""AMCT's five kinds of simple configuration on EfficientNet-lite0, from the file to the result.

    python benchmarks/fetch_models.py efficientnet_lite0
    python benchmarks/amct_samples.py [--cache FOLDER] [--steps 20] [--only NAME]

Each file is translated and carried out as `onnxq compress` does, with few steps of training: that
every stage does what the file says is shown here, not how good the training is. Judged on 64 crops
of photographs that nothing learned from. Goes to results/amct_samples.json and .md; files that are
there are not run again. Ends with 1 if a result is not what its file asks for.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fetch_models import DEFAULT_CACHE

from onnxq.compat import translate
from onnxq.graph import Model, load, read
from onnxq.pruning.nm import check_layers
from onnxq.quant import nearest_half
from onnxq.workflow import compress

RESULTS = Path(__file__).parent / "results" / "amct_samples.json"
MODEL = "efficientnet_lite0"

_DATA = "retrain_data_quant_config { ulq_quantize { %s } }"
_ARQ = "retrain_weight_quant_config { arq_retrain { %s } }"
_FILTERS = (
    "filter_pruner { balanced_l2_norm_filter_prune { prune_ratio: %s ascend_optimized: True } }"
)
_PATTERN = "n_out_of_m_pruner { l1_selective_prune { n_out_of_m_type: M4N2 update_freq: %d } }"
_CLIP = "clip_max_min { clip_max: %s clip_min: -%s }"
_BOTH = """
prune_config {{ {all} }}
skip_layer_types: "Linear"
quant_skip_layers: "{skipped}"
quant_skip_types: "Linear"
{arq}
override_layer_types {{
    layer_type: "Conv2d"
    {tensor}
    {data}
    prune_config {{ {some} }}
}}
"""


def _by_name(name: str, block: str) -> str:
    return f'override_layer_configs {{ layer_name: "{name}" {block} }}\n'


def _both(pruner: str, first: Any, second: Any) -> str:
    return _BOTH.format(
        all=pruner % first,
        some=pruner % second,
        skipped="_conv_head",
        arq=_ARQ % "channel_wise: true dst_type: INT8",
        tensor=_ARQ % "channel_wise: false dst_type: INT8",
        data=_DATA % (_CLIP % (6.0, 6.0)),
    )


FILES = {
    "quant": "\n".join(
        (
            _DATA % f"{_CLIP % (6.0, 6.0)} fixed_min: true dst_type: INT8",
            _ARQ % "channel_wise: true dst_type: INT8",
            'skip_layers: "_conv_stem"',
            'skip_layer_types: "Linear"',
            _by_name("_blocks.3._project_conv", _ARQ % "channel_wise: false dst_type: INT4"),
            _by_name("_conv_head", _DATA % f"{_CLIP % (3.0, 3.0)} dst_type: INT4"),
            "fakequant_precision_mode: FORCE_FP16_QUANT",
        )
    ),
    "prune": f"prune_config {{ {_FILTERS % 0.3} }}\n"
    'regular_prune_skip_layers: "_conv_stem"\nregular_prune_skip_layers: "_fc"\n'
    + _by_name("_conv_head", f"prune_config {{ {_FILTERS % 0.5} }}"),
    "selective prune": f"prune_config {{ {_PATTERN % 0} }}\n"
    'regular_prune_skip_layers: "_conv_head"\nregular_prune_skip_layers: "_fc"\n'
    + _by_name("_blocks.3._project_conv", f"prune_config {{ {_PATTERN % 2} }}"),
    "compressed 1": _both(_FILTERS, 0.3, 0.5),
    "compressed 2": _both(_PATTERN, 0, 1),
}

_ASKED: dict[str, dict[str, Any]] = {
    "quant": {
        "integer weights": 48,
        "float weights": ["_conv_stem", "_fc"],
        "one scale": ["_blocks.3._project_conv"],
        "4 bits": ["_blocks.3._project_conv"],
        "half": True,
        "patterns": 0,
        "narrower": 0,
    },
    "prune": {"integer weights": 0, "patterns": 0},
    "selective prune": {"integer weights": 0, "patterns": 31, "narrower": 0},
    "compressed 1": {"float weights": ["_fc"], "patterns": 0},
    "compressed 2": {"float weights": ["_fc"], "patterns": 32, "narrower": 0},
}
"""What must be found in the result. 2:4 fits the layers that read four channels or more at once."""


def _module(name: str) -> str:
    return name.strip("/").rpartition("/")[0].replace("/", ".")


def found_in(model: Model, original: Model) -> dict[str, Any]:
    """How the weights and the scales of a model are stored, and what became of its channels."""
    before = {n.name: read(n.inputs[1]).shape for n in original.nodes if n.op in ("Conv", "Gemm")}
    layers = {n.name: n.inputs[1] for n in model.nodes if n.name in before}
    codes = {n: t.inputs[0].inputs[:2] for n, t in layers.items() if t.inputs}
    scales = [n.inputs[1].values for n in model.nodes if n.op == "QuantizeLinear"]
    shapes = {n: (codes[n][0] if n in codes else t).stored.shape for n, t in layers.items()}
    return {
        "integer weights": len(codes),
        "float weights": [_module(n) for n in layers if n not in codes],
        "one scale": [_module(n) for n, (_, scale) in codes.items() if scale.values.ndim == 0],
        "4 bits": [_module(n) for n, (c, _) in codes.items() if str(c.stored.dtype) == "int4"],
        "half": bool(scales) and all(np.array_equal(nearest_half(s), s) for s in scales),
        "patterns": sum(x.promised is not None and not x.fault for x in check_layers(model)),
        "narrower": sum(shapes[n][0] < before[n][0] for n in layers),
    }


def measure(name: str, folder: Path, steps: int) -> dict[str, Any]:
    """Carry a file out, and look at the result."""
    original, started = load(folder / "model.onnx"), time.perf_counter()
    found = translate(FILES[name], f"{name}.cfg", original)
    assert found is not None and found.config.finetune is not None
    short = {"steps": steps, "batch": 8, "evaluations": 2, "samples": 64}
    config = found.config.model_copy(
        update={
            "finetune": found.config.finetune.model_copy(update=short),
            "budget": found.config.budget.model_copy(update={"min_speedup": None}),
            "evaluate": found.config.evaluate.model_copy(
                update={"data": str(folder / "held_out.npz"), "samples": 64}
            ),
        }
    )
    calibration = str(folder / "calibration.npz")
    result = compress(original, calibration=calibration, config=config)
    facts = found_in(result.model, original)
    wrong = {k: (facts[k], v) for k, v in _ASKED[name].items() if facts[k] != v}
    fidelity = next(iter(result.fidelity.values()))
    return {
        "stages": [f"{stage.name}: {stage.text}" for stage in result.stages],
        "gates": all(f.passed is not False for s in result.stages for f in s.findings),
        "found": facts,
        "wrong": {key: [str(x) for x in pair] for key, pair in wrong.items()},
        "warnings": [*found.warnings, *result.warnings],
        "bytes": [result.sizes.input, result.sizes.output],
        "macs": [work.macs for work in result.work or ()],
        "agreement": fidelity.agreement,
        "steps": steps,
        "seconds": time.perf_counter() - started,
    }


def page(results: dict[str, Any]) -> str:
    """The table."""
    steps = max(row["steps"] for row in results.values())
    lines = [
        "# AMCT's five kinds of file on EfficientNet-lite0",
        "",
        f"Carried out as `onnxq compress` does, with {steps} steps of training on 8 of 64 "
        "photographs each: that shows that everything is done as the files ask, not what training "
        "makes of it, which takes far longer. Agreement is that of top-1 with the unchanged model "
        "on 64 crops of other photographs. Made by `benchmarks/amct_samples.py`.",
        "",
        "| file | stages | size | MACs | as asked | agreement |",
        "|---|---|---:|---:|---|---:|",
    ]
    for name, row in results.items():
        size, macs = (row[key][1] / row[key][0] for key in ("bytes", "macs"))
        asked = "yes" if row["gates"] and not row["wrong"] else f"no: {row['wrong']}"
        stages = "; ".join(row["stages"])
        lines.append(
            f"| {name} | {stages} | {size:.2f} | {macs:.2f} | {asked} | {row['agreement']:.3f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> int:
    """Measure what is not there yet, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--only", choices=list(FILES))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in FILES:
        if name not in results and arguments.only in (None, name):
            results[name] = measure(name, arguments.cache / MODEL, arguments.steps)
            print(name, json.dumps(results[name], indent=2), flush=True)
            RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    RESULTS.with_suffix(".md").write_text(page(results))
    return int(any(row["wrong"] or not row["gates"] for row in results.values()))


if __name__ == "__main__":
    sys.exit(main())
