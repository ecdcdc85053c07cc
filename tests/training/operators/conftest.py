"""What the operator tests share: one node, run by torch and by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from onnxq.engine import Optimization, open_session, runner
from onnxq.graph import load
from onnxq.training import run_arrays, to_torch

Arrays = Sequence[NDArray[Any] | None]
Agree = Callable[..., None]


def _compare(expected: Any, found: Any, rtol: float, atol: float, what: str) -> None:
    assert found.shape == expected.shape, what
    if expected.dtype.kind in "fV":
        np.testing.assert_allclose(found, expected, rtol, atol, err_msg=what)
    else:
        np.testing.assert_array_equal(found, expected, err_msg=what)


@pytest.fixture(scope="session")
def agree() -> Agree:
    """Assert that torch and ONNX Runtime compute the same from one node."""

    def check(
        op: str,
        inputs: Arrays,
        attributes: Mapping[str, Any] | None = None,
        *,
        opset: int = 21,
        domain: str = "",
        outputs: int = 1,
        fixed: Sequence[int] = (),
        compared: int | None = None,
        rtol: float = 1e-5,
        atol: float = 1e-6,
    ) -> None:
        names = ["" if value is None else f"i{k}" for k, value in enumerate(inputs)]
        results = [f"o{k}" for k in range(outputs)]
        node = helper.make_node(op, names, results, domain=domain, **(attributes or {}))
        given = {
            n: np.asarray(v) for n, v in zip(names, inputs, strict=True) if n and v is not None
        }
        constants = {f"i{k}" for k in fixed}
        graph = helper.make_graph(
            [node],
            "one",
            [
                helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape)
                for n, v in given.items()
                if n not in constants
            ],
            [helper.make_empty_tensor_value_info(name) for name in results],
            [numpy_helper.from_array(v, n) for n, v in given.items() if n in constants],
        )
        opsets = [helper.make_opsetid("", opset)]
        if domain:
            opsets.append(helper.make_opsetid(domain, 1))
        proto = helper.make_model(graph, opset_imports=opsets, ir_version=10)
        feed = {n: v for n, v in given.items() if n not in constants}
        expected = runner(open_session(proto, threads=1, optimization=Optimization.NONE))(feed)
        found = run_arrays(to_torch(load(proto)), feed)
        for name in results[:compared]:
            what = f"{op}-{opset} {dict(attributes or {})} output {name}"
            _compare(expected[name], found[name], rtol, atol, what)

    return check
