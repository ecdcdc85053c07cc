"""Convolutions of one input that are added become one convolution.

    (W1 * x + b1) + (W2 * x + b2) = (W1 + W2) * x + (b1 + b2)

with both kernels laid over each other: a kernel with pads p begins p before the output position,
so one with pads q goes to tap (p - q) / dilation of the other (Ding et al., 2021, RepVGG,
arXiv 2101.03697; 2019, ACNet, 1908.03930; 2021, Diverse Branch Block, 2103.13425).

1. Both read the same tensor with the same strides, and give outputs of one size: their pads
   minus their reach agree, or both sizes are known.
2. Instead of the second convolution: the input itself (an identity kernel), an average pool
   that counts its padding, or one of these after a Mul or BatchNormalization per channel.
3. A kernel of taps further apart, or of more groups, is written out with zeros. The result must
   not make more multiplications than both together: 1 × 3 beside 3 × 1 stays, since 3 × 3 makes
   half as many again (0.69 times the speed).
4. Nobody else reads the branches. Other terms of the sum stay where they are.

Every application removes a term, so the rule ends. A residual connection around several layers
is none of this: the last convolution does not read what is added.

Measured on ONNX Runtime 1.31 CPU, chains with ReLU: 3 × 3 + 1 × 1 1.07 to 1.11 times faster;
identity 1.02 to 1.04 beside a full convolution, 1.7 to 2.1 beside a depthwise one; depthwise
with an average pool 1.7.

Caveats: sums are rounded once instead of twice, and the weights to their own type. An identity
in the weights widens the range of every channel to about 1, which costs accuracy when weights
are quantized afterwards; per-channel scales do not help, since every channel has its 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from onnxq.graph import Node
from onnxq.passes import Applied, Event, Refused
from onnxq.rules.linear.branches import Branch, as_branch, read_branch
from onnxq.rules.linear.convolution import (
    Array,
    Convolution,
    common_groups,
    read_convolution,
    regrouped,
    rewrite_convolution,
)
from onnxq.rules.linear.terms import ADDERS, Term, drop_term, obstacle_to_dropping, read_terms
from onnxq.rules.linear.window import Window, spread, united
from onnxq.rules.rule import Rule
from onnxq.rules.workspace import Workspace


@dataclass(frozen=True)
class SumParallelConvolutions(Rule):
    """Merge two terms of a sum that convolve the same input."""

    operators: ClassVar[frozenset[str]] = ADDERS

    def rewrite(self, work: Workspace, node: Node) -> Event | None:
        """Merge the first pair that goes; the wider convolution stays and takes the other in."""
        terms, missed = read_terms(work, node), None
        for term in terms:
            kept = _own_convolution(work, term)
            if kept is None:
                continue
            for other in terms:
                event = None if other is term else _merge(work, kept, other)
                if isinstance(event, Applied):
                    return event
                missed = missed or event
        return missed


def _own_convolution(work: Workspace, term: Term) -> Convolution | None:
    node = work.producer(term.tensor, "Conv")
    if node is None or work.only_reader(term.tensor) is None:
        return None
    found = read_convolution(work, node)
    return None if isinstance(found, str) else found


def _merge(work: Workspace, kept: Convolution, other: Term) -> Event | None:
    branch = read_branch(work, other.tensor, kept)
    if branch is None:
        return None
    if isinstance(branch, str):
        return Refused(kept.node.name, f"beside it, {branch}")
    is_wider = branch.window.taps > kept.window.taps
    if is_wider and branch.node is not None and branch.node.op == "Conv":
        return None
    merged = _merged_window(work, kept, branch, other)
    if isinstance(merged, str):
        return Refused(kept.node.name, f"is not merged with {branch.what}: {merged}")
    weight, bias = _sum(kept, branch, merged)
    groups = common_groups(kept.groups, branch.groups)
    drop_term(work, other)
    rewrite_convolution(work, kept, weight, bias, groups=groups, window=merged)
    return Applied(kept.node.name, f"took in {branch.what} beside it")


def _merged_window(work: Workspace, kept: Convolution, branch: Branch, other: Term) -> Window | str:
    if branch.channels_out != kept.channels_out:
        return f"{kept.channels_out} channels beside {branch.channels_out}"
    shape = work.shape(kept.output)
    sizes = () if shape is None else shape[2:]
    fixed = bool(sizes) and all(isinstance(size, int) for size in sizes)
    same_size = fixed and shape == work.shape(other.tensor)
    window = united(kept.window, branch.window, same_size=same_size)
    if isinstance(window, str):
        return window
    groups = common_groups(kept.groups, branch.groups)
    macs = kept.channels_out * kept.channels_in // groups * window.taps
    if macs > kept.macs + branch.macs:
        return f"{macs} multiplications per position instead of {kept.macs + branch.macs}"
    return obstacle_to_dropping(work, other) or window


def _sum(kept: Convolution, branch: Branch, window: Window) -> tuple[Array, Array | None]:
    """Weight and bias of both together, float64."""
    groups = common_groups(kept.groups, branch.groups)
    pair = (as_branch(kept), branch)
    mine, others = (
        spread(regrouped(part.weights(), part.groups, groups), part.window, window) for part in pair
    )
    biases = [part.bias for part in pair if part.bias is not None]
    return mine + others, sum(biases[1:], biases[0]) if biases else None
