"""How large a tensor is, as far as one can tell beforehand."""

from __future__ import annotations

from onnxq.graph import Tensor
from onnxq.rules.workspace import Workspace

_LARGE = 4096
_FREE = 16


def is_large(work: Workspace, tensor: Tensor, least: int = _LARGE) -> bool:
    """Whether computing its elements costs more than calling an operator.

    A free first axis is taken for 1, any other free axis for 16. Nothing is known of tensors of
    unknown rank: they count as small.
    """
    shape = work.shape(tensor)
    if shape is None:
        return False
    elements = 1
    for axis, length in enumerate(shape):
        elements *= length if isinstance(length, int) else (_FREE if axis else 1)
    return elements >= least
