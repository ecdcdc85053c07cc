"""Look inside a run: extra outputs, and inputs made up from the declared shapes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import onnx

from onnxq.engine.spec import Feed, InputSpec
from onnxq.limits import check_fits


def with_outputs(proto: onnx.ModelProto, tensors: Iterable[str]) -> onnx.ModelProto:
    """Let `proto` also return the named inner tensors. Changes and returns `proto`."""
    present = {value.name for value in proto.graph.output}
    for name in tensors:
        if name not in present:
            present.add(name)
            # The engine infers the type of an output that declares none.
            proto.graph.output.add(name=name)
    return proto


def made_up_feeds(
    specs: Sequence[InputSpec],
    count: int,
    *,
    seed: int = 0,
    dimensions: Mapping[str, int] | None = None,
) -> list[Feed]:
    """Inputs of the right types and shapes with random content: to compare, never to calibrate.

    Free dimensions become 1 unless `dimensions` names them. Floats are standard normal,
    integers 0 or 1 (safe as indices and masks), booleans both.

    Raises:
        ModelError: if an input is declared larger than the memory there is.
    """
    generator = np.random.default_rng(seed)
    known = dimensions or {}
    return [{spec.name: _made_up(spec, known, generator) for spec in specs} for _ in range(count)]


def _made_up(
    spec: InputSpec, known: Mapping[str, int], generator: np.random.Generator
) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    shape = tuple(d if isinstance(d, int) and d >= 0 else known.get(str(d), 1) for d in spec.shape)
    check_fits(math.prod(shape) * spec.dtype.itemsize, f"input '{spec.name}'")
    if spec.dtype == np.dtype(object):
        return np.full(shape, "", dtype=object)
    if spec.dtype.kind in "iub":
        return generator.integers(0, 2, shape).astype(spec.dtype)
    return generator.standard_normal(shape).astype(spec.dtype)
