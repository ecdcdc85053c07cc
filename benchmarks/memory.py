"""Measures the memory and time of simplifying a model of a gigabyte of weights.

    python benchmarks/memory.py [--megabytes 200 1000] [--results FOLDER]

Each step's peak is that of a process which does all steps before it, too. The models are written
to a temporary folder, which needs room for twice the weights.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

sys.path.insert(0, str(Path(__file__).resolve().parent))
from scale import RESULTS, environment

LAYERS = 32

HEADING = """# Memory of a large model

Peak of resident memory, in megabytes, of one process that loads a model, simplifies it, runs it
before and after to compare the outputs, and saves it; beside it the seconds that took. Speed is
not measured: ONNX Runtime's optimized sessions take one to four times the weights each. What the
process takes before it has read anything is in the first column. Pages of files that are mapped
into memory count, as the system counts them.
"""


def _random(shape: tuple[int, ...], index: int) -> TensorProto:
    generator = np.random.default_rng(index)
    fan_in = int(np.prod(shape[1:])) if len(shape) == 4 else shape[0]
    value = generator.standard_normal(shape, dtype=np.float32) * np.float32(fan_in**-0.5)
    return numpy_helper.from_array(value, f"weight_{index}")


def products(size: int) -> onnx.ModelProto:
    """MatMul and Relu, with an Identity between them to be removed."""
    side = int((size / 4 / LAYERS) ** 0.5)
    weights = [_random((side, side), index) for index in range(LAYERS)]
    nodes, current = [], "x"
    for index, weight in enumerate(weights):
        nodes += _row(("MatMul", "Identity", "Relu"), current, index, weight.name)
        current = nodes[-1].output[0]
    return _model(nodes, weights, [1, side], current)


def in_nodes(size: int) -> onnx.ModelProto:
    """The same; the weights lie in Constant nodes."""
    proto = products(size)
    nodes = [helper.make_node("Constant", [], [w.name], value=w) for w in proto.graph.initializer]
    kept = [onnx.NodeProto.FromString(n.SerializeToString()) for n in proto.graph.node]
    del proto.graph.initializer[:], proto.graph.node[:]
    proto.graph.node.extend([*nodes, *kept])
    return proto


def transposed(size: int) -> onnx.ModelProto:
    """The same; every weight is transposed before it is used, so it is replaced."""
    proto = products(size)
    nodes = []
    for node in proto.graph.node:
        if node.op_type == "MatMul":
            turned = f"{node.input[1]}_turned"
            nodes.append(helper.make_node("Transpose", [node.input[1]], [turned], perm=[1, 0]))
            node.input[1] = turned
        nodes.append(onnx.NodeProto.FromString(node.SerializeToString()))
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    return proto


def convolutions(size: int) -> onnx.ModelProto:
    """Conv, BatchNormalization and Relu: every weight is replaced."""
    side = int((size / 36 / LAYERS) ** 0.5)
    weights = [_random((side, side, 3, 3), index) for index in range(LAYERS)]
    statistics = [
        numpy_helper.from_array(np.full(side, value, np.float32), name)
        for name, value in (("scale", 1.1), ("shift", 0.1), ("mean", 0.2), ("variance", 0.9))
    ]
    nodes, current = [], "x"
    for index, weight in enumerate(weights):
        row = _row(("Conv", "BatchNormalization", "Relu"), current, index, weight.name)
        row[0].attribute.append(helper.make_attribute("pads", [1, 1, 1, 1]))
        row[1].input.extend(t.name for t in statistics)
        nodes += row
        current = nodes[-1].output[0]
    return _model(nodes, weights + statistics, [1, side, 8, 8], current)


def _row(operators: tuple[str, ...], current: str, index: int, weight: str) -> list[onnx.NodeProto]:
    """Nodes one after the other, the first of which reads a weight."""
    nodes: list[onnx.NodeProto] = []
    for step, operator in enumerate(operators):
        inputs = [current, weight] if step == 0 else [current]
        current = f"{operator}_{index}"
        nodes.append(helper.make_node(operator, inputs, [current], name=current))
    return nodes


def _model(
    nodes: list[onnx.NodeProto], weights: list[TensorProto], shape: list[int], output: str
) -> onnx.ModelProto:
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in ("x", output)]
    graph = helper.make_graph(nodes, "memory", ends[:1], ends[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


KINDS: dict[str, tuple[Callable[[int], onnx.ModelProto], bool]] = {
    "MatMul, in the file": (products, False),
    "MatMul, beside it": (products, True),
    "MatMul, in Constant nodes": (in_nodes, False),
    "MatMul of transposed weights": (transposed, False),
    "Conv and BatchNormalization, in the file": (convolutions, False),
    "Conv and BatchNormalization, beside it": (convolutions, True),
}


def peak_megabytes() -> int:
    """The largest resident memory of this process so far."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) // 1024
    raise SystemExit("this benchmark needs Linux")


def measure(path: Path, target: Path) -> dict[str, float]:
    """Peaks and seconds of the steps, in a process that has done nothing else."""
    import onnxq

    started = time.perf_counter()
    measured: dict[str, float] = {"start": peak_megabytes()}
    model = onnxq.load(path)
    measured["load"] = peak_megabytes()
    result = onnxq.simplify(model, measure=False)
    measured["simplify"] = peak_megabytes()
    assert result.parity is not None and result.parity < 1e-5, result.compared_on
    onnxq.save(result.model, target)
    measured["save"] = peak_megabytes()
    measured["seconds"] = round(time.perf_counter() - started, 1)
    return measured


def measured_apart(kind: str, megabytes: int) -> dict[str, float]:
    """Write a model, and measure it in a process of its own."""
    build, beside = KINDS[kind]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "model.onnx"
        onnx.save(
            build(megabytes * 1_000_000), path, save_as_external_data=beside, location="m.data"
        )
        target = folder / "out.onnx"
        line = [sys.executable, __file__, "--one", str(path), str(target)]
        output = subprocess.run(line, stdout=subprocess.PIPE, check=True, text=True).stdout
        return dict(json.loads(output.splitlines()[-1]))


def table(rows: list[tuple[str, int, dict[str, float]]]) -> str:
    """A Markdown table: a row a model."""
    heading = ["weights", "megabytes", *rows[0][2]]
    cells = [[kind, str(size), *map(str, figures.values())] for kind, size, figures in rows]
    lines = [heading, ["---"] * len(heading), *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def main() -> None:
    """Measure all models and write `memory.md` and `memory.json`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, nargs="+", default=[200, 1000])
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--one", type=Path, nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(*arguments.one)))
        return
    rows = []
    for size in arguments.megabytes:
        for kind in KINDS:
            rows.append((kind, size, measured_apart(kind, size)))
            print(rows[-1], flush=True)
    command = f"python benchmarks/memory.py --megabytes {' '.join(map(str, arguments.megabytes))}"
    made_with = {"command": command, **environment()}
    content = [{"weights": kind, "megabytes": size, **figures} for kind, size, figures in rows]
    arguments.results.mkdir(parents=True, exist_ok=True)
    (arguments.results / "memory.json").write_text(
        json.dumps({"made_with": made_with, "models": content}, indent=2) + "\n"
    )
    notes = "\n".join(f"- {name}: {text}" for name, text in made_with.items())
    (arguments.results / "memory.md").write_text(f"{HEADING}\n{table(rows)}\n{notes}\n")
    print(table(rows))


if __name__ == "__main__":
    main()
