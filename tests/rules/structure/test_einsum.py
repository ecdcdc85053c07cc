"""Einsum as MatMul and Transpose."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from onnxq.rules.structure.einsum import LowerEinsum

_SIZES = dict(zip("abcdehijknqtvw", (2, 3, 4, 5, 6, 3, 4, 5, 6, 2, 4, 7, 3, 2), strict=True))


def _model(
    equation: str,
    constant: int | None = None,
    *,
    free: str = "",
    dtype: type = np.float32,
    shapes: tuple[tuple[int | str, ...], ...] | None = None,
) -> onnx.ModelProto:
    terms = equation.replace(" ", "").split("->")[0].split(",")
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    inputs, constants = [], []
    for index, term in enumerate(terms):
        sizes = shapes[index] if shapes else tuple(_SIZES[label] for label in term)
        if index == constant:
            value = np.random.default_rng(index).standard_normal(sizes).astype(dtype)
            constants.append(numpy_helper.from_array(value, f"i{index}"))
            continue
        named = [2 if s is None else s for s in sizes]
        if not shapes:
            named = [label if label in free else s for label, s in zip(term, sizes, strict=True)]
        inputs.append(helper.make_tensor_value_info(f"i{index}", kind, named))
    names = [f"i{index}" for index in range(len(terms))]
    node = helper.make_node("Einsum", names, ["y"], equation=equation, name="e")
    labels = equation.partition("->")[2].replace(" ", "").replace("...", "ab")
    shape = list(labels) if "->" in equation else ["row", "column"]
    output = helper.make_tensor_value_info("y", kind, shape)
    graph = helper.make_graph([node], "g", inputs, [output], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


@pytest.mark.parametrize(
    ("equation", "constant", "ops"),
    [
        ("bhid,bhjd->bhij", None, ["Transpose", "MatMul"]),
        ("bhij,bhjd->bhid", None, ["MatMul"]),
        ("bihd,bjhd->bhij", None, ["Transpose", "Transpose", "MatMul"]),
        ("bhij,bjhd->bihd", None, ["Transpose", "MatMul", "Transpose"]),
        ("bct,bcv->btv", None, ["Transpose", "MatMul"]),
        ("b i d, d k -> b i k", 1, ["MatMul"]),
        ("bid,kd->bik", 1, ["Transpose", "MatMul"]),
        ("dk,bid->bik", 0, ["MatMul"]),
        ("abc,cde->abde", 1, ["MatMul", "Reshape"]),
        ("abde,dec->abc", 1, ["Reshape", "MatMul"]),
        ("adbe,edc->abc", 1, ["Transpose", "Reshape", "MatMul"]),
        ("abde,deck->abck", 1, ["Reshape", "MatMul", "Reshape"]),
        ("nkctv,kvw->nctw", 1, ["Transpose", "Reshape", "MatMul"]),
        ("bchw,ec->behw", 1, ["Transpose", "Transpose", "MatMul", "Transpose"]),
        ("ij,jk", None, ["MatMul"]),
        ("bij,bjk->bki", None, ["Transpose", "Transpose", "MatMul"]),
        ("bnd,nde->bne", None, ["Transpose", "MatMul", "Transpose"]),
    ],
)
def test_products(applying, equation, constant, ops):
    outcome = applying(_model(equation, constant), LowerEinsum())
    assert sorted(outcome.ops) == sorted(ops)
    assert outcome.applied == [f"became MatMul ('{equation}')"]


def test_ellipsis(applying):
    model = _model("...ij,...jk->...ik", shapes=((2, 3, 4, 5), (2, 3, 5, 6)))
    assert applying(model, LowerEinsum()).ops == ["MatMul"]


@pytest.mark.parametrize(
    ("equation", "constant", "free"),
    [("bhid,bhjd->bhij", None, "bij"), ("abc,cde->abde", 1, "b"), ("abde,dec->abc", 1, "a")],
)
def test_free_sizes(applying, equation, constant, free):
    assert len(applying(_model(equation, constant, free=free), LowerEinsum()).applied) == 1


def test_one_operand(applying):
    outcome = applying(_model("abc->cab"), LowerEinsum())
    assert outcome.ops == ["Transpose"]
    assert outcome.applied == ["became Transpose"]


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (_model("i,j->ij"), "is no product of matrices"),
        (_model("bd,bd->b"), "is no product of matrices"),
        (_model("abd,abcd->abc"), "is no product of matrices"),
        (_model("ab->a"), "sums over a label of its only operand"),
        (_model("abe,bc->ac"), "sums over a label that only one operand has"),
        (_model("ab,bc,cd->ad"), "has 3 operands"),
        (
            _model("bhwc,hkc->bhwk"),
            "broadcasts an operand within a batch, which Einsum does faster",
        ),
        (
            _model("abc,cde->abde"),
            "joins several axes of an operand that is not a constant matrix",
        ),
        (
            _model("abc,cde->abde", 1, free="ab"),
            "more than one size of the result is not known",
        ),
        (_model("ij,jk->ik", shapes=((4, 1), (5, 6))), "label 'j' has sizes 1 and 5"),
        (_model("ij,jk->ik", shapes=((4, 1), ("n", 6))), "label 'j' has sizes 1 and n"),
        (_model("ii->i", shapes=((3, 3),)), "'ii->i' repeats a label or does not fit the operands"),
        (_model("ij,jk->ik", dtype=np.float64), "the operands are float64"),
    ],
)
def test_near_misses(applying, model, reason):
    outcome = applying(model, LowerEinsum(), runs="sizes" not in reason)
    assert outcome.refused == [reason]
    assert not outcome.applied


def test_no_operation_at_all(applying):
    model = _model("abc->abc")
    outcome = applying(model, LowerEinsum())
    assert outcome.refused == ["joins the output 'y' to a tensor that keeps its own name"]
