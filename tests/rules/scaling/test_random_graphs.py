"""Graphs drawn at random: whatever takes factors, outputs stay equal to the last bit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

_STEPS = [
    "{o} = Conv <pads = [1, 1, 1, 1]> ({a}, {w3}, {b})",
    "{o} = Conv <group = 4, pads = [1, 1, 1, 1]> ({a}, {d3})",
    "{o} = Conv ({a}, {w1})",
    "{o} = Relu({a})",
    "{o} = LeakyRelu({a})",
    "{o} = PRelu({a}, {c})",
    "{o} = MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> ({a})",
    "{o} = Add({a}, {e})",
    "{o} = Sub({a}, {e})",
    "{o} = Mul({a}, {c})",
    "{o} = Add({a}, {c})",
    "{o}g = Sigmoid({e}) {o} = Mul({o}g, {a})",
    "{o}j = Concat <axis = 1> ({a}, {e}) {o} = Conv ({o}j, {w2})",
    "{o}p, {o}q = Split <axis = 1> ({a}) {o} = Concat <axis = 1> ({o}q, {o}p)",
    "{o} = Tanh({a})",
]
_SHAPES = {
    "w3": (4, 4, 3, 3),
    "b": (4,),
    "d3": (4, 1, 3, 3),
    "w1": (4, 4, 1, 1),
    "w2": (4, 8, 1, 1),
    "c": (4, 1, 1),
}


@pytest.mark.parametrize("seed", range(40))
def test_no_bit_changes(seed, small_model: Callable, scaled: Callable):
    random = np.random.default_rng(seed)
    tensors, lines, constants = ["x"], [], {}
    for step in range(12):
        names = {"o": f"t{step}", "a": str(tensors[-1]), "e": str(random.choice(tensors))}
        line = str(random.choice(_STEPS[:3] if step in (0, 5, 11) else _STEPS))
        for key, shape in _SHAPES.items():
            if "{" + key + "}" in line:
                names[key] = f"{key}_{step}"
                constants[names[key]] = (random.standard_normal(shape) / 4).astype(np.float32)
        lines.append(line.format(**names))
        tensors.append(names["o"])
    body = " ".join(lines).replace("t11 =", "y =")
    scaled(small_model(f"{{ {body} }}", **constants), seed=seed)
