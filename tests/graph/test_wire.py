"""Weights are exchanged in the bytes of a model as protobuf itself would do it."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from onnxq.graph.wire import Deferred, WireError, length, rewrite


def _tensor(name: str, count: int, value: int) -> onnx.TensorProto:
    tensor = numpy_helper.from_array(np.full(count, value, np.uint8), name)
    tensor.doc_string = "kept"
    return tensor


def _model(sizes: list[int], depth: int = 1) -> onnx.ModelProto:
    """Tensors of these sizes among the initializers, in Constant nodes and in nested bodies."""
    tensors = [_tensor(f"t{i}", size, i % 200) for i, size in enumerate(sizes)]
    nodes = [helper.make_node("Constant", [], [f"c{t.name}"], value=t) for t in tensors]
    body = helper.make_graph(nodes, "inner", [], [], tensors, doc_string="body")
    for _ in range(depth):
        outer = helper.make_node("If", ["x"], ["y"], then_branch=body, else_branch=body)
        body = helper.make_graph([*nodes, outer], "outer", [], [], tensors)
    return helper.make_model(body, doc_string="model")


def _every_tensor(graph: onnx.GraphProto) -> list[onnx.TensorProto]:
    found = list(graph.initializer)
    for node in graph.node:
        for attribute in node.attribute:
            found += [attribute.t] if attribute.HasField("t") else []
            found += _every_tensor(attribute.g) if attribute.HasField("g") else []
    return found


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.sampled_from([0, 1, 20, 127, 128, 300, 20_000]), max_size=5),
    st.integers(0, 2),
    st.sampled_from([b"", b"short", bytes(130), bytes(40_000)]),
)
def test_contents_are_replaced_everywhere_and_nothing_else(
    sizes: list[int], depth: int, new: bytes
) -> None:
    model = _model(sizes, depth)
    content = memoryview(model.SerializeToString())
    seen = []

    def replace(start: int, end: int) -> bytes:
        seen.append(bytes(content[start:end]))
        return new

    pieces = rewrite(content, 20, replace)
    joined = b"".join(p for p in pieces if not isinstance(p, Deferred))
    assert length(pieces) == len(joined)
    large = [t for t in _every_tensor(model.graph) if len(t.raw_data) >= 20]
    assert sorted(seen) == sorted(t.raw_data for t in large)
    for tensor in large:
        tensor.raw_data = new
    assert onnx.ModelProto.FromString(joined) == model


def test_what_is_left_is_the_same_bytes() -> None:
    content = memoryview(_model([300, 300]).SerializeToString())
    starts: list[int] = []
    pieces = rewrite(content, 0, lambda start, _: starts.append(start))
    assert len(starts) == 12
    assert pieces == [content]


def test_what_is_written_later_counts_with_its_length() -> None:
    content = memoryview(_model([300], 0).SerializeToString())
    pieces = rewrite(content, 0, lambda start, end: Deferred(7, 100_000))
    assert [p for p in pieces if isinstance(p, Deferred)] == 2 * [Deferred(7, 100_000)]
    written = b"".join(bytes(p.length) if isinstance(p, Deferred) else p for p in pieces)
    assert onnx.ModelProto.FromString(written).graph.initializer[0].raw_data == bytes(100_000)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"\x3a\x7f", id="a graph longer than the file"),
        pytest.param(b"\x3a", id="no length"),
        pytest.param(b"\xff" * 20, id="an endless number"),
        pytest.param(b"\x09\x00", id="half of a double"),
        pytest.param(b"\x0b\x0c", id="a group"),
        pytest.param(b"\x3a\x02\x2a\x05", id="a tensor longer than its graph"),
    ],
)
def test_what_is_no_message_is_said(content: bytes) -> None:
    with pytest.raises(WireError):
        rewrite(memoryview(content), 0, lambda start, end: None)


def test_a_model_cut_anywhere_is_refused_or_passes_for_protobuf_too() -> None:
    content = _model([300, 20], 1).SerializeToString()
    for end in range(0, len(content), 7):
        try:
            rewrite(memoryview(content[:end]), 0, lambda start, end: None)
        except WireError:
            continue
        onnx.ModelProto.FromString(content[:end])
