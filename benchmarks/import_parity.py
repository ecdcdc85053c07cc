"""Imports models into torch and compares every output with ONNX Runtime's.

    python benchmarks/import_parity.py [--cache FOLDER] [--results FOLDER] [NAME ...]

Models are those that `fetch_models.py`, `light_models.py` and `fetch_torch_networks.py` leave in
the cache, and some of them converted to newer operator sets, so that sets 9 to 21 all occur.
Writes `import_parity.md` and `import_parity.json`. Exit code 1 if a model differs by more than
the importer allows.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from fetch_models import DEFAULT_CACHE
from simplifier_cases import cases

from onnxq.engine import open_session, runner, with_outputs
from onnxq.errors import OnnxqError
from onnxq.graph import Model, convert_opset, copy_model, embedded, load
from onnxq.passes.parity import difference
from onnxq.training import TorchModel, run_arrays, to_torch, write_back
from onnxq.training.operators import array_of

RESULTS = Path(__file__).resolve().parent / "results"
ALLOWED = 1e-4
LAST = 10
"""Nodes at the end of a model whose results are compared beside the outputs."""

NEWER: Mapping[str, int] = {
    "light.squeezenet": 10,
    "light.shufflenet": 16,
    "ppocr_cls": 14,
    "magika": 18,
    "resnet.script": 19,
    "bert.script": 21,
    "swin.script": 21,
    "unet.script": 21,
    "lstm.script": 21,
    "gru.script": 21,
    "yolo.script": 21,
    "openwakeword_embedding": 21,
}
"""Operator sets that models are converted to, beside the one they come in."""


@dataclass(frozen=True)
class Row:
    """What came of one model.

    Attributes:
        name: The model.
        opset: Version of its default operator set.
        nodes: Number of its nodes.
        parameters: Number of its tensors that train.
        error: Largest difference of an output, relative to the largest value of it.
        unchanged: Whether the model written back without training is the file, byte for byte.
        import_seconds: Time to import it.
        first_seconds: Time of the first run, which also finds what follows from the shapes.
        second_seconds: Time of the second.
        engine_seconds: Time of ONNX Runtime, on one thread as torch.
        refusal: Why it was not imported; empty if it was.
    """

    name: str
    opset: int
    nodes: int
    parameters: int = 0
    error: float = float("inf")
    unchanged: bool = False
    import_seconds: float = 0.0
    first_seconds: float = 0.0
    second_seconds: float = 0.0
    engine_seconds: float = 0.0
    refusal: str = ""

    @property
    def good(self) -> bool:
        """Whether torch and the engine agree, and writing back changes nothing."""
        return self.error <= ALLOWED and self.unchanged


def models(cache: Path) -> Iterator[tuple[str, Model, Path]]:
    """Every model of the cache, and the conversions of some, with their samples."""
    for case in cases(cache):
        model = load(case.model)
        yield case.name, model, case.samples
        newer = NEWER.get(case.name)
        if newer is not None:
            converted = copy_model(model)
            convert_opset(converted, newer)
            yield f"{case.name} to {newer}", converted, case.samples


def measure(name: str, model: Model, samples: Path) -> Row:
    """Import a model, run it twice and compare it."""
    feed = _feed(model, samples)
    start = time.perf_counter()
    try:
        module = to_torch(model)
    except OnnxqError as error:
        return Row(name, model.opset, len(model.nodes), refusal=str(error))
    times = [time.perf_counter() - start]
    for _ in range(2):
        start = time.perf_counter()
        run_arrays(module, feed)
        times.append(time.perf_counter() - start)
    run = runner(open_session(model, threads=1))
    run(feed)
    start = time.perf_counter()
    run(feed)
    times.append(time.perf_counter() - start)
    error = _error(model, module, feed)
    kept = {key: array_of(tensor) for key, tensor in module.tensors_by_name.items()}
    same = _content(write_back(model, kept)) == _content(model)
    return Row(
        name, model.opset, len(model.nodes), len(module.parameters_by_name), error, same, *times
    )


def _error(model: Model, module: TorchModel, feed: dict[str, np.ndarray]) -> float:
    """The largest difference of the outputs and the last inner tensors.

    Outputs alone prove little where weights are drawn and a softmax saturates.
    """
    known = module.tensor_names
    inner = [t.name for node in model.nodes[-LAST:] for t in node.outputs if t.name in known]
    outputs = [t.name for t in model.outputs]
    names = list(dict.fromkeys([*outputs, *inner]))
    shown = with_outputs(model.to_proto(embedded), names)
    expected = runner(open_session(shown, threads=1))(feed)
    found = run_arrays(module, feed, names)
    return max(difference(expected[name], found[name]) for name in names)


def _feed(model: Model, samples: Path) -> dict[str, np.ndarray]:
    """The first samples: as many as the model is fixed to, else two."""
    with np.load(samples) as data:
        feed = {}
        for tensor in model.inputs:
            first = (tensor.shape or (2,))[0]
            feed[tensor.name] = data[tensor.name][: first if isinstance(first, int) else 2]
        return feed


def _content(model: Model) -> bytes:
    return model.to_proto().SerializeToString(deterministic=True)


def page(rows: list[Row]) -> str:
    """The table in Markdown."""
    good = sum(row.good for row in rows)
    opsets = sorted({row.opset for row in rows})
    lines = [
        "# Models imported into torch, beside ONNX Runtime",
        "",
        "`python benchmarks/import_parity.py` after `fetch_models.py`, `light_models.py` and "
        "`fetch_torch_networks.py`. The error is the largest difference of an output, or of a "
        f"result of the last {LAST} nodes, relative to its largest value; {ALLOWED:.0e} is "
        "allowed. Unchanged: written back without training, the model is the file it came from, "
        "byte for byte. Times are in milliseconds, of one run on one thread of a shared machine: "
        "an order of magnitude, no comparison.",
        "",
        f"onnxruntime {onnxruntime.__version__}, torch {torch.__version__}, {platform.machine()}.",
        "",
        f"**{good} of {len(rows)} agree**, operator sets {', '.join(map(str, opsets))}.",
        "",
        "| model | operator set | nodes | weights | error | unchanged | import | first run "
        "| second run | engine | remark |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        spans = (
            row.import_seconds,
            row.first_seconds,
            row.second_seconds,
            row.engine_seconds,
        )
        cells = [row.name, row.opset, row.nodes, row.parameters, f"{row.error:.1e}"]
        cells += ["yes" if row.unchanged else "no", *(f"{s * 1e3:.1f}" for s in spans)]
        lines.append("| " + " | ".join(map(str, [*cells, row.refusal])) + " |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Measure all, writing after each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("names", nargs="*", help="models; all where none is named")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[Row] = []
    for name, model, samples in models(options.cache):
        if options.names and name not in options.names:
            continue
        rows.append(measure(name, model, samples))
        print(f"{name}: {rows[-1].error:.1e} {rows[-1].refusal}", file=sys.stderr, flush=True)
        (options.results / "import_parity.md").write_text(page(rows), encoding="utf-8")
        content = json.dumps([asdict(row) for row in rows], indent=1)
        (options.results / "import_parity.json").write_text(content + "\n", encoding="utf-8")
    return 0 if rows and all(row.good for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
