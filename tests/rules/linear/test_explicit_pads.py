"""auto_pad becomes pads where they follow from what is known."""

from __future__ import annotations

import numpy as np
import pytest

from onnxq.rules import ExplicitPads

_FREE = "(float[N,2,H,W] x) => (float[A,B,C,D] y)"


def test_random_windows(network, applying):
    random, written = np.random.default_rng(11), 0
    for number in range(40):
        rank = int(random.integers(1, 4))
        kind = ("Conv", "MaxPool", "AveragePool")[number % 3]
        mode = ("SAME_UPPER", "SAME_LOWER", "VALID")[number // 3 % 3]
        kernel = random.integers(1, 4, rank)
        strides, dilations = random.integers(1, 4, rank), random.integers(1, 3, rank)
        if kind != "Conv":
            # The engine refuses pools that skip more than they look at.
            strides = np.minimum(strides, kernel)
        sizes = random.integers(7, 10, rank)
        fields = f'auto_pad = "{mode}", kernel_shape = {kernel.tolist()}, '
        fields += f"strides = {strides.tolist()}"
        if kind == "Conv":
            # The engine has no dilations with SAME.
            fields += f", dilations = {dilations.tolist() if mode == 'VALID' else [1] * rank}"
        elif number % 2 and kind == "AveragePool":
            fields += ", count_include_pad = 1"
        body = f"y = {kind}<{fields}>(x{', w' if kind == 'Conv' else ''})"
        held = {"w": (3, 2, *kernel.tolist())} if kind == "Conv" else {}
        signature = f"(float[1,2,{','.join(map(str, sizes))}] x) => "
        signature += f"(float[{','.join('NCDHW'[: rank + 2])}] y)"
        outcome = applying(network(signature, body, **held), ExplicitPads())
        written += len(outcome.applied)
        assert "auto_pad" not in outcome.model.nodes[0].attrs
    assert written == 40


def test_stride_one_needs_no_size(network, applying):
    proto = network(_FREE, 'y = Conv<auto_pad = "SAME_LOWER">(x, w)', w=(3, 2, 4, 3))
    feed = {"x": np.ones((1, 2, 5, 6), np.float32)}
    outcome = applying(proto, ExplicitPads(), feed=feed)
    assert outcome.applied == ["auto_pad SAME_LOWER became pads [2, 1, 1, 1]"]


def test_another_stride_does(network, applying):
    body = 'y = Conv<auto_pad = "SAME_UPPER", strides = [2,2]>(x, w)'
    proto = network(_FREE, body, w=(3, 2, 3, 3))
    outcome = applying(proto, ExplicitPads(), feed={"x": np.ones((1, 2, 5, 6), np.float32)})
    assert outcome.refused == ["pads by SAME_UPPER, and the input's size is free"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("y = MaxPool<auto_pad = \"SAME_UPPER\", kernel_shape = [3,3], ceil_mode = 1>(x)",
         "rounds its size up"),
        ("y = MaxPool<auto_pad = \"SAME_UPPER\", kernel_shape = [2,2], dilations = [3,3]>(x)",
         "pads by SAME_UPPER with dilations, which engines count differently"),
    ],
)  # fmt: skip
def test_pools_left_alone(network, applying, body, reason):
    proto = network("(float[1,2,7,7] x) => (float[A,B,C,D] y)", body)
    outcome = applying(proto, ExplicitPads(), runs=False)
    assert outcome.refused == [reason]


def test_pads_that_are_written_down_stay(network, applying):
    body = 'y = Conv<auto_pad = "NOTSET", pads = [1,1,1,1]>(x, w)'
    outcome = applying(
        network(_FREE, body, w=(3, 2, 3, 3)), ExplicitPads(),
        feed={"x": np.ones((1, 2, 5, 6), np.float32)},
    )  # fmt: skip
    assert not outcome.applied
