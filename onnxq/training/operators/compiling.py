"""What torch.compile is told of functions that it cannot or need not look into."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch

_Function = TypeVar("_Function", bound=Callable[..., Any])


def in_eager_mode(function: _Function) -> _Function:
    """The function, which torch.compile leaves alone."""
    disable: Callable[[_Function], _Function] = torch.compiler.disable
    return disable(function)


def constant_result(function: _Function) -> _Function:
    """The function, whose result torch.compile takes as a constant."""
    assume: Callable[[_Function], _Function] = torch.compiler.assume_constant_result
    return assume(function)
