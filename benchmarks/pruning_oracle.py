"""Is a pruned model the masked model? Every fetched model, cut both ways.

    python benchmarks/pruning_oracle.py [--cache FOLDER] [--results FOLDER] [NAME ...]

Removes 30 % of the channels of every group, chosen at random, and compares what the pruned and
the masked model compute in ONNX Runtime on made-up inputs (largest difference relative to the
largest value), beside how far masking moved the outputs. The pruned file must pass the checker
with shapes re-inferred. Also says which part of the weights of convolutions, linear and
recurrent layers lies in groups. Writes `pruning_oracle.md` and `pruning_oracle.json`.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from fetch_models import DEFAULT_CACHE

from onnxq.coupling import Cut, Grouping, channel_groups, coverage
from onnxq.engine import Feed, input_specs, made_up_feeds, open_to_compare, runner
from onnxq.errors import OnnxqError
from onnxq.graph import Model, copy_model, derive_types, load, producer
from onnxq.passes import FoldConstants, FreezeDefaults, LowerConstants, MaskFilters, PruneFilters
from onnxq.passes import apply_passes as apply
from onnxq.passes.parity import difference

RESULTS = Path(__file__).resolve().parent / "results"
RATIO = 0.3
MULTIPLE = 4
LARGEST = 300_000_000
"""Bytes of the largest model that is tried."""


@dataclass(frozen=True)
class Row:
    """What came of one model, cut one way.

    Attributes:
        model: Its name.
        cut: Which way tensors with several axes of channels were cut.
        groups: Number of groups.
        frozen: Number of layers or parts of layers that stay.
        share: Part of the layers' weights that lies in groups.
        rounded: The same, of groups that can lose 30 % so that widths are multiples of 4.
        error: Difference of pruned and masked.
        moved: Difference of masked and original.
        parameters: Part of the parameters that is left.
        seconds: Time of finding groups and of surgery.
        note: What went wrong.
    """

    model: str
    cut: str
    groups: int = 0
    frozen: int = 0
    share: float = 0.0
    rounded: float = 0.0
    error: float = float("nan")
    moved: float = float("nan")
    parameters: float = float("nan")
    seconds: float = float("nan")
    note: str = ""


def choose(grouping: Grouping, seed: int = 0) -> dict[str, tuple[int, ...]]:
    generator = np.random.default_rng(seed)
    chosen = {}
    for group in grouping.groups:
        count = min(max(1, round(RATIO * group.size)), group.size - 1)
        numbers = generator.choice(group.size, count, replace=False)
        chosen[group.name] = tuple(int(n) for n in numbers)
    return chosen


def difference_of(expected: dict[str, object], found: dict[str, object]) -> float:
    return max(difference(expected[name], found[name]) for name in expected)


def examine(name: str, model: Model, cut: Cut, feeds: list[Feed]) -> Row:
    started = time.perf_counter()
    grouping = channel_groups(model, cut)
    removed = choose(grouping)
    pruned = copy_model(model)
    apply(pruned, [PruneFilters(removed, cut)])
    seconds = time.perf_counter() - started
    masked = copy_model(model)
    apply(masked, [MaskFilters(removed, cut)])
    onnx.checker.check_model(pruned.to_proto(), full_check=True)
    error = moved = 0.0
    runs = [runner(open_to_compare(m)) for m in (model, masked, pruned)]
    for feed in feeds:
        before, expected, found = (dict(run(feed)) for run in runs)
        error = max(error, difference_of(expected, found))
        moved = max(moved, difference_of(before, expected))
    return Row(
        name,
        cut.value,
        len(grouping.groups),
        len(grouping.frozen),
        coverage(grouping).share,
        coverage(grouping, RATIO, MULTIPLE).share,
        error,
        moved,
        pruned.stored_bytes() / model.stored_bytes(),
        seconds,
    )


def show_logits(model: Model) -> None:
    """Return what a last Softmax reads too: with random weights it tells one class alone."""
    types = derive_types(model)
    for tensor in list(model.outputs):
        node = producer(tensor)
        if node is None or node.op not in ("LogSoftmax", "Softmax"):
            continue
        dtype, shape = types.get(node.inputs[0].name, (None, None))
        if shape is not None:
            node.inputs[0].dtype, node.inputs[0].shape = dtype, shape
            model.graph.outputs.append(node.inputs[0])


def rows_of(name: str, path: Path) -> list[Row]:
    model = load(path)
    apply(model, [FreezeDefaults(), LowerConstants(), FoldConstants()])
    show_logits(model)
    rows: list[Row] = []
    try:
        feeds = list(made_up_feeds(input_specs(open_to_compare(model)), 1))
        for cut in Cut:
            row = examine(name, model, cut, feeds)
            if not rows or row.groups != rows[0].groups:
                rows.append(row)
    except OnnxqError as error:
        rows.append(Row(name, "", note=str(error)[:200]))
    return rows


def files(cache: Path, names: list[str]) -> dict[str, Path]:
    found = {p.parent.name: p for p in sorted(cache.glob("*/model.onnx"))}
    for folder in ("light", "torch_networks"):
        found.update((f"{folder}/{p.stem}", p) for p in sorted((cache / folder).glob("*.onnx")))
    found = {name: p for name, p in found.items() if p.stat().st_size <= LARGEST}
    return {name: p for name, p in found.items() if not names or name in names}


def page(rows: list[Row]) -> str:
    lines = [
        "# Pruned equals masked",
        "",
        f"{RATIO:.0%} of the channels of every group, at random; ONNX Runtime "
        f"{onnxruntime.__version__}, {platform.machine()}. Error: largest difference of pruned "
        "and masked outputs, relative to the largest value. Moved: the same of masked and "
        "original. Share: weights of convolutions, linear and recurrent layers in groups; "
        f"rounded: in groups that can lose about {RATIO:.0%} with widths that are multiples of "
        f"{MULTIPLE}. `light` models have random weights.",
        "",
        "| model | cut | groups | frozen | share | rounded | error | moved | bytes left | s |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for r in rows:
        if r.note:
            lines.append(f"| {r.model} | – | | | | | {r.note} | | | |")
            continue
        lines.append(
            f"| {r.model} | {r.cut} | {r.groups} | {r.frozen} | {r.share:.1%} | {r.rounded:.1%} "
            f"| {r.error:.1e} | {r.moved:.1e} | {r.parameters:.0%} | {r.seconds:.1f} |"
        )
    compared = [r for r in rows if not r.note]
    worst = max((r.error for r in compared), default=float("nan"))
    lines += ["", f"Worst error of {len(compared)} comparisons: {worst:.1e}.", ""]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    rows: list[Row] = []
    for name, path in files(arguments.cache, arguments.names).items():
        rows += rows_of(name, path)
        print(rows[-1], flush=True)
        arguments.results.mkdir(parents=True, exist_ok=True)
        facts = [asdict(row) for row in rows]
        (arguments.results / "pruning_oracle.json").write_text(json.dumps(facts, indent=1) + "\n")
        (arguments.results / "pruning_oracle.md").write_text(page(rows))


if __name__ == "__main__":
    main()
