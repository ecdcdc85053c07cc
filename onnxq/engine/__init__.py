"""The engine that will run the model: ONNX Runtime, behind few functions."""

from onnxq.engine.probe import made_up_feeds, with_outputs
from onnxq.engine.processor import processor_flags
from onnxq.engine.session import (
    ENGINE_ERRORS,
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
    "InputSpec",
    "Optimization",
    "Run",
    "engine_reason",
    "input_specs",
    "made_up_feeds",
    "open_session",
    "open_to_compare",
    "output_specs",
    "processor_flags",
    "runner",
    "with_outputs",
]
