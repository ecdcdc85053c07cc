"""Depth-to-space and space-to-depth spelled with Reshape and Transpose."""

from __future__ import annotations

import pytest

from onnxq.rules.structure.depth_to_space import FuseDepthToSpace


def _text(
    six: str, perm: str, after: str, *, shape: str = "batch,12,3,5", result: str, opset: int = 13
) -> str:
    return f"""<ir_version: 8, opset_import: ["" : {opset}]>
    g (float[{shape}] x) => (float[{result}] y)
    <int64[6] six = {{{six}}}, int64[4] after = {{{after}}}>
    {{ a = Reshape(x, six) b = Transpose<perm = [{perm}]>(a) y = Reshape(b, after) }}"""


def _wide(six: str, perm: str, **changes: str) -> str:
    return _text(six, perm, "-1,3,6,10", result="batch,3,6,10", **changes)


def _deep(six: str, perm: str, **changes: str) -> str:
    given = {"shape": "batch,3,4,6", "result": "batch,12,2,3", **changes}
    return _text(six, perm, "-1,12,2,3", **given)


@pytest.mark.parametrize(
    ("six", "perm", "mode"),
    [
        ("-1,3,2,2,3,5", "0,1,4,2,5,3", "CRD"),
        ("0,2,2,3,3,5", "0,3,4,1,5,2", "DCR"),
    ],
)
def test_depth_to_space(applying, six, perm, mode):
    outcome = applying(_wide(six, perm), FuseDepthToSpace())
    assert outcome.ops == ["DepthToSpace"]
    assert outcome.model.nodes[0].attrs == {"blocksize": 2, "mode": mode}
    assert outcome.applied == ["became DepthToSpace, with the Reshapes around it"]


@pytest.mark.parametrize(
    ("perm", "ops"),
    [
        ("0,3,5,1,2,4", ["SpaceToDepth"]),
        ("0,1,3,5,2,4", ["SpaceToDepth", "Gather"]),
        ("0,5,3,1,2,4", ["SpaceToDepth", "Gather"]),
        ("0,3,1,5,2,4", ["SpaceToDepth", "Gather"]),
    ],
)
def test_space_to_depth(applying, perm, ops):
    outcome = applying(_deep("-1,3,2,2,3,2", perm), FuseDepthToSpace())
    assert outcome.ops == ops
    assert outcome.applied == ["became SpaceToDepth, with the Reshapes around it"]


def test_blocks_of_three(applying):
    text = _text("0,1,3,3,2,2", "0,1,4,2,5,3", "0,1,6,6", shape="2,9,2,2", result="2,1,6,6")
    assert applying(text, FuseDepthToSpace()).model.nodes[0].attrs["blocksize"] == 3


@pytest.mark.parametrize(
    "text",
    [
        # A channel shuffle, uneven blocks, other sizes after, a block that is no square.
        _text("-1,2,6,1,3,5", "0,2,1,3,4,5", "-1,12,3,5", result="batch,12,3,5"),
        _text("-1,3,1,4,3,5", "0,1,4,2,5,3", "-1,3,3,20", result="batch,3,3,20"),
        _text("-1,3,2,2,3,5", "0,1,4,2,5,3", "-1,3,5,12", result="batch,3,5,12"),
        _text("-1,3,2,2,3,5", "0,1,4,2,5,3", "-1,12,3,5", result="batch,12,3,5"),
        _text("-1,3,2,2,5,3", "0,1,4,2,5,3", "-1,3,10,6", result="batch,3,10,6"),
        _deep("-1,3,4,1,2,3", "0,3,5,1,2,4", result="batch,9,4,2").replace("12,2,3}", "9,4,2}"),
        _deep("-1,3,2,2,3,2", "0,3,5,1,4,2", result="batch,12,3,2").replace("12,2,3}", "12,3,2}"),
    ],
)
def test_other_arrangements(applying, text):
    outcome = applying(text, FuseDepthToSpace(), runs="9,4,2" not in text)
    assert not outcome.applied


def test_free_sizes(applying):
    text = _wide("-1,3,2,2,3,5", "0,1,4,2,5,3").replace("batch,12,3,5", "batch,12,height,width")
    assert not applying(text, FuseDepthToSpace(), runs=False).applied


def test_inner_results_that_others_read(applying):
    text = _wide("-1,3,2,2,3,5", "0,1,4,2,5,3").replace(
        "3,6,10] y)", "3,6,10] y, float[batch,3,3,2,5,2] b)"
    )
    assert not applying(text, FuseDepthToSpace()).applied


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            _wide("-1,3,2,2,3,5", "0,1,4,2,5,3").replace("float", "int32"),
            "the input is int32, not float32",
        ),
        (
            _wide("-1,3,2,2,3,5", "0,1,4,2,5,3", opset=9),
            "the modes of DepthToSpace need operator set 11",
        ),
    ],
)
def test_near_misses(applying, text, reason):
    assert applying(text, FuseDepthToSpace()).refused == [reason]
