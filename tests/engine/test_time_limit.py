"""A run ends, whatever the model's loops ask for."""

from __future__ import annotations

import time

import numpy as np
import pytest
from onnx.parser import parse_model

from onnxq.engine import made_up_feeds, open_session, runner
from onnxq.engine.spec import InputSpec
from onnxq.errors import ModelError, UsageError


def rounds(number: int) -> object:
    return parse_model(f"""<ir_version: 8, opset_import: ["" : 17]>
        g (float[2] x) => (float[2] y) <int64 rounds = {{{number}}}, bool go = {{1}}> {{
          y = Loop (rounds, go, x)
            <body = step (int64 i, bool a, float[2] s) => (bool b, float[2] t) {{
              b = Identity (a)
              t = Neg (s)
            }}>
        }}""")


def test_endless_loops_are_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONNXQ_RUN_SECONDS", "0.5")
    run = runner(open_session(rounds(2**62), threads=1))
    started = time.monotonic()
    with pytest.raises(ModelError, match=r"stopped after 0\.5 seconds.*ONNXQ_RUN_SECONDS"):
        run({"x": np.ones(2, np.float32)})
    assert time.monotonic() - started < 30


def test_short_runs_are_not_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONNXQ_RUN_SECONDS", "60")
    run = runner(open_session(rounds(3), threads=1))
    for _ in range(2):
        found = run({"x": np.ones(2, np.float32)})
        np.testing.assert_array_equal(found["y"], -np.ones(2, np.float32))


@pytest.mark.parametrize("text", ["soon", "0", "-1", "nan"])
def test_no_number_of_seconds(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    session = open_session(rounds(1), threads=1)
    monkeypatch.setenv("ONNXQ_RUN_SECONDS", text)
    with pytest.raises(UsageError, match="no number of seconds"):
        runner(session)


def test_inputs_larger_than_memory_are_refused() -> None:
    spec = InputSpec("x", np.dtype(np.float32), (10**6, 10**6, 10**6))
    with pytest.raises(ModelError, match="input 'x': would take 4,000,000,000,000,000,000 bytes"):
        made_up_feeds([spec], 1)
