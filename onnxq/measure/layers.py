"""Where the error comes from: the fidelity of inner tensors, layer by layer.

The engine keeps every tensor that is declared as an output until the run ends, whether or
not it is asked for. So the tensors are taken in groups that fit a memory limit, each group
with sessions of its own, and the feeds are read once per group.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TypeAlias

import onnx

from onnxq.engine import Feed, open_session, runner, with_outputs
from onnxq.errors import DataError, ModelError
from onnxq.measure.fidelity import Fidelity, FidelityMeter
from onnxq.measure.protos import element_count
from onnxq.measure.shapes import static_shapes

Pair: TypeAlias = tuple[str, str]
"""A tensor of the first model and the tensor of the second that stands for it."""


def compare_layers(
    model_a: onnx.ModelProto,
    model_b: onnx.ModelProto,
    pairs: Sequence[Pair],
    feeds: Collection[Feed],
    *,
    memory_bytes: int = 256_000_000,
    threads: int = 0,
) -> dict[Pair, Fidelity]:
    """Compare inner tensors of two models on the same inputs.

    A tensor that becomes an output is not fused away, so a quantized model may compute
    around it in float: the errors are those of the Q/DQ model as written.

    Args:
        model_a: The reference, weights inside.
        model_b: The model that is judged, weights inside.
        pairs: Which tensors to compare.
        feeds: Inputs; a collection, for it is read several times.
        memory_bytes: Upper limit for the tensors of one group, both models together. A
            single tensor above it gets a group of its own.
        threads: Threads of a session; 0 leaves the choice to the engine.

    Returns:
        The fidelity of each pair, in the given order.

    Raises:
        ModelError: if a model has no such tensor or does not run.
        DataError: if there is no feed.
    """
    if not feeds:
        raise DataError("nothing to compare", why="there was no feed")
    wanted = list(dict.fromkeys(pairs))
    _check_names(model_a, [a for a, _ in wanted], "first")
    _check_names(model_b, [b for _, b in wanted], "second")
    sizes = _pair_bytes(model_a, wanted, next(iter(feeds)))
    found: dict[Pair, Fidelity] = {}
    for group in _groups(sizes, memory_bytes):
        found.update(_compare_group(model_a, model_b, group, feeds, threads))
    return {pair: found[pair] for pair in wanted}


def _compare_group(
    model_a: onnx.ModelProto,
    model_b: onnx.ModelProto,
    group: Sequence[Pair],
    feeds: Collection[Feed],
    threads: int,
) -> dict[Pair, Fidelity]:
    # A tensor may stand in several pairs; a run returns it once.
    names_a = list(dict.fromkeys(a for a, _ in group))
    names_b = list(dict.fromkeys(b for _, b in group))
    run_a = runner(open_session(_returning(model_a, names_a), threads=threads), names_a)
    run_b = runner(open_session(_returning(model_b, names_b), threads=threads), names_b)
    meters = {pair: FidelityMeter(pair[0]) for pair in group}
    for feed in feeds:
        a, b = run_a(feed), run_b(feed)
        for pair, meter in meters.items():
            meter.add_from(a, b, *pair)
    return {pair: meter.result() for pair, meter in meters.items()}


def _returning(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """A copy that returns the named tensors and nothing else."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    kept = [value for value in model.graph.output if value.name in names]
    del copy.graph.output[:]
    copy.graph.output.extend(kept)
    return with_outputs(copy, names)


def _pair_bytes(model: onnx.ModelProto, pairs: Sequence[Pair], feed: Feed) -> dict[Pair, int]:
    """Bytes of each pair in both models; an unknown shape counts as the largest known one."""
    input_shapes = {name: value.shape for name, value in feed.items()}
    shapes = static_shapes(model, input_shapes=input_shapes).shapes
    known = {a: 2 * _FLOAT_BYTES * element_count(shapes[a]) for a, _ in pairs if a in shapes}
    fallback = max(known.values(), default=_UNKNOWN_BYTES)
    return {pair: known.get(pair[0], fallback) for pair in pairs}


_FLOAT_BYTES = 4
_UNKNOWN_BYTES = 16_000_000


def _groups(sizes: Mapping[Pair, int], limit: int) -> Iterator[list[Pair]]:
    """Consecutive pairs that stay within the limit together."""
    group: list[Pair] = []
    total = 0
    for pair, size in sizes.items():
        if group and total + size > limit:
            yield group
            group, total = [], 0
        group.append(pair)
        total += size
    if group:
        yield group


def _check_names(model: onnx.ModelProto, names: Sequence[str], which: str) -> None:
    present = {name for node in model.graph.node for name in node.output}
    present |= {value.name for value in model.graph.input}
    missing = sorted(set(names) - present)
    if missing:
        raise ModelError(
            f"the {which} model has no tensor '{missing[0]}'",
            why=f"{len(missing)} of {len(names)} names are unknown",
            remedy="name outputs of nodes of the main graph",
        )
