"""The metrics that teams report, by the names they have there, for every report alike.

acc_validation: the result's accuracy on the evaluation data; null without labels.
model_size: bytes of the files.
Computational_cost: multiply-accumulates of one run (MACs), and each times the bits of both
    factors (BitOps).
inference_speed: milliseconds of one run, the median; and how many times faster the result is.
Quant_error: of each float output Σ(y-y')²/Σy² (NMSE), and the same in decibels (SQNR).
Perceptual_quality: PSNR in dB and SSIM of outputs that are images, else "not applicable".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from onnxq.measure.accuracy import Accuracy
from onnxq.measure.bit_operations import count_bit_operations
from onnxq.measure.cost import count_macs
from onnxq.measure.fidelity import Fidelity
from onnxq.measure.latency import Latency
from onnxq.measure.protos import ModelSource, load_proto

NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True)
class Work:
    """What one run computes; free dimensions count as 1.

    Attributes:
        macs: Multiply-accumulates.
        bit_operations: The same, each times the bits of both factors.
        uncounted: Nodes whose work could not be told.
    """

    macs: int
    bit_operations: int
    uncounted: int = 0


def work_of(source: ModelSource, dimensions: Mapping[str, int] | None = None) -> Work:
    """Count the work of one run of a model.

    Args:
        source: The model; its weights' values are not looked at.
        dimensions: Sizes of free dimensions by name.
    """
    proto = load_proto(source)
    cost = count_macs(proto, dimensions or {})
    return Work(cost.macs, count_bit_operations(proto, cost), len(cost.uncounted))


def reported_metrics(
    *,
    accuracy: Accuracy | None = None,
    sizes: tuple[int | None, int] | None = None,
    work: tuple[Work | None, Work] | None = None,
    latency: Latency | None = None,
    fidelity: Mapping[str, Fidelity] | None = None,
) -> dict[str, Any]:
    """The metrics as JSON values; what was not measured is null.

    Args:
        accuracy: Of the result.
        sizes: Bytes of the input model, if there is one, and of the result.
        work: Of the same.
        latency: Of both, the input model first.
        fidelity: Differences to the input model, by output.
    """
    return {
        "acc_validation": None if accuracy is None else accuracy.value,
        "model_size": None if sizes is None else _sizes(*sizes),
        "Computational_cost": None if work is None else _cost(*work),
        "inference_speed": None if latency is None else _speed(latency),
        "Quant_error": _errors(fidelity) if fidelity else None,
        "Perceptual_quality": _images(fidelity) if fidelity else None,
    }


def _sizes(before: int | None, after: int) -> dict[str, Any]:
    ratio = None if before is None or not after else before / after
    return {"input": before, "result": after, "ratio": ratio}


def _cost(before: Work | None, after: Work) -> dict[str, Any]:
    return {
        name: {
            "input": None if before is None else getattr(before, field),
            "result": getattr(after, field),
        }
        for name, field in _COSTS.items()
    }


_COSTS = {"MACs": "macs", "BitOps": "bit_operations", "uncounted_nodes": "uncounted"}


def _speed(latency: Latency) -> dict[str, Any]:
    before, after = latency.timings[0], latency.timings[-1]
    speedup = latency.speedups[-1]
    return {
        "input_ms": before.median,
        "result_ms": after.median,
        "speedup": speedup.value,
        "speedup_low": speedup.low,
        "speedup_high": speedup.high,
    }


def _errors(fidelity: Mapping[str, Fidelity]) -> dict[str, Any] | str:
    found = {name: one.sqnr for name, one in fidelity.items() if one.sqnr is not None}
    if not found:
        return NOT_APPLICABLE
    # SQNR is the same ratio in decibels, so that nothing has to be summed again.
    return {
        "NMSE": {name: float(10.0 ** (-sqnr / 10.0)) for name, sqnr in found.items()},
        "SQNR": found,
    }


def _images(fidelity: Mapping[str, Fidelity]) -> dict[str, Any] | str:
    found = {name: one.images for name, one in fidelity.items() if one.images is not None}
    if not found:
        return NOT_APPLICABLE
    return {
        "PSNR": {name: images.psnr for name, images in found.items()},
        "SSIM": {name: images.ssim for name, images in found.items()},
    }
