"""Models written as text, and the oracle: the pruned graph computes what the masked one does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx.parser import parse_model

from onnxq.coupling import Cut, Grouping, channel_groups
from onnxq.graph import Model, load
from onnxq.passes import MaskFilters, PruneFilters, apply_passes
from onnxq.passes.parity import difference

TOLERANCE = 1e-5
"""Largest error relative to the output's largest value: sums in another order."""


def filled(text: str, *, opset: int = 17, seed: int = 0) -> onnx.ModelProto:
    """A model from the text of its graph; inputs with capital names become random weights.

    Names that begin with V become positive (variances, scales), with Z zero.
    """
    source = f'<ir_version: 8, opset_import: ["" : {opset}]>\n{text}'
    proto = parse_model(source)
    generator = np.random.default_rng(seed)
    kept = []
    for value in proto.graph.input:
        if not value.name[0].isupper():
            kept.append(value)
            continue
        tensor = value.type.tensor_type
        shape = [d.dim_value for d in tensor.shape.dim]
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
        made = generator.standard_normal(shape)
        if dtype.kind in "iu":
            made = generator.integers(-20 if dtype.kind == "i" else 0, 20, shape)
        elif value.name[0] == "V":
            made = np.abs(made) + 0.5
        elif value.name[0] == "Z":
            made = np.zeros(shape)
        proto.graph.initializer.append(numpy_helper.from_array(made.astype(dtype), value.name))
    del proto.graph.input[:]
    proto.graph.input.extend(kept)
    return proto


def some_channels(
    grouping: Grouping, seed: int = 0, ratio: float = 0.4
) -> Mapping[str, tuple[int, ...]]:
    """Channels of every group, chosen at random: at least one, never all."""
    generator = np.random.default_rng(seed)
    chosen = {}
    for group in grouping.groups:
        count = min(max(1, round(ratio * group.size)), group.size - 1)
        numbers = generator.choice(group.size, count, replace=False)
        chosen[group.name] = tuple(int(n) for n in np.sort(numbers))
    return chosen


@dataclass(frozen=True)
class Pruned:
    """A model, masked and pruned."""

    grouping: Grouping
    before: onnx.ModelProto
    masked: onnx.ModelProto
    pruned: onnx.ModelProto
    model: Model

    @property
    def sizes(self) -> dict[str, int]:
        return {group.name: group.size for group in self.grouping.groups}

    @property
    def reasons(self) -> list[str]:
        return [frozen.reason for frozen in self.grouping.frozen]

    def shape(self, name: str) -> tuple[int, ...]:
        return next(tuple(t.dims) for t in self.pruned.graph.initializer if t.name == name)


Oracle = Callable[..., Pruned]


@pytest.fixture(scope="session")
def oracle(run_model: Callable[..., dict[str, np.ndarray]]) -> Oracle:
    """Mask and prune some channels of every group, and compare what both compute."""

    def check(
        source: onnx.ModelProto,
        *,
        cut: Cut = Cut.INNER,
        seed: int = 0,
        tolerance: float = TOLERANCE,
        changes: bool = True,
    ) -> Pruned:
        onnx.checker.check_model(source, full_check=True)
        content = source.SerializeToString(deterministic=True)
        grouping = channel_groups(load(source), cut)
        removed = some_channels(grouping, seed)
        masked, pruned = load(source), load(source)
        apply_passes(masked, [MaskFilters(removed, cut)])
        apply_passes(pruned, [PruneFilters(removed, cut)])
        result = Pruned(grouping, source, masked.to_proto(), pruned.to_proto(), pruned)
        assert source.SerializeToString(deterministic=True) == content
        onnx.checker.check_model(result.pruned, full_check=True)
        expected, found = run_model(result.masked), run_model(result.pruned)
        before = run_model(source)
        for name, value in expected.items():
            assert np.isfinite(value).all(), name
            assert difference(value, found[name]) <= tolerance, name
        if changes and removed:
            assert any(difference(v, expected[n]) > 1e-4 for n, v in before.items())
        return result

    return check


@pytest.fixture(scope="session")
def from_text() -> Callable[..., onnx.ModelProto]:
    """Models from text with random weights."""
    return filled
