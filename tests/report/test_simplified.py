"""What a simplification looks like on a screen."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from onnx.parser import parse_model

from onnxq.graph import load
from onnxq.measure import Fidelity, Latency, Speedup, Timing
from onnxq.passes import Applied, PassReport, Refused
from onnxq.report import simplified
from onnxq.workflow import Contents, SimplifyResult

_MODEL = load(
    parse_model(
        '<ir_version: 8, opset_import: ["": 17]> g (float[1] x) => (float[1] y) { y = Relu(x) }'
    )
)
_FILES = {"input": "in.onnx", "output": "out.onnx", "report": None}


def contents(operators, **figures):
    known = {
        "nodes": sum(operators.values()),
        "opset": 17,
        "constant_bytes": 2000,
        "file_bytes": 3000,
        "macs": 5000,
    }
    return Contents(operators=operators, **{**known, **figures})


def latency(value, low, high):
    timings = (Timing("input", 2, 2, 2, 2), Timing("result", 1, 1, 1, 1))
    return Latency(timings, (Speedup("input", 1, 1, 1), Speedup("result", value, low, high)), 9)


@pytest.fixture
def result():
    events = (
        Applied("mul", "folded into conv (scalar 0.83)", "FoldMul"),
        Applied("mul_2", "folded into conv_2 (scalar 0.5)", "FoldMul"),
        Applied("add_0", "was computed", "FoldConstants"),
        Refused("mul_3", "'conv_3' has 2 readers", "FoldMul"),
        Refused("mul_4", "'conv_4' has 3 readers", "FoldMul"),
        Refused("gelu", "needs Gelu", "FuseGelu", needs_opset=20),
    )
    return SimplifyResult(
        model=_MODEL,
        reports=(
            PassReport("Simplify", events, 0.1),
            PassReport("FuseLie", (), 0.0, withdrawn="it changed output 'y' by 3.0e-02"),
        ),
        parity=2e-6,
        compared_on="2 made-up inputs: x [1]",
        fidelity={"y": Fidelity("y", samples=2, elements=2, sqnr=112.0)},
        latency=latency(1.67, 1.64, 1.7),
        timed_on="x [1]",
        before=contents({"Conv": 3, "Mul": 4}),
        after=contents({"Conv": 3, "Mul": 2}, file_bytes=2000),
        warnings=("2 nodes are odd",),
        seconds={"load": 0.5},
    )


def test_the_proof_comes_first(result, shown):
    text = shown(*simplified(result, _FILES, explain=False, every_event=False))
    assert text.startswith(
        "SUCCESS: 7 nodes became 5\n"
        "  outputs: equal up to 2.0e-06 of their largest values (112.0 dB at the worst output)\n"
        "  speed: 1.67 times the input's (95 %: 1.64 to 1.70)\n"
        "  hint: --opset 20 would allow 1 more edits (--explain shows them)\n"
        "  wrote out.onnx\n"
    )
    assert "2 nodes are odd" in text
    assert "FuseLie   it changed output 'y' by 3.0e-02" in text
    assert re.search(r"^nodes +7 +5 +-28.6 % *$", text, re.MULTILINE)
    assert "1 other operators are as many as before" in text
    assert "What was done (3)" in text
    assert "2   FoldMul         mul: folded into conv (scalar 0.83)" in text
    assert "1   FoldConstants   add_0: was computed" in text
    assert "readers" not in text and "Seconds" not in text


def test_near_misses_are_grouped_by_reason(result, shown):
    text = shown(*simplified(result, _FILES, explain=True, every_event=False))
    assert "Nearly done (3)" in text
    assert "2   FoldMul    mul_3     'conv_3' has 2 readers" in text
    assert "1   FuseGelu   gelu      needs Gelu (operator set 20 allows it)" in text
    assert "conv_4" not in text


def test_every_event(result, shown):
    text = shown(*simplified(result, _FILES, explain=False, every_event=True))
    assert "mul_2   folded into conv_2 (scalar 0.5)" in text
    assert "Seconds" in text


@pytest.mark.parametrize(
    ("changes", "texts"),
    [
        ({"latency": latency(0.8, 0.7, 0.9)}, ("SLOWER: 7 nodes became 5", "0.80 times")),
        ({"latency": latency(1.01, 0.9, 1.1)}, ("SUCCESS", "no difference proven")),
        ({"parity": 0.0}, ("outputs: equal, bit for bit",)),
        (
            {"parity": None, "compared_on": "not compared: no", "fidelity": {}},
            ("outputs: not compared: no",),
        ),
        ({"latency": None, "timed_on": "not measured: x"}, ("speed: not measured: x",)),
        (
            {"reports": (), "compared_on": "nothing was changed", "fidelity": {}},
            ("NOTHING TO GAIN: the model stays as it is\n  outputs: nothing was changed",),
        ),
    ],
)
def test_headlines(result, shown, changes, texts):
    text = shown(*simplified(replace(result, **changes), _FILES, explain=False, every_event=False))
    for wanted in texts:
        assert wanted in text
