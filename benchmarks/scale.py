"""Times onnxq's steps on synthetic graphs of thousands of nodes.

    python benchmarks/scale.py [--nodes 5000 10000 20000 40000] [--repeats 1] [--results FOLDER]

Each size runs in a process of its own; of several repeats the median of each step counts. A step
whose time more than doubles when the graph doubles shows in the last column: 1.0 is linear growth,
2.0 quadratic.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

RESULTS = Path(__file__).resolve().parent / "results"
SHAPE = (1, 4, 4, 4)
ENDS = ("input", "output")
BLOCK = 20  # nodes between two MatMuls

HEADING = """# Growth with the size of the graph

Synthetic graphs of Conv, Relu, Add and MatMul nodes on tiny tensors; one process per size and
repeat, and the median of each step. Seconds are those of the processor, so that waiting for other
work does not count; a busy machine still adds up to a quarter, since cores share their caches.
Growth is the slope of log(seconds) over log(nodes): 1 is linear, 2 quadratic.

The rows up to "save" are the steps of `onnxq quantize`. The exact passes run without comparing
outputs, and ranges are made up, so that no time of the engine is in them; the row after them is
ONNX Runtime's own time to open the result, optimized. "simplify" is `onnxq.simplify` in Python
without the measurement of speed: load, rules, and the comparison of the outputs before and after.
The row after it is the command, from the start of Python to the file written; it is quicker for
large graphs, as it has Python look for garbage less often.
"""

_ENGINE_LIMIT = 10_000
"""Beyond so many nodes ONNX Runtime takes minutes."""

_COMMAND = "`onnxq simplify --no-measure`"

_ENGINE_STEP = "(ONNX Runtime opens the quantized model)"

# One step: takes what the step before returned, returns what the next one takes.
Step = Callable[[Any], Any]


def onnxq_steps(folder: Path) -> Mapping[str, Step]:
    """Return the steps to time, in order; the first one is given the path of the model.

    This is the only place that knows onnxq.
    """
    from onnxq import graph
    from onnxq.calibration import activation_parameters
    from onnxq.config import Config
    from onnxq.passes import DeduplicateConstants, InsertQDQ, apply_passes
    from onnxq.plan import Plan, make_plan
    from onnxq.targets import load_target
    from onnxq.workflow.preparing import EXACT_PASSES

    def on_graph(action: Callable[[graph.Graph], object]) -> Step:
        def step(model: graph.Model) -> graph.Model:
            action(model.graph)
            return model

        return step

    def infer(model: graph.Model) -> graph.Model:
        graph.infer_types(model)
        return model

    def simplify(model: graph.Model) -> graph.Model:
        model.keep_node_names()
        apply_passes(model, EXACT_PASSES)
        return model

    def plan(model: graph.Model) -> tuple[graph.Model, Plan]:
        return model, make_plan(model, load_target("ort-cpu"), Config())

    def insert(planned: tuple[graph.Model, Plan]) -> graph.Model:
        model, chosen = planned
        ranges = dict.fromkeys(chosen.activations, (-2.0, 2.0))
        parameters = activation_parameters(chosen, ranges)
        apply_passes(model, [InsertQDQ(chosen, parameters), DeduplicateConstants()])
        return model

    def save(model: graph.Model) -> Path:
        return graph.save(model, folder / "saved.onnx")

    return {
        "load": graph.load,
        "sort": on_graph(graph.sort),
        "check invariants": on_graph(graph.check_invariants),
        "infer types": infer,
        "exact passes": simplify,
        "plan": plan,
        "insert Q/DQ": insert,
        "save": save,
    }


def simplify_steps(folder: Path) -> Mapping[str, Step]:
    """Return the steps of a simplification; the first one is given the path of the model."""
    import onnxq
    from onnxq import graph
    from onnxq.passes.parity import Reference

    compared: list[Reference] = []

    def run_original(model: graph.Model) -> graph.Model:
        compared.append(Reference(model, None))
        return model

    def run_again(model: graph.Model) -> Path:
        error = compared[0].error(model)
        assert error == 0, error
        return folder / "model.onnx"

    return {
        "load again": graph.load,
        "copy": graph.copy_model,
        "run in the engine": run_original,
        "run again and compare": run_again,
        "simplify": lambda path: onnxq.simplify(path, measure=False),  # loads it, too
        "save simplified": lambda result: graph.save(result.model, folder / "simplified.onnx"),
        _COMMAND: lambda _: run_command(folder / "model.onnx"),
    }


def run_command(path: Path) -> None:
    """Simplify as users do, in a process of its own."""
    line = [sys.executable, "-m", "onnxq", "simplify", str(path), "--no-measure"]
    subprocess.run(line, stdout=subprocess.DEVNULL, check=True)


def open_in_engine(path: Path) -> ort.InferenceSession:
    """Not onnxq's work; timed because it is what one waits for."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def build(nodes: int, seed: int = 0) -> onnx.ModelProto:
    """Return a valid model of that many Conv, Relu, Add and MatMul nodes on tiny tensors.

    Values stay within a few units however deep it is: the weights contract, the biases refresh.
    """
    random = np.random.default_rng(seed)
    weights: list[TensorProto] = []
    graph_nodes: list[onnx.NodeProto] = []
    current, block_input = "input", "input"
    for index, operator in enumerate(_operators(nodes)):
        constants = _constants(operator, index, random)
        weights += constants
        inputs = [current, *(constant.name for constant in constants)]
        if operator == "Conv":
            block_input = current
        if operator == "Add":
            inputs.append(block_input)
        current = "output" if index == nodes - 1 else f"tensor_{index}"
        graph_nodes.append(helper.make_node(operator, inputs, [current], name=f"node_{index}"))
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, SHAPE) for name in ENDS]
    graph = helper.make_graph(graph_nodes, "scale", ends[:1], ends[1:], weights)
    opsets = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def _operators(nodes: int) -> list[str]:
    pattern = ["Conv", "Relu", "Add"] * (BLOCK // 3) + ["MatMul"] * (BLOCK % 3)
    return (pattern * (nodes // len(pattern) + 1))[:nodes]


def _constants(operator: str, index: int, random: np.random.Generator) -> list[TensorProto]:
    """The weights of one node, none for Relu and Add."""
    if operator not in ("Conv", "MatMul"):
        return []
    orthogonal, _ = np.linalg.qr(random.normal(size=(4, 4)))
    if operator == "MatMul":
        return [_tensor(f"weight_{index}", 0.7 * orthogonal)]
    return [
        _tensor(f"weight_{index}", 0.05 * orthogonal[:, :, None, None]),
        _tensor(f"bias_{index}", random.normal(0, 0.2, 4)),
    ]


def _tensor(name: str, values: np.ndarray) -> TensorProto:
    return numpy_helper.from_array(values.astype(np.float32), name)


def environment() -> dict[str, str]:
    """The versions and the processor."""
    packages = ["onnxq", "onnx", "onnx_graphsurgeon", "onnxruntime", "numpy", "protobuf"]
    versions = {name: _version(name) for name in packages}
    python = platform.python_version()
    return {"python": python, **versions, "processor": _processor(), "cores": str(os.cpu_count())}


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "from the source tree"


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def time_steps(steps: Mapping[str, Step], start: object) -> dict[str, float]:
    """Return the seconds of each step, each fed with the result of the one before."""
    seconds = {}
    value = start
    for name, step in steps.items():
        # What the steps before left behind would slow down Python's own search for garbage.
        gc.collect()
        before = _processor_seconds()
        value = step(value)
        seconds[name] = round(_processor_seconds() - before, 3)
    return seconds


def _processor_seconds() -> float:
    """Of this process and of those it has waited for."""
    used = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def measure(nodes: int) -> dict[str, float]:
    """Build one graph and time all steps on it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        onnx.save(build(nodes), folder / "model.onnx")
        measured = time_steps(onnxq_steps(folder), folder / "model.onnx")
        unit = 1 if sys.platform == "darwin" else 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit // 2**20
        if nodes <= _ENGINE_LIMIT:
            measured |= time_steps({_ENGINE_STEP: open_in_engine}, folder / "saved.onnx")
        measured |= time_steps(simplify_steps(folder), folder / "model.onnx")
        measured["peak megabytes of quantizing"] = peak
    return {"nodes": nodes, **measured}


def apart(nodes: int) -> dict[str, float]:
    """Measure one size in a process of its own."""
    line = [sys.executable, __file__, "--one", str(nodes)]
    output = subprocess.run(line, stdout=subprocess.PIPE, check=True, text=True).stdout
    return dict(json.loads(output.splitlines()[-1]))


def median_of(repeats: list[dict[str, float]]) -> dict[str, float]:
    """The median of each figure; of an even number of repeats the lower one."""
    return {key: statistics.median_low(run[key] for run in repeats) for key in repeats[0]}


def table(measured: list[dict[str, float]]) -> str:
    """Return a Markdown table: a row a step, a column a size, and the growth exponent."""
    sizes = [int(run["nodes"]) for run in measured]
    rows: list[Iterable[str]] = [["step, seconds", *map(str, sizes), "growth"]]
    rows.append(["---"] * (len(sizes) + 2))
    for step in (key for key in measured[0] if key != "nodes"):
        pairs = [
            (size, run[step]) for size, run in zip(sizes, measured, strict=True) if step in run
        ]
        known, values = [list(column) for column in zip(*pairs, strict=True)]
        cells = [str(run.get(step, "not run")) for run in measured]
        rows.append([step, *cells, _growth(known, values)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def _growth(sizes: list[int], values: list[float]) -> str:
    """The slope between the smallest and the largest size, both axes logarithmic."""
    if len(sizes) == 1 or min(values[0], values[-1]) <= 0:
        return ""
    return f"{math.log(values[-1] / values[0]) / math.log(sizes[-1] / sizes[0]):.2f}"


def main() -> None:
    """Measure the sizes one after the other and write `scale.md` and `scale.json`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, nargs="+", default=[5000, 10000, 20000, 40000])
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one)))
        return
    measured = []
    for nodes in arguments.nodes:
        measured.append(median_of([apart(nodes) for _ in range(arguments.repeats)]))
        print(measured[-1], flush=True)
    arguments.results.mkdir(parents=True, exist_ok=True)
    nodes = " ".join(map(str, arguments.nodes))
    command = f"python benchmarks/scale.py --nodes {nodes} --repeats {arguments.repeats}"
    made_with = {"command": command, **environment()}
    content = {"made_with": made_with, "sizes": measured}
    (arguments.results / "scale.json").write_text(json.dumps(content, indent=2) + "\n")
    notes = "\n".join(f"- {name}: {text}" for name, text in made_with.items())
    (arguments.results / "scale.md").write_text(f"{HEADING}\n{table(measured)}\n{notes}\n")
    print(table(measured))


if __name__ == "__main__":
    main()
