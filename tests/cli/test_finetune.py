"""`onnxq finetune` and `onnxq compress` as users call them."""

from __future__ import annotations

import json
from typing import Any

import onnx

CONFIG = """
effort: none
calibration: {data: samples.npz}
budget: {min_speedup: null, metric: cosine, minimum: -1.0}
finetune: {steps: 4, batch: 4, losses: [match]}
"""


def test_finetune_writes_a_model_and_a_report(place: Any) -> None:
    (place / "tune.yaml").write_text(CONFIG)
    done = place.run(
        *("finetune", "model.onnx", "-c", "tune.yaml", "--bits", "4/8", "-o", "small.onnx"),
        *("--report", "report.json"),
    )
    assert done.code == 0, done.err
    assert "the engine computes what was trained" in done.out
    report = json.loads((place / "report.json").read_text())
    assert report["difference_to_training"] < 1e-4
    operators = {node.op_type for node in onnx.load(place / "small.onnx").graph.node}
    assert "QuantizeLinear" in operators


def test_compress_goes_on_where_it_stopped(place: Any) -> None:
    (place / "small.yaml").write_text(CONFIG + "prune: {ratio: 0.25, round_to: 1}\n")
    first = place.run("compress", "model.onnx", "-c", "small.yaml", "-o", "small.onnx")
    assert first.code == 0, first.err
    written = (place / "small.onnx").read_bytes()
    again = place.run("compress", "model.onnx", "-c", "small.yaml", "-o", "small.onnx")
    assert again.code == 0 and "done before" in again.out
    assert (place / "small.onnx").read_bytes() == written


def test_options_that_exclude_each_other(place: Any) -> None:
    done = place.run("finetune", "model.onnx", "--float", "--bits", "4/4")
    assert done.code == 2 and "--float and --bits exclude each other" in done.err
    (place / "float.yaml").write_text(CONFIG + "quantize: false\n")
    done = place.run("finetune", "model.onnx", "-c", "float.yaml", "--bits", "4/4")
    assert done.code == 2 and "float.yaml: --bits asks for rounding" in done.err
