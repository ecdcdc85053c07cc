"""ONNX Runtime sessions: opened from any form of a model, with errors a person can read."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Any, TypeAlias

import onnx
import onnxruntime as ort
from google.protobuf.message import EncodeError
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as states

from onnxq.engine.fed import HEAVY, FedSession, is_heavy, weights_as_inputs
from onnxq.engine.spec import Feed
from onnxq.engine.time_limit import VARIABLE, run_seconds, stopped_after
from onnxq.errors import ModelError
from onnxq.graph import Model, embedded, save

Run: TypeAlias = Callable[[Feed], Mapping[str, NDArray[Any]]]
"""Runs a model once: inputs by name → outputs by name."""


class NotLoadedError(ModelError):
    """The engine refuses the model itself, whatever its inputs are."""


ENGINE_ERRORS: tuple[type[Exception], ...] = (
    states.Fail,
    states.InvalidArgument,
    states.NoSuchFile,
    states.NoModel,
    states.EngineError,
    states.RuntimeException,
    states.InvalidProtobuf,
    states.NotImplemented,
    states.InvalidGraph,
    states.EPFail,
    states.NotFound,
    EncodeError,
    RuntimeError,
    ValueError,
)
"""What ONNX Runtime raises; it has no common base class of its own."""


# The engine reports usage to its makers where it can; a tool for other people's models must not.
ort.disable_telemetry_events()


class Optimization(Enum):
    """How far the engine may rearrange a model.

    `EXTENDED` fuses all that `ALL` does and keeps names that `ALL` changes with the memory
    layout, so it is the level to read fusions from.
    """

    NONE = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    EXTENDED = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    ALL = ort.GraphOptimizationLevel.ORT_ENABLE_ALL


_MANY_NODES = 4000
"""From here on the engine's optimizations take seconds."""

_MESSAGE_LIMIT = 1_900_000_000
"""Bytes of weights that a protobuf message has room for."""

_PROVIDERS = ["CPUExecutionProvider"]
_FATAL_ONLY = 4


def open_session(
    source: Model | onnx.ModelProto | str | os.PathLike[str],
    *,
    threads: int = 0,
    optimized_path: Path | None = None,
    optimization: Optimization = Optimization.ALL,
    spinning: bool = False,
) -> ort.InferenceSession:
    """Open a CPU session.

    Args:
        source: The model, or the path of a file.
        threads: Threads within an operator; 0 leaves the choice to the engine.
        optimized_path: Where the engine writes the graph it will run, if asked.
        optimization: How far the engine may fuse and rearrange.
        spinning: Let idle threads spin. Off by default: spinning pools of several sessions
            in one process disturb each other's timings.

    Raises:
        NotLoadedError: if the engine refuses the model; the message carries its reason.
    """
    options = _options(optimization, threads=threads, spinning=spinning)
    if optimized_path is not None:
        options.optimized_model_filepath = str(optimized_path)
    where = str(source) if isinstance(source, str | os.PathLike) else ""
    # The optimized model would point to weights in a file that is deleted again.
    largest = HEAVY if optimized_path is None else _MESSAGE_LIMIT
    with _explained(where), _loadable(source, largest) as loadable:
        return ort.InferenceSession(loadable, options, providers=_PROVIDERS)


def open_to_compare(model: Model) -> ort.InferenceSession:
    """Open a CPU session whose outputs count, not its speed.

    Small models are optimized as those who use them will have it. The engine's time to optimize
    grows with the square of the nodes, and it copies weights several times over: large models
    are run as they are, and their weights where they lie. The session then keeps the values of
    the weights in memory as long as it lives.

    Raises:
        ModelError: if the engine refuses the model; the message carries its reason.
    """
    heavy = is_heavy(model)
    if not heavy and len(model.nodes) < _MANY_NODES:
        return open_session(model)
    try:
        return _open_fed(model) if heavy else open_session(model, optimization=Optimization.NONE)
    except ModelError:
        # Some kernels exist only for weights known beforehand, or after a fusion.
        return open_session(model)


def _open_fed(model: Model) -> ort.InferenceSession:
    options = _options(Optimization.NONE)
    with _explained():
        content, weights = weights_as_inputs(model)
        return FedSession(content, weights, sess_options=options, providers=_PROVIDERS)


def _options(
    optimization: Optimization, *, threads: int = 0, spinning: bool = False
) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.log_severity_level = _FATAL_ONLY
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
    options.graph_optimization_level = optimization.value
    if optimization is Optimization.NONE:
        # Made to run once or twice: memory is given back at once, and nothing is computed long
        # before it is read (by default, all transpositions of weights would come first).
        options.enable_cpu_mem_arena = options.enable_mem_pattern = False
        options.execution_order = ort.ExecutionOrder.PRIORITY_BASED
    return options


@contextmanager
def _explained(where: str = "") -> Iterator[None]:
    try:
        yield
    except ENGINE_ERRORS as error:
        raise NotLoadedError(
            "ONNX Runtime does not load the model",
            where=where,
            why=engine_reason(error),
            remedy="check it with onnx.checker, or export it again",
        ) from error


@contextmanager
def _loadable(
    source: Model | onnx.ModelProto | str | os.PathLike[str], largest: int
) -> Iterator[str | bytes]:
    """What InferenceSession takes: bytes of a model up to `largest`, else the path of a file."""
    if isinstance(source, str | os.PathLike):
        yield str(source)
    elif isinstance(source, onnx.ModelProto):
        yield source.SerializeToString()
    elif source.stored_bytes() < largest:
        yield source.to_proto(embedded).SerializeToString()
    else:
        # The engine maps weights that lie in a file of their own, and copies all others.
        with tempfile.TemporaryDirectory(prefix="onnxq-") as folder:
            path = Path(folder) / "model.onnx"
            yield str(save(source, path, external_data=True, durable=False))


def runner(session: ort.InferenceSession, outputs: Sequence[str] | None = None) -> Run:
    """A function that runs the session once.

    Args:
        session: An open session.
        outputs: Names of the outputs wanted; all by default.

    The function raises ModelError where the engine fails on the given inputs, or takes longer
    than `ONNXQ_RUN_SECONDS`.
    """
    names = list(outputs) if outputs is not None else [o.name for o in session.get_outputs()]
    wanted = {i.name for i in session.get_inputs()} | {
        i.name for i in session.get_overridable_initializers()
    }

    seconds = run_seconds()

    def run(feed: Feed) -> Mapping[str, NDArray[Any]]:
        options = None
        try:
            given = {name: value for name, value in feed.items() if name in wanted}
            with stopped_after(seconds) as options:
                return dict(zip(names, session.run(names, given, options), strict=True))
        except ENGINE_ERRORS as error:
            if options is not None and options.terminate:
                raise _too_slow(seconds) from error
            shapes = ", ".join(f"{name} {list(value.shape)}" for name, value in feed.items())
            raise ModelError(
                "the model does not run on these inputs",
                where=shapes,
                why=engine_reason(error),
                remedy="check the shapes and values of the inputs",
            ) from error

    return run


def _too_slow(seconds: float) -> ModelError:
    return ModelError(
        f"the model was stopped after {seconds:g} seconds",
        why="one run may take no longer",
        remedy=f"check the rounds of its loops; {VARIABLE} sets the limit",
    )


def engine_reason(error: BaseException) -> str:
    """The sentence of an engine error that says what is wrong, without its code and paths."""
    text = " ".join(str(error).split())
    text = text.split(" : ", 2)[-1] if text.startswith("[ONNXRuntimeError]") else text
    return text[:400]
