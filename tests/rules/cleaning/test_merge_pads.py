"""Two Pads with one constant are one."""

from __future__ import annotations

import pytest

from onnxq.rules.cleaning.merge_pads import MergePads

_CONSTANTS = """int64[4] a = {0, 1, 2, 0}, int64[4] b = {1, 0, 0, 3},
    int64[4] minus = {0, -1, 0, 0},
  float c = {0.5}, float z = {0}, int64[2] short = {1, 2}, int64[1] last = {-1}"""


def _text(body: str, opset: int = 13) -> str:
    return f"""<ir_version: 8, opset_import: ["": {opset}]>
      g (float[2,3] x) => (float[A,B] y) <{_CONSTANTS}> {{ {body} y = Neg(q) }}"""


@pytest.mark.parametrize(
    ("body", "opset"),
    [
        ("p = Pad(x, a) q = Pad(p, b)", 13),
        ("p = Pad(x, a, z) q = Pad(p, b)", 13),
        ("p = Pad(x, a, c) q = Pad(p, b, c)", 13),
        ("p = Pad <pads = [0, 1, 2, 0]> (x) q = Pad <pads = [1, 0, 0, 3], value = 0.0> (p)", 10),
        ("p = Pad(x, short, z, last) q = Pad(p, b, z)", 18),
        ("p = Pad(x, a) q = Pad(p, short, , last)", 18),
    ],
)
def test_merged(body, opset, applying):
    outcome = applying(_text(body, opset), MergePads())
    assert outcome.ops == ["Pad", "Neg"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("p = Pad(x, a, c) q = Pad(p, b)", "Pad_0 does not pad with the same constant"),
        (
            'p = Pad <mode = "edge"> (x, a) q = Pad <mode = "edge"> (p, b)',
            "Pad_0 does not pad with the same constant",
        ),
        ("p = Pad(x, a) q = Pad(p, minus)", "the widths of Pad_0 are negative, or not known"),
    ],
)
def test_refused(body, reason, applying):
    assert applying(_text(body), MergePads()).refused == [reason]


def test_others_read_what_is_between(applying):
    text = _text("p = Pad(x, a) q = Pad(p, b)").replace("B] y)", "B] y, float[C,D] p)")
    assert not applying(text, MergePads()).report.events
