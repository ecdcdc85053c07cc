"""A whole compression: its stages in order, and the same file however often it was stopped."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onnxq.config import Budget, Config, Finetune
from onnxq.errors import ConfigError, UsageError
from onnxq.measure import Latency, Speedup
from onnxq.pruning.nm import check_layers
from onnxq.workflow import compress, quantize, sensitivity

HELPERS = Path(__file__).with_name("test_finetuning.py")
spec = importlib.util.spec_from_file_location("small_network", HELPERS)
assert spec is not None and spec.loader is not None
small_network: Any = importlib.util.module_from_spec(spec)
spec.loader.exec_module(small_network)

proto, inputs = small_network.proto, small_network.inputs


@pytest.fixture(autouse=True)
def _speed_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("proving", "standing"):
        monkeypatch.setattr(f"onnxq.workflow.{module}.time_both", lambda *_: None)


def config(**blocks: Any) -> Config:
    return Config(
        effort="none",
        budget={"min_speedup": None, "metric": "cosine", "minimum": 0.5},
        **{
            "prune": {"ratio": 0.25, "round_to": 4},
            "sparsify": {"pattern": "2:4", "method": "magnitude"},
            "finetune": Finetune(steps=12, batch=10, evaluations=4),
            **blocks,
        },
    )


class StoppedError(Exception):
    pass


class StopAt:
    """Progress that ends the run the n-th time that a stage reports."""

    def __init__(self, stage: str, count: int) -> None:
        self.stage, self.left = stage, count

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        if stage.startswith(self.stage):
            self.left -= 1
            if self.left < 0:
                raise StoppedError


def test_all_stages_in_order() -> None:
    result = compress(proto(), calibration=inputs(), config=config())
    assert [stage.name for stage in result.stages] == ["prune", "sparsify", "finetune"]
    assert all(finding.passed for stage in result.stages for finding in stage.findings)
    layers = [layer for layer in check_layers(result.model) if layer.promised is not None]
    assert layers and not any(layer.fault for layer in layers)
    operators = {node.op for node in result.model.nodes}
    assert {"QuantizeLinear", "DequantizeLinear"} <= operators
    assert result.sizes.output < result.sizes.input


def test_what_is_not_asked_for_is_left_out() -> None:
    floats = config(sparsify=None, finetune=Finetune(steps=4, quantization=None))
    result = compress(proto(), calibration=inputs(), config=floats)
    assert [stage.name for stage in result.stages] == ["prune", "finetune", "quantize"]
    with pytest.raises(UsageError, match="nothing to compress"):
        compress(proto(), calibration=inputs(), config=Config())
    with pytest.raises(UsageError, match="nothing to compress"):
        compress(proto(), calibration=inputs(), config=Config(quantize=False))


def test_without_quantization_it_ends_in_a_float_model() -> None:
    result = compress(proto(), calibration=inputs(), config=config(quantize=False))
    assert [stage.name for stage in result.stages] == ["prune", "sparsify", "finetune"]
    made = result.model.to_proto()
    operators = {node.op_type for node in made.graph.node}
    assert not operators & {"QuantizeLinear", "DequantizeLinear"}
    assert {t.data_type for t in made.graph.initializer} <= {1, 7}
    # Measured like any other: against the original, of which it is the smaller.
    assert result.success and result.fidelity["y"].cosine is not None
    assert result.sizes.output < result.sizes.input
    assert result.work is not None and result.work[1].macs < result.work[0].macs
    layers = [layer for layer in check_layers(result.model) if layer.promised is not None]
    assert layers and not any(layer.fault for layer in layers)


def test_a_float_model_is_not_quantized() -> None:
    floats = Config(quantize=False)
    for command in (quantize, sensitivity):
        with pytest.raises(ConfigError, match="asks for a float model"):
            command(proto(), calibration=inputs(), config=floats)


@pytest.mark.parametrize(("blocks", "is_judged"), [({"prune": None}, False), ({}, True)])
def test_zeros_alone_are_not_judged_by_speed(
    monkeypatch: pytest.MonkeyPatch, blocks: dict[str, Any], is_judged: bool
) -> None:
    slow = Latency((), (Speedup("a", 1.0, 1.0, 1.0), Speedup("b", 0.9, 0.8, 0.95)), 9)
    monkeypatch.setattr("onnxq.workflow.standing.time_both", lambda *_: slow)
    floats = config(quantize=False, finetune=None, **blocks)
    floats = floats.model_copy(update={"budget": Budget()})
    result = compress(proto(), calibration=inputs(), config=floats)
    judged = [finding.subject for finding in result.verdict.findings]
    assert ("latency" in judged) == is_judged and result.latency is slow


@pytest.fixture(scope="module")
def never_stopped(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        for module in ("proving", "standing"):
            patch.setattr(f"onnxq.workflow.{module}.time_both", lambda *_: None)
        folder = tmp_path_factory.mktemp("whole")
        return compress(proto(), calibration=inputs(), config=config(), folder=folder)


@pytest.mark.parametrize(
    ("stage", "count"), [("sparsify", 0), ("train", 1), ("train", 7), ("write back", 0)]
)
def test_a_stopped_compression_ends_in_the_same_file(
    tmp_path: Path, never_stopped: Any, stage: str, count: int
) -> None:
    def run(**more: Any) -> Any:
        return compress(proto(), calibration=inputs(), config=config(), **more)

    expected = never_stopped
    with pytest.raises(StoppedError):
        run(folder=tmp_path / "b", progress=StopAt(stage, count))
    resumed = run(folder=tmp_path / "b")
    assert resumed.model.to_proto().SerializeToString() == (
        expected.model.to_proto().SerializeToString()
    )
    assert resumed.stages[0].resumed
    again = run(folder=tmp_path / "b")
    assert all(one.resumed for one in again.stages)
    assert again.model.digest() == expected.model.digest()


def test_a_stopped_compression_of_the_sample_goes_on(tmp_path: Path) -> None:
    digits = Path(__file__).parents[2] / "samples" / "digits"
    wishes = config(
        calibration={"data": str(digits / "calibration.npz"), "samples": 16},
        finetune=Finetune(steps=4, batch=4, samples=8, evaluations=2),
    )
    whole = compress(digits / "model.onnx", config=wishes, folder=tmp_path / "a")
    with pytest.raises(StoppedError):
        stop = StopAt("train", 3)
        compress(digits / "model.onnx", config=wishes, folder=tmp_path / "b", progress=stop)
    assert list(tmp_path.glob("b/unfinished/*/training.pt"))
    resumed = compress(digits / "model.onnx", config=wishes, folder=tmp_path / "b")
    files = [one.model.to_proto().SerializeToString() for one in (whole, resumed)]
    assert files[0] == files[1]


def test_other_settings_begin_anew(tmp_path: Path) -> None:
    compress(proto(), calibration=inputs(), config=config(finetune=None), folder=tmp_path)
    other = config(finetune=None, sparsify={"pattern": "1:4", "method": "magnitude"})
    result = compress(proto(), calibration=inputs(), config=other, folder=tmp_path)
    assert [stage.resumed for stage in result.stages] == [True, False, False]


def test_other_settings_do_not_go_on_from_what_was_stopped(tmp_path: Path) -> None:
    with pytest.raises(StoppedError):
        compress(
            proto(),
            calibration=inputs(),
            config=config(),
            folder=tmp_path,
            progress=StopAt("train", 7),
        )
    assert list(tmp_path.glob("unfinished/*/training.pt"))
    other = config(finetune=Finetune(steps=3, batch=10, evaluations=1))
    result = compress(proto(), calibration=inputs(), config=other, folder=tmp_path)
    assert [stage.resumed for stage in result.stages] == [True, True, False]
    assert not (tmp_path / "unfinished").exists()


def test_a_gate_that_fails_ends_the_compression(monkeypatch: pytest.MonkeyPatch) -> None:
    from onnxq.workflow import compress_stages
    from onnxq.workflow.verdict import Finding

    whole: Callable[..., Any] = compress_stages.STAGES["sparsify"]

    def broken(given: Any) -> Any:
        done = whole(given)
        gate = (Finding("pattern", passed=False, text="a block is broken"),)
        return compress_stages.Done(done.model, done.text, (), gate)

    stages = {**compress_stages.STAGES, "sparsify": broken}
    monkeypatch.setattr("onnxq.workflow.compressing.STAGES", stages)
    result = compress(proto(), calibration=inputs(), config=config())
    assert [stage.name for stage in result.stages] == ["prune", "sparsify"]
    assert not result.success
