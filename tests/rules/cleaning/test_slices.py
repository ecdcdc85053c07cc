"""Slices merged, split, cropped off convolutions, and turned into picks of one element."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from onnxq.rules.cleaning.crop_windows import CropWindows
from onnxq.rules.cleaning.index_directly import IndexDirectly
from onnxq.rules.cleaning.merge_slices import MergeSlices
from onnxq.rules.cleaning.split_slices import SplitSlices

_CONSTANTS = """int64[1] m1 = {-1}, int64[1] m2 = {-2}, int64[1] m3 = {-3}, int64[1] p0 = {0},
  int64[1] p1 = {1}, int64[1] p2 = {2}, int64[1] p3 = {3}, int64[1] p4 = {4}, int64[1] p5 = {5},
  int64[1] p6 = {6}, int64[1] p7 = {7}, int64[1] end = {9223372036854775807}, int64 i1 = {1},
  int64 im = {-1},
  int64[2] both = {0, 1}, int64[2] low = {1, 0}, int64[2] high = {3, 2}"""


def _text(body: str, signature: str = "(float[N,6,5] x) => (float y)", opset: int = 13) -> str:
    return f"""<ir_version: 8, opset_import: ["": {opset}]>
      g {signature} <{_CONSTANTS}> {{ {body} n = Neg(t) y = ReduceSum <keepdims = 0> (n) }}"""


class TestMergeSlices:
    @pytest.mark.parametrize(
        "body",
        [
            "a = Slice(x, p1, p4, p1) t = Slice(a, p2, p4, p2)",
            "a = Slice(x, p1, p4, p1) t = Slice(a, m3, end, m1)",
            "a = Slice(x, low, high, both) t = Slice(a, m2, m1, p2)",
            "a = Slice(x, p1, end, p1) t = Slice(a, p1, p3, p1)",
            "a = Slice(x, p1, p4, p1) t = Slice(a, p1, end, p1)",
            "a = Slice(x, p1, end, p1) b = Slice(a, p1, end, p1) t = Slice(b, p1, end, p2)",
            "a = Slice(x, p0, p5, p1, p2) t = Slice(a, p1, p3, p2)",
        ],
    )
    def test_merged(self, body, applying):
        assert applying(_text(body), MergeSlices()).ops == ["Slice", "Neg", "ReduceSum"]

    @pytest.mark.parametrize(
        "body",
        [
            "a = Slice(x, m3, end, p1) t = Slice(a, p1, p2, p1)",
            "a = Slice(x, p1, end, p1) t = Slice(a, m2, end, p1)",
            "a = Slice(x, p0, end, p1, p2) t = Slice(a, p1, end, p1)",
            "a = Slice(x, m1, m3, p1, m1) t = Slice(a, p1, end, p1)",
        ],
    )
    def test_the_same_axis_otherwise(self, body, applying):
        outcome = applying(_text(body), MergeSlices())
        assert outcome.refused == ["axis 1 is sliced twice, not in steps of 1 from 0"]

    def test_bounds_that_vary(self, applying):
        body = "s = Shape(x) e = Slice(s, p1, p2) a = Slice(x, p0, e, p1) t = Slice(a, p1, p2, p2)"
        assert not applying(_text(body, "(float[N,K,5] x) => (float y)"), MergeSlices()).applied

    def test_bounds_as_attributes(self, applying):
        body = """a = Slice <starts = [1], ends = [4], axes = [1]> (x)
          t = Slice <starts = [0, 1], ends = [1, 3], axes = [0, 2]> (a)"""
        assert applying(_text(body, opset=9), MergeSlices()).ops[0:2] == ["Slice", "Neg"]


class TestSplitSlices:
    @pytest.mark.parametrize("opset", [11, 13])
    def test_halves_and_thirds(self, opset, applying):
        body = """a = Slice(x, p0, p2, p1) b = Slice(x, p2, p4, p1) c = Slice(x, p4, end, p1)
          d = Sub(a, b) t = Mul(d, c)"""
        outcome = applying(_text(body, opset=opset), SplitSlices())
        assert sorted(outcome.ops) == ["Mul", "Neg", "ReduceSum", "Split", "Sub"]
        expected = "became a Split into [2, 2, 2], together with Slice_1, Slice_2"
        assert outcome.applied == [expected]

    def test_in_any_order_and_from_the_end(self, applying):
        body = "b = Slice(x, m2, end, m1) a = Slice(x, p0, m2, p2) t = Concat <axis = 2> (b, a)"
        assert applying(_text(body), SplitSlices()).ops.count("Split") == 1

    @pytest.mark.parametrize(
        "body",
        [
            "a = Slice(x, p0, p2, p1) b = Slice(x, p3, p6, p1) t = Concat <axis = 1> (a, b)",
            "a = Slice(x, p0, p3, p1) b = Slice(x, p2, p6, p1) t = Concat <axis = 1> (a, b)",
            "a = Slice(x, p0, p2, p1) b = Slice(x, p2, p5, p1) t = Concat <axis = 1> (a, b)",
            "a = Slice(x, p0, p2, p1) b = Slice(x, p2, p5, p2) t = Concat <axis = 1> (a, a)",
            "a = Slice(x, p0, p1, p0) b = Slice(x, p1, end, p0) t = Concat <axis = 0> (a, b)",
        ],
    )
    def test_what_does_not_share_it_out(self, body, applying):
        assert not applying(_text(body), SplitSlices()).report.events

    def test_a_slice_that_reads_the_tensor_as_its_bounds(self, applying):
        text = _text(
            """a = Slice(v, p0, p1, p0) b = Slice(w, v, end, p0) c = Slice(w, a, end, p0)
               d = ReduceSum(b) e = ReduceSum(c) f = Add(d, e) t = Cast <to = 1> (f)""",
            "(int64[2] v, int64[9] w) => (float y)",
        )
        assert not applying(text, SplitSlices(), runs=False).report.events

    def test_results_that_are_returned(self, applying):
        text = _text(
            "a = Slice(x, p0, p2, p1) b = Slice(x, p2, p6, p1) t = Neg(b)",
            "(float[N,6,5] x) => (float y, float[N,2,5] a)",
        )
        assert applying(text, SplitSlices()).refused == [
            "the result of Slice_0 is returned by name"
        ]


class TestIndexDirectly:
    @pytest.mark.parametrize(
        "body",
        [
            "a = Slice(x, p1, p2, p1) t = Squeeze(a, p1)",
            "a = Slice(x, m1, end, m1) t = Squeeze(a, p2)",
            "a = Slice(x, m3, m2, p1) t = Squeeze(a, m2)",
            "a = Gather <axis = 1> (x, p2) t = Squeeze(a, p1)",
            "a = Gather <axis = -1> (x, i1) t = Unsqueeze(a, m1)",
            "a = Gather <axis = 1> (x, im) t = Unsqueeze(a, p1)",
        ],
    )
    def test_merged(self, body, applying):
        outcome = applying(_text(body), IndexDirectly())
        assert outcome.ops == ["Gather", "Neg", "ReduceSum"]

    @pytest.mark.parametrize(
        "body",
        [
            "a = Slice(x, p1, p3, p1) t = Squeeze(a, p0)",
            "a = Slice(x, m1, p0, p1) t = Neg(a)",
            "a = Gather <axis = 1> (x, both) t = Unsqueeze(a, p1)",
            "a = Slice(x, p1, p3, p1) t = Unsqueeze(a, p1)",
            "a = Slice(x, p1, p2, p1) b = Slice(a, p1, p2, p2) c = Unsqueeze(b, p0)"
            " t = Squeeze(c, p0)",
        ],
    )
    def test_stays(self, body, applying):
        signature = "(float[1,6,5] x) => (float y)"
        assert not applying(_text(body, signature), IndexDirectly()).report.events

    @pytest.mark.parametrize(
        ("body", "reason"),
        [
            (
                "a = Gather <axis = 1> (x, i1) t = Unsqueeze(a, p0)",
                "names axes [0], where 'Gather_0' picks from axis 1",
            ),
            (
                "a = Slice(x, p1, p2, p1) t = Squeeze(a, both)",
                "names axes [0, 1], where 'Slice_0' picks from axis 1",
            ),
            (
                "a = Slice(x, p1, p2, p1) t = Squeeze(a, ax)",
                "its axes are computed at run time",
            ),
            (
                "a = Slice(x, p1, p2, p1) b = Squeeze(a, p1) c = ReduceMax(a) t = Add(b, c)",
                "'a' is also read elsewhere",
            ),
            (
                "a = Slice(x, low, ones, swap) t = Squeeze(a, p1)",
                "'Slice_0' slices axes [0, 1]",
            ),
            (
                "a = Slice(x, at, ax, p1) t = Squeeze(a, p0)",
                "the bounds of 'Slice_0' are not known",
            ),
            (
                "a = Gather <axis = 1> (x, at) t = Squeeze(a, p1)",
                "'at' is computed or may be overridden at run time",
            ),
        ],
    )
    def test_near_misses(self, body, reason, applying):
        signature = "(float[1,6,5] x, int64[1] at, int64[1] ax) => (float y)"
        text = _text(body, signature).replace(
            "int64[2] both", "int64[2] swap = {1, 0}, int64[2] ones = {2, 1}, int64[2] both"
        )
        outcome = applying(text, IndexDirectly(), runs="ax)" not in body and "ax," not in body)
        assert outcome.refused == [reason]

    def test_negative_indices_are_younger_than_gather(self, applying):
        body = "a = Slice(x, m1, end, p1) t = Squeeze <axes = [1]> (a)"
        (event,) = applying(_text(body, opset=10), IndexDirectly()).report.refused
        assert event.reason == "picks element -1, and Gather counts from the end in operator set 11"
        assert event.needs_opset == 11
        assert applying(_text(body, opset=11), IndexDirectly()).applied

    def test_an_index_out_of_range_was_an_error_before(self, applying):
        body = "a = Slice(x, p6, p7, p1) t = Squeeze(a, p1)"
        assert applying(_text(body), IndexDirectly(), runs=False).applied


def _convolution(op: str, slices: str, pads: list[int], stride: int = 1) -> onnx.ModelProto:
    shape = [2, 3, 4]
    weight = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    text = _text(f"c = Relu(x) {slices} t = Neg(s)", "(float[N,2,L] x) => (float y)")
    if op == "ConvTranspose":
        text = text.replace("[N,2,L]", "[N,2,6]")
    else:
        text = text.replace("[N,2,L]", "[N,3,L]" if pads[0] % 2 else "[N,3,12]")
    proto = onnx.parser.parse_model(text)
    node = helper.make_node(op, ["x", "w"], ["c"], pads=pads, strides=[stride])
    proto.graph.node[0].CopyFrom(node)
    proto.graph.initializer.append(numpy_helper.from_array(weight, "w"))
    return proto


class TestCropWindows:
    @pytest.mark.parametrize(
        ("op", "slices", "pads", "stride", "found"),
        [
            ("Conv", "s = Slice(c, p0, m3, p2)", [3, 3], 1, [3, 0]),
            ("Conv", "s = Slice(c, p1, m1, m1)", [4, 4], 1, [3, 3]),
            ("Conv", "s = Slice(c, p2, end, p2)", [4, 4], 2, [0, 4]),
            ("Conv", "s = Slice(c, p0, p7, p2)", [4, 4], 2, [4, 0]),
            ("ConvTranspose", "s = Slice(c, p1, m2, p2)", [0, 1], 2, [1, 3]),
        ],
    )
    def test_cropped(self, op, slices, pads, stride, found, applying):
        proto = _convolution(op, slices, pads, stride)
        outcome = applying(proto, CropWindows())
        assert "Slice" not in outcome.ops
        assert outcome.model.nodes[0].attrs["pads"] == found
        assert outcome.applied == ["was taken off the padding of " + outcome.model.nodes[0].name]

    @pytest.mark.parametrize(
        ("slices", "pads", "reason"),
        [
            ("s = Slice(c, p0, m3, p2)", [1, 1], "is padded by less than is cut off"),
        ],
    )
    def test_refused(self, slices, pads, reason, applying):
        outcome = applying(_convolution("Conv", slices, pads), CropWindows())
        assert outcome.refused[0].endswith(reason)

    def test_automatic_padding(self, applying):
        proto = _convolution("Conv", "s = Slice(c, p0, m3, p2)", [3, 3])
        del proto.graph.node[0].attribute[:]
        proto.graph.node[0].attribute.append(helper.make_attribute("auto_pad", "SAME_UPPER"))
        (reason,) = applying(proto, CropWindows()).refused
        assert reason.startswith("the padding of ")

    @pytest.mark.parametrize(
        "slices",
        ["s = Slice(c, p0, m3, p2, p2)", "s = Slice(c, p0, p1, p1)", "s = Slice(c, m3, end, p2)"],
    )
    def test_other_slices(self, slices, applying):
        proto = _convolution("Conv", slices, [3, 3])
        assert not applying(proto, CropWindows()).report.events
