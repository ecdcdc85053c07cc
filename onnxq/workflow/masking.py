"""Is a pruned model right? It must compute what the same model with masked channels computes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from onnxq.coupling import Cut
from onnxq.engine import Feed
from onnxq.errors import InvariantError, ModelError
from onnxq.graph import Model, copy_model
from onnxq.passes import MaskFilters, apply_passes
from onnxq.passes.parity import Reference


def check_masked(
    model: Model,
    pruned: Model,
    removed: Mapping[str, Sequence[int]],
    cut: Cut,
    feeds: Sequence[Feed],
) -> tuple[float | None, str]:
    """Compare a pruned model with the masked one.

    Args:
        model: The model before.
        pruned: The same without the channels.
        removed: The numbers of those, by group.
        cut: Which way the groups were found.
        feeds: Inputs to compare on.

    Returns:
        The largest error of any output, relative to that output's largest value, and on what it
        was measured; None and the reason where it could not be.

    Raises:
        InvariantError: if they differ, which is a defect of onnxq.
    """
    masked = copy_model(model)
    apply_passes(masked, [MaskFilters(removed, cut)])
    try:
        reference = Reference(masked, list(feeds))
    except ModelError as error:
        return None, f"not compared with masks: {error}"
    if not reference.repeatable:
        return None, "not compared with masks: the model gives other outputs on every run"
    error_of_all = reference.error(pruned)
    if error_of_all > reference.tolerance:
        raise InvariantError(
            "the pruned model does not compute what the masked one computes",
            why=f"the outputs differ by {error_of_all:.1e} of their largest value",
            remedy="please report this with the model or its exporter",
        )
    return error_of_all, reference.note
