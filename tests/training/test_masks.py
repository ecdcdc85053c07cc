"""N:M masks in training: which change, and when."""

from __future__ import annotations

import numpy as np
import torch

from onnxq.pruning.nm import Layout
from onnxq.quant import Pattern
from onnxq.training.masks import HeldMasks, Mask

_WEIGHT = np.array([[1, 2, 3, 4]], np.float32)


class _Network:
    """Weights that may be set."""

    def __init__(self, *names: str) -> None:
        self.parameters_by_name = {n: torch.nn.Parameter(torch.tensor(_WEIGHT)) for n in names}


def test_each_mask_is_chosen_anew_at_its_own_steps() -> None:
    every, alive = {"a": 2, "b": 3, "c": 0}, _WEIGHT > 2
    layout, pattern = Layout(sums_first=True), Pattern(2, 4)
    held = HeldMasks({name: Mask(alive, pattern, layout, n) for name, n in every.items()})
    network = _Network(*every)
    held.watch(network)
    assert {n: m.revives for n, m in held.modules.items()} == {"a": True, "b": True, "c": False}
    changes: dict[str, list[int]] = {name: [] for name in every}
    for step in range(12):
        for module in held.modules.values():
            module.alive.zero_()
        held.after_step(step, 12)
        for name, module in held.modules.items():
            if module.alive.any():
                changes[name].append(step)
    # Step 8 is the last before the quiet quarter.
    assert changes == {"a": [1, 3, 5, 7], "b": [2, 5, 8], "c": []}


def test_the_larger_weights_come_back() -> None:
    layout, pattern = Layout(sums_first=True), Pattern(2, 4)
    held = HeldMasks({"a": Mask(_WEIGHT < 3, pattern, layout, 1)})
    held.watch(_Network("a"))
    held.after_step(0, 10)
    np.testing.assert_array_equal(held.modules["a"].alive.numpy(), [[0, 0, 1, 1]])
