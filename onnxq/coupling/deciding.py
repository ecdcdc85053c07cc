"""Which way a tensor with several axes of channels is cut, and what follows from it.

What is removed must leave a box of every tensor: where labels depend on several axes, they are
tied over all but one. Tensors decide in the order of the model.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from onnxq.coupling.factors import varying
from onnxq.coupling.groups import Cut
from onnxq.coupling.labels import LabelArray, Labels
from onnxq.coupling.walk import Follow, Walk

_ROUNDS = 16


def decide(walk: Walk, cut: Cut) -> list[LabelArray]:
    """Tie labels until every factor depends on one axis only.

    Returns:
        Labels that came to stand for whole heads.
    """
    heads: list[LabelArray] = []
    follows = walk.follows
    for _ in range(_ROUNDS):
        changed = False
        for factors in walk.carried.values():
            for factor in factors:
                if len(factor.axes) > 1:
                    changed |= _tie(walk.labels, factor.labels, cut, heads)
        left = [f for f in follows if not _settle(walk.labels, f)]
        if not changed and len(left) == len(follows):
            break
        follows = left
    for follow in follows:
        walk.labels.freeze(follow.labels, follow.reason)
    return heads


def narrowed(labels: Labels, array: LabelArray) -> LabelArray:
    """Labels with length 1 on every axis on which they turned out not to depend."""
    roots = labels.roots(array)
    for axis in varying(roots):
        first = roots.take([0], axis)
        if (first == roots).all():
            roots = first
    return roots


def _tie(labels: Labels, array: LabelArray, cut: Cut, heads: list[LabelArray]) -> bool:
    roots = narrowed(labels, array)
    axes = varying(roots)
    if len(axes) < 2:
        return False
    kept = axes[-1] if cut is Cut.INNER else axes[-2]
    for axis in axes:
        if axis != kept:
            roots = labels.tie(roots, axis)
    if cut is Cut.HEADS:
        heads.append(roots)
    return True


def _settle(labels: Labels, follow: Follow) -> bool:
    """Whether it is decided now what labels follow from a larger array."""
    array = narrowed(labels, follow.array)
    axes = varying(array)
    if len(axes) > 1:
        return False
    rank = array.ndim
    own = follow.labels.reshape((1,) * (rank - follow.labels.ndim) + follow.labels.shape)
    if set(axes) <= set(varying(own)):
        labels.unite(own, array)
    else:
        labels.freeze(follow.labels, follow.reason)
    return True


def all_labels(arrays: Iterable[LabelArray]) -> LabelArray:
    """The labels of several arrays in a row."""
    flat = [a.reshape(-1) for a in arrays]
    return np.concatenate(flat) if flat else np.zeros(0, np.int64)
