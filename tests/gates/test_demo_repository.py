"""A repository with a model in it, and changes of that model, each judged by the action.

The model is the digits network, two layers pruned to 2:4, and quantized. Every change but the good
one breaks one gate, which the log must name with the figure, the limit, and what to do.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxq
from onnxq.config import Config, read_gates
from onnxq.engine import open_session, runner
from onnxq.gates import check
from onnxq.measure import measure_latency, timed_run

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "samples" / "digits"

pytestmark = pytest.mark.skipif(
    shutil.which("bash") is None or shutil.which("git") is None, reason="the action needs both"
)

GATES = """
evaluate: {data: test.npz, labels: labels}
accuracy: {max_drop: 0.005}
size: {max_growth: 0.05}
latency: {max_slowdown: 0.10, seconds: 60}
integers: {min_share: 0.99}
structure: {no_float_weights: true, sparsity: "2:4"}
"""


def initializer(proto: onnx.ModelProto, name: str) -> onnx.TensorProto:
    return next(tensor for tensor in proto.graph.initializer if tensor.name == name)


def change(
    proto: onnx.ModelProto, name: str, edit: Callable[[np.ndarray], np.ndarray | None]
) -> None:
    """Edit a constant; the function may work in place."""
    tensor = initializer(proto, name)
    value = numpy_helper.to_array(tensor).copy()
    edited = edit(value)
    tensor.CopyFrom(numpy_helper.from_array(value if edited is None else edited, name))


def two_of_four(value: np.ndarray, axis: int = 1) -> np.ndarray:
    """The two largest of four in a row along an axis; the others become zero."""
    moved = np.moveaxis(value, axis, -1)
    groups = moved.reshape(-1, 4).copy()
    smallest = np.argsort(np.abs(groups), axis=1)[:, :2]
    np.put_along_axis(groups, smallest, 0, axis=1)
    return np.moveaxis(groups.reshape(moved.shape), -1, axis)


def insert_before_quantization(proto: onnx.ModelProto, count: int) -> None:
    """Nodes without weights that cost time and change nothing: without alpha, LRN is x / 1."""
    name = proto.graph.input[0].name
    for number in range(count):
        given = f"slow{number}"
        # ONNX Runtime refuses alpha = 0; so small, it is lost beside 1.
        node = helper.make_node("LRN", [name], [given], given, size=3, alpha=1e-30)
        for reader in proto.graph.node:
            for index, read in enumerate(reader.input):
                if read == name:
                    reader.input[index] = given
        proto.graph.node.insert(number, node)
        name = given


def made(**settings: object) -> onnxq.Model:
    """The digits model, two layers pruned to 2:4, and quantized."""
    proto = onnx.load(DIGITS / "model.onnx")
    for name in ("residual.first.conv.weight", "tail.conv.weight"):
        change(proto, name, two_of_four)
    config = Config(effort="none", calibration=settings)
    return onnxq.quantize(proto, calibration=str(DIGITS / "calibration.npz"), config=config).model


@pytest.fixture(scope="session")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model that is in use."""
    return onnxq.save(made(method="min-max"), tmp_path_factory.mktemp("released") / "model.onnx")


def better(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Another calibration, and so other ranges; the masks hold."""
    found = made(method={"kind": "percentile", "percentile": 99.99}).to_proto()
    assert found != proto
    return found


def less_accurate(proto: onnx.ModelProto) -> onnx.ModelProto:
    """One point worse: class 0 is favoured, just as much as that takes."""
    with np.load(DIGITS / "test.npz") as archive:
        images, labels = archive["image"], archive["labels"]

    def scores(model: onnx.ModelProto) -> np.ndarray:
        return np.asarray(runner(open_session(model))({"image": images})["logits"])

    def accuracy(found: np.ndarray) -> float:
        return float((found.argmax(axis=1) == labels).mean())

    before = scores(proto)
    step = float(numpy_helper.to_array(initializer(proto, "classify.bias_scale"))[0])
    first = np.eye(10, dtype=np.float32)[0]
    low, high = 0, 1 << 20
    while high - low > 1:
        middle = (low + high) // 2
        lost = accuracy(before) - accuracy(before + first * step * middle)
        low, high = (low, middle) if lost >= 0.01 else (middle, high)
    worse = favouring(proto, high)
    assert 0.0099 <= accuracy(before) - accuracy(scores(worse)) < 0.015
    return worse


def favouring(proto: onnx.ModelProto, codes: int) -> onnx.ModelProto:
    edited = copied(proto)

    def edit(bias: np.ndarray) -> None:
        bias[0] += codes

    change(edited, "classify.bias_quantized", edit)
    return edited


def larger(proto: onnx.ModelProto) -> onnx.ModelProto:
    """10 % larger: a constant that nobody reads."""
    edited = copied(proto)
    count = proto.ByteSize() // 10
    spare = np.arange(count, dtype=np.uint32).astype(np.uint8)
    edited.graph.initializer.append(numpy_helper.from_array(spare, "left_behind"))
    return edited


def slower(proto: onnx.ModelProto) -> onnx.ModelProto:
    """At least 20 % slower on this machine, with the same outputs and weights."""
    feed = {"image": np.zeros((1, 1, 28, 28), np.float32)}
    for count in range(1, 20):
        edited = copied(proto)
        insert_before_quantization(edited, count)
        runs = {"before": timed_run(proto, feed), "after": timed_run(edited, feed)}
        before, after = measure_latency(runs, budget_seconds=0.5).timings
        if after.lower_quartile / before.lower_quartile >= 1.2:
            return edited
    raise AssertionError("nothing makes it slower")


def with_a_float_layer(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The last layer's weight as floating-point numbers, of the same values."""
    edited = copied(proto)
    node = next(n for n in edited.graph.node if "classify.weight_dequantized" in n.output)
    codes, scale = (numpy_helper.to_array(initializer(edited, name)) for name in node.input[:2])
    value = codes.astype(np.float32) * scale.reshape(-1, 1)
    edited.graph.initializer.append(numpy_helper.from_array(value, node.output[0]))
    edited.graph.initializer.remove(initializer(edited, node.input[0]))
    edited.graph.node.remove(node)
    return edited


def with_a_broken_mask(proto: onnx.ModelProto) -> onnx.ModelProto:
    """One weight that the mask had removed is back."""
    edited = copied(proto)

    def edit(codes: np.ndarray) -> None:
        places = np.argwhere(codes == 0)
        codes[tuple(places[len(places) // 2])] = 1

    change(edited, "tail.conv.weight_fused_quantized", edit)
    return edited


def with_another_output(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The output has another name."""
    edited = copied(proto)
    edited.graph.output[0].name = "scores"
    edited.graph.node[-1].output[0] = "scores"
    return edited


def with_nan(proto: onnx.ModelProto) -> onnx.ModelProto:
    """One scale of a weight is NaN."""
    edited = copied(proto)

    def edit(scale: np.ndarray) -> None:
        scale[3] = np.nan

    change(edited, "widen.conv.weight_fused_scale", edit)
    assert initializer(edited, "widen.conv.weight_fused_scale").data_type == TensorProto.FLOAT
    return edited


def copied(proto: onnx.ModelProto) -> onnx.ModelProto:
    twin = onnx.ModelProto()
    twin.CopyFrom(proto)
    return twin


@dataclass(frozen=True)
class Bad:
    """A change that must fail: the gate's title, the figure with its limit, and what to do."""

    edit: Callable[[onnx.ModelProto], onnx.ModelProto]
    title: str
    texts: tuple[str, ...]
    remedy: str


BAD = {
    "one point worse": Bad(
        less_accurate,
        "accuracy.drop",
        ("top-1 went from 97.07 % to 9", "at most 0.5 points allowed: 0.5", "points too much"),
        "onnxq compare --layers",
    ),
    "10 % larger": Bad(
        larger,
        "size.growth",
        ("% more than the baseline's", "at most 5 % more allowed", "kB too much"),
        "onnxq inspect",
    ),
    "20 % slower": Bad(
        slower,
        "latency.slowdown",
        ("% slower than the baseline", "95 % interval +", "at most 10 % slower allowed"),
        "what runs differently",
    ),
    "a float layer": Bad(
        with_a_float_layer,
        "structure.float-weights",
        ("1 layer with float weights, none allowed: /classify/Gemm",),
        "quantize them",
    ),
    "a broken 2:4 pattern": Bad(
        with_a_broken_mask,
        "structure.sparsity",
        ("1 of 12,096 blocks break 2:4", "none allowed", "/tail/conv/Conv"),
        "mask the weights again",
    ),
    "a renamed output": Bad(
        with_another_output,
        "structure.outputs",
        ("1 output differs from the baseline's, none allowed: 'logits' is now 'scores'",),
        "rename them back",
    ),
    "NaN weights": Bad(
        with_nan,
        "numerics.weights",
        ("1 value is NaN, none allowed", "widen.conv.weight_fused_scale"),
        "train or convert the model again",
    ),
}
THROUGH_THE_ACTION = "20 % slower"
"""The others take their time too; in the default run they are judged without a runner."""


@pytest.fixture
def repository(tmp_path: Path, released: Path, environment: dict[str, str]) -> Path:
    """A git repository with the released model on the branch `main`."""
    place = tmp_path / "repository"
    place.mkdir()
    shutil.copy(released, place / "model.onnx")
    shutil.copy(DIGITS / "test.npz", place / "test.npz")
    (place / "gates.yaml").write_text(GATES)
    settings = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.org")
    for command in (
        ("init", "-q", "-b", "main"),
        ("add", "."),
        (*settings, "commit", "-q", "-m", "a model"),
        ("checkout", "-q", "-b", "change"),
    ):
        subprocess.run(["git", *command], cwd=place, env=environment, check=True)
    return place


@pytest.fixture
def judged(repository: Path, composite: Callable[[Path], Any]) -> Callable[[onnx.ModelProto], Any]:
    """Put a model in the place of the released one, and run the action on it."""

    def run(proto: onnx.ModelProto) -> Any:
        onnx.save(proto, repository / "model.onnx")
        return composite(repository).run(
            ROOT / "action.yml",
            model="model.onnx",
            config="gates.yaml",
            baseline_ref="main",
            install="false",
        )

    return run


def test_a_good_change_passes(judged: Callable[..., Any], released: Path) -> None:
    done = judged(better(onnx.load(released)))
    assert (done.code, done.commands) == (0, []), done.log
    assert done.outputs["outcome"] == "passed"
    assert "## onnxq check: model.onnx passed" in done.summary
    assert Path(done.outputs["report"]).exists() and Path(done.outputs["junit"]).exists()


def assert_fails_through_the_action(name: str, judged: Callable[..., Any], released: Path) -> None:
    bad = BAD[name]
    done = judged(bad.edit(onnx.load(released)))
    assert (done.code, done.outputs["outcome"]) == (1, "failed"), done.log
    head = f"::error file=model.onnx,title=onnxq {bad.title}::"
    (error,) = (command for command in done.commands if command.startswith(head))
    for text in (*bad.texts, bad.remedy):
        assert text in error.replace("%25", "%"), error
    assert f"**{bad.title}**".replace("_", r"\_") in done.summary
    errors = [command for command in done.commands if command.startswith("::error")]
    # A NaN scale spoils the outputs as well, and what is measured on them.
    assert len(errors) == 1 or name == "NaN weights", done.commands


def test_a_bad_change_fails(judged: Callable[..., Any], released: Path) -> None:
    assert_fails_through_the_action(THROUGH_THE_ACTION, judged, released)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in BAD if name != THROUGH_THE_ACTION])
def test_every_bad_change_fails(name: str, judged: Callable[..., Any], released: Path) -> None:
    assert_fails_through_the_action(name, judged, released)


@pytest.mark.parametrize("name", [name for name in BAD if name != THROUGH_THE_ACTION])
def test_the_gate_names_the_figure_and_the_remedy(
    name: str, repository: Path, released: Path
) -> None:
    bad = BAD[name]
    model = repository / "model.onnx"
    onnx.save(bad.edit(onnx.load(released)), model)
    gates = read_gates(repository / "gates.yaml").config
    kept = {} if bad.title.startswith("accuracy") else {"accuracy": None}
    gates = gates.model_copy(update={"latency": None, **kept})
    result = check(model, baseline=released, gates=gates)
    failed = {check.title: check.verdict for check in result.failures}
    assert bad.title in failed
    assert len(failed) == 1 or name == "NaN weights"
    for text in bad.texts:
        assert text in failed[bad.title].text
    assert bad.remedy in failed[bad.title].remedy


def test_a_new_model_is_checked_alone(
    repository: Path, composite: Callable[[Path], Any], released: Path
) -> None:
    shutil.copy(released, repository / "new.onnx")
    done = composite(repository).run(
        ROOT / "action.yml", model="new.onnx", baseline_ref="main", install="false"
    )
    assert done.code == 0, done.log
    assert any("has no such model" in command for command in done.commands)


def test_commands_in_names_are_not_obeyed(
    repository: Path, composite: Callable[[Path], Any], released: Path
) -> None:
    proto = onnx.load(released)
    evil = "::error::obeyed"
    proto.graph.output[0].name = evil
    proto.graph.node[-1].output[0] = evil
    onnx.save(proto, repository / "model.onnx")
    done = composite(repository).run(
        ROOT / "action.yml", model="model.onnx", baseline_ref="main", install="false"
    )
    assert done.code == 1
    assert "::error::obeyed" not in done.commands
    assert len(done.commands) == 1 and done.commands[0].startswith("::error file=model.onnx")


def test_a_broken_file_is_an_error(repository: Path, composite: Callable[[Path], Any]) -> None:
    (repository / "model.onnx").write_bytes(b"no model")
    done = composite(repository).run(
        ROOT / "action.yml", model="model.onnx", baseline_ref="main", install="false"
    )
    assert (done.code, done.outputs["outcome"]) == (3, "error")
    assert "the file is a complete ONNX model" in done.log
