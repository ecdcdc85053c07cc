"""Second moments of layer inputs, and the vectors they are of, against ONNX Runtime's Conv."""

from __future__ import annotations

from functools import reduce

import numpy as np
import onnx
import onnxruntime
import pytest

from onnxq.calibration import Moments, Patches, Vectors
from onnxq.errors import UsageError

EVERYTHING = 10**9


def convolved(x: np.ndarray, weight: np.ndarray, attributes: str) -> np.ndarray:
    shape = ",".join(str(size) for size in x.shape)
    model = onnx.parser.parse_model(
        f"""<ir_version: 8, opset_import: ["": 17]>
        g (float[{shape}] x, float[{",".join(map(str, weight.shape))}] w) => (float[] y) {{
            y = Conv <{attributes}> (x, w)
        }}"""
    )
    model.graph.output[0].type.tensor_type.ClearField("shape")
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, {"x": x, "w": weight})[0]


@pytest.mark.parametrize(
    ("patches", "attributes"),
    [
        (Patches((3, 3), (1, 1), (1, 1), ((1, 1), (1, 1))), "pads=[1,1,1,1]"),
        (Patches((3, 2), (2, 1), (1, 2), ((0, 1), (2, 0))),
         "strides=[2,1], dilations=[1,2], pads=[0,2,1,0]"),
        (Patches((1, 1), (2, 2), (1, 1), ((0, 0), (0, 0))), "strides=[2,2]"),
        (Patches((3, 3), (2, 2), (1, 1), "SAME_UPPER"), 'strides=[2,2], auto_pad="SAME_UPPER"'),
        (Patches((4, 4), (3, 2), (1, 1), "SAME_LOWER"), 'strides=[3,2], auto_pad="SAME_LOWER"'),
        (Patches((3, 3), (1, 1), (1, 1), ((1, 1), (1, 1)), groups=2), "pads=[1,1,1,1], group=2"),
        (Patches((3, 3), (1, 1), (1, 1), ((1, 1), (1, 1)), groups=4), "pads=[1,1,1,1], group=4"),
    ],
)  # fmt: skip
def test_patches_are_what_a_convolution_multiplies(patches: Patches, attributes: str) -> None:
    generator = np.random.default_rng(0)
    x = generator.standard_normal((2, 4, 7, 8)).astype(np.float32)
    shape = (8, 4 // patches.groups, *patches.kernel)
    weight = generator.standard_normal(shape).astype(np.float32)
    rows = patches.rows(x, EVERYTHING)
    matrices = weight.reshape(patches.groups, 8 // patches.groups, -1)
    found = np.einsum("gpt,gst->gsp", rows, matrices).reshape(8, -1)
    expected = np.moveaxis(convolved(x, weight, attributes), 1, 0).reshape(8, -1)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_selections_are_even_and_bounded() -> None:
    x = np.arange(40.0, dtype=np.float32).reshape(2, 10, 2)
    np.testing.assert_array_equal(Vectors().rows(x, 5)[0, :, 0], [0, 8, 16, 24, 32])
    assert Vectors().rows(x, 100).shape == (1, 20, 2)
    image = np.zeros((1, 3, 50, 50), np.float32)
    patches = Patches((3, 3), (1, 1), (1, 1), ((1, 1), (1, 1)))
    assert patches.rows(image, 64).shape == (1, 64, 27)


def test_moments_add_up_in_any_order_and_centre() -> None:
    rows = np.random.default_rng(0).standard_normal((2, 90, 5)).astype(np.float32) + 2
    parts = [rows[:, :10], rows[:, 10:55], rows[:, 55:]]
    exact = rows.astype(np.float64)
    around = exact - exact.mean(axis=1, keepdims=True)
    for order in ((0, 1, 2), (2, 0, 1)):
        moments = reduce(Moments.merge, (Moments.of(parts[i]) for i in order))
        assert moments.count == 90
        np.testing.assert_allclose(moments.first, exact.sum(axis=1), rtol=1e-6)
        # Products within a sample are summed in float32.
        np.testing.assert_allclose(moments.second, exact.swapaxes(1, 2) @ exact, rtol=1e-5)
        centred = moments.centred().second
        np.testing.assert_allclose(centred, around.swapaxes(1, 2) @ around, atol=1e-3)


def test_moments_of_different_layers_do_not_merge() -> None:
    rows = np.ones((1, 3, 4), np.float32)
    with pytest.raises(UsageError, match="cannot be merged"):
        Moments.of(rows).merge(Moments.of(rows[:, :, :2]))
