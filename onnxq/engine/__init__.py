"""The engine that will run the model: ONNX Runtime, behind few functions."""

from onnxq.engine.isolation import FirstOpening, Loads, LoadsNot, OpeningLimits, loads_safely
from onnxq.engine.probe import made_up_feeds, with_outputs
from onnxq.engine.processor import processor_flags
from onnxq.engine.session import (
    ENGINE_ERRORS,
    NotLoadedError,
    Optimization,
    Run,
    engine_reason,
    open_session,
    open_to_compare,
    runner,
)
from onnxq.engine.spec import Feed, InputSpec, input_specs, output_specs

__all__ = [
    "ENGINE_ERRORS",
    "Feed",
    "FirstOpening",
    "InputSpec",
    "Loads",
    "LoadsNot",
    "NotLoadedError",
    "OpeningLimits",
    "Optimization",
    "Run",
    "engine_reason",
    "input_specs",
    "loads_safely",
    "made_up_feeds",
    "open_session",
    "open_to_compare",
    "output_specs",
    "processor_flags",
    "runner",
    "with_outputs",
]
