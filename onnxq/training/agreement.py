"""Does the imported model compute what the engine computes?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from onnxq.engine import (
    Feed,
    Optimization,
    open_session,
    open_to_compare,
    runner,
    with_outputs,
)
from onnxq.errors import PreconditionError
from onnxq.graph import Model, embedded
from onnxq.passes.parity import difference
from onnxq.training.module import TorchModel
from onnxq.training.operators import array_of, tensor_of


def check_agreement(
    module: TorchModel, model: Model, feeds: Iterable[Feed], rtol: float = 1e-4
) -> float:
    """Compare torch and ONNX Runtime on sample inputs.

    Args:
        module: The imported model; it is run in evaluation mode, where it lies.
        model: The model it was imported from.
        feeds: Inputs by name.
        rtol: Largest difference allowed, relative to the largest value of the output.

    Returns:
        The largest difference found.

    Raises:
        PreconditionError: if an output differs by more; it names the first tensor that does.
        ModelError: if the engine cannot run the model.
    """
    run = runner(open_to_compare(model))
    worst = 0.0
    for feed in feeds:
        expected = run(feed)
        found = run_arrays(module, feed)
        for name, value in expected.items():
            error = _difference(value, found[name])
            worst = max(worst, error)
            if not error <= rtol:
                raise _disagreement(module, model, feed, name, error, rtol)
    return worst


def run_arrays(
    module: TorchModel, feed: Feed, wanted: Iterable[str] | None = None
) -> dict[str, NDArray[Any]]:
    """Run the module in evaluation mode on numpy arrays, without gradients."""
    device = next((p.device for p in module.parameters()), torch.device("cpu"))
    given = {name: tensor_of(value).to(device) for name, value in feed.items()}
    was_training = module.training
    module.eval()
    try:
        with torch.no_grad():
            found = module(given, wanted=None if wanted is None else tuple(wanted))
    finally:
        module.train(was_training)
    return {name: _plain(value) for name, value in found.items()}


def _plain(value: Any) -> Any:
    return [_plain(v) for v in value] if isinstance(value, list) else array_of(value)


def _difference(expected: Any, found: Any) -> float:
    """As `difference`; integers that torch holds in a wider type are no difference."""
    if isinstance(expected, np.ndarray) and isinstance(found, np.ndarray):
        widened = expected.dtype.kind in "iuV" and found.dtype.kind in "iu"
        if widened and expected.dtype != found.dtype:
            return difference(expected.astype(np.int64), found.astype(np.int64))
    return difference(expected, found)


def _disagreement(
    module: TorchModel, model: Model, feed: Feed, output: str, error: float, rtol: float
) -> PreconditionError:
    culprit = _first_that_differs(module, model, feed, rtol)
    where = f"output '{output}'" if culprit is None else culprit[0]
    found = error if culprit is None else culprit[1]
    return PreconditionError(
        f"torch and ONNX Runtime differ by {found:.1e}, relatively",
        where=where,
        why=f"the output '{output}' then differs by {error:.1e}, {rtol:.0e} is allowed",
        remedy="simplify the model first; if it still differs, report the operator as a defect",
    )


def _first_that_differs(
    module: TorchModel, model: Model, feed: Feed, rtol: float
) -> tuple[str, float] | None:
    """The first node whose result differs, and by how much; None if no inner tensor tells."""
    makers = {
        name: operation
        for operation in module.blueprint.operations
        for name in operation.outputs
        if name
    }
    inner = {t.name for node in model.nodes for t in node.outputs if t.name}
    names = [name for name in makers if name in inner]
    shown = with_outputs(model.to_proto(embedded), names)
    session = open_session(shown, optimization=Optimization.NONE)
    expected: Mapping[str, Any] = runner(session)(feed)
    found = run_arrays(module, feed, names)
    for name in names:
        error = _difference(expected[name], found[name])
        if not error <= rtol:
            return f"node '{makers[name].name}' ({makers[name].op}), tensor '{name}'", error
    return None
