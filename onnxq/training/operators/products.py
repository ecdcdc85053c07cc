"""Products of matrices."""

from __future__ import annotations

import torch
from torch import Tensor

from onnxq.training.operators.operator import Table, since_first


def gemm(
    a: Tensor,
    b: Tensor,
    c: Tensor | None = None,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,
    transB: int = 0,
) -> Tensor:
    """Gemm-7: alpha · A' · B' + beta · C."""
    left = a.t() if transA else a
    if alpha == 1.0 and beta == 1.0 and c is not None and c.dim() == 1 and transB:
        return torch.nn.functional.linear(left, b, c)
    right = b.t() if transB else b
    if c is None:
        product = torch.mm(left, right)
        return product if alpha == 1.0 else product * alpha
    if a.is_floating_point() and c.dtype == a.dtype:
        return torch.addmm(c, left, right, beta=beta, alpha=alpha)
    return alpha * torch.mm(left, right) + beta * c


def einsum(*operands: Tensor, equation: str) -> Tensor:
    """Einsum-12."""
    return torch.einsum(equation.replace(" ", ""), *operands)


TABLE: Table = since_first(MatMul=torch.matmul, Gemm=gemm, Einsum=einsum, Det=torch.det)
