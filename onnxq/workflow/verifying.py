"""Proof on the engine: is the result valid, what runs in integers, how good, how fast."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnxruntime as ort

from onnxq.engine import Feed, Optimization, open_session
from onnxq.errors import InvariantError, ModelError
from onnxq.graph import Model, save
from onnxq.measure import (
    GroupState,
    Latency,
    Vanished,
    fused_groups,
    measure_latency,
    planned_tensors,
    read_optimized,
    timed_run,
)
from onnxq.plan import Plan
from onnxq.targets import Target


@dataclass(frozen=True)
class Placement:
    """What the engine made of the plan.

    Attributes:
        groups: For each node planned to run in integers, what became of it.
        operators: Operators of the optimized graph with their count.
        integer_share: Share of the computing nodes of that graph that run on integers.
        weight_conversions: Weights that the engine dequantizes on every run.
    """

    groups: Mapping[str, GroupState]
    operators: Mapping[str, int]
    integer_share: float
    weight_conversions: int


def check_valid(result: Model, original: Model) -> str:
    """Run onnx's checker over a result.

    Returns:
        What it objects to in the original already; engines take many such models.

    Raises:
        InvariantError: if it objects to the result alone, which is a defect of onnxq.
    """
    objection = _objection(result)
    if not objection:
        return ""
    before = _objection(original)
    if before:
        return f"the model does not pass onnx.checker, with or without onnxq: {before}"
    raise InvariantError(
        "the result does not pass onnx.checker",
        why=objection,
        remedy="please report this with the model or its exporter",
    )


def _objection(model: Model) -> str:
    with tempfile.TemporaryDirectory(prefix="onnxq-") as folder:
        path = save(model, Path(folder) / "model.onnx")
        try:
            onnx.checker.check_model(str(path))
        except onnx.checker.ValidationError as error:
            return str(error).strip().splitlines()[0]
    return ""


def open_result(model: Model, target: Target) -> ort.InferenceSession:
    """Open a quantized model.

    What another engine takes, ONNX Runtime may fuse into something that it refuses itself; it
    then runs the model as written.

    Raises:
        ModelError: if it does not run.
    """
    try:
        return open_session(model)
    except ModelError:
        if target.measurable:
            raise
        return open_session(model, optimization=Optimization.NONE)


def read_placement(model: Model, plan: Plan) -> Placement:
    """Let the engine optimize the model, and read back what it will run."""
    with tempfile.TemporaryDirectory(prefix="onnxq-") as folder:
        path = Path(folder) / "optimized.onnx"
        open_session(model, optimized_path=path, optimization=Optimization.EXTENDED)
        coverage = read_optimized(path)
    planned = planned_tensors(model.to_proto(), plan.integer_nodes)
    states = fused_groups(planned, coverage)
    operators: dict[str, int] = {}
    for node in coverage.nodes:
        operators[node.op_type] = operators.get(node.op_type, 0) + 1
    return Placement(
        groups={name: states.get(name, Vanished("not found")) for name in plan.integer_nodes},
        operators=operators,
        integer_share=coverage.integer_share,
        weight_conversions=len(coverage.weight_conversions),
    )


def time_both(original: Model, quantized: Model, feed: Feed, threads: int) -> Latency:
    """Latency of both models, measured in turns."""
    return measure_latency(
        {
            "input": timed_run(original, feed, threads=threads),
            "output": timed_run(quantized, feed, threads=threads),
        },
        rounds=60,
        budget_seconds=3.0,
    )
