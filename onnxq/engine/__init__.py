"""The engine that will run the model: ONNX Runtime, behind few functions."""

from onnxq.engine.probe import made_up_feeds, with_outputs
from onnxq.engine.processor import processor_flags
from onnxq.engine.session import (
    ENGINE_ERRORS,
    Optimization,
    Run,
    engine_reason,
    input_specs,
    open_session,
    output_specs,
    runner,
)
from onnxq.engine.spec import Feed, InputSpec

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
    "output_specs",
    "processor_flags",
    "runner",
    "with_outputs",
]
