"""How a result stands beside the model it came from, whatever was done to it."""

from __future__ import annotations

from onnxq.config import Config
from onnxq.engine import open_session, runner
from onnxq.graph import Model
from onnxq.measure import compare_results
from onnxq.targets import Target
from onnxq.workflow.progress import Counted, Progress, Stages
from onnxq.workflow.proving import JudgingSamples, Proof, measure_both
from onnxq.workflow.verifying import check_valid, open_result, time_both


def stand(
    original: Model,
    result: Model,
    samples: JudgingSamples,
    config: Config,
    target: Target,
    stages: Stages,
    progress: Progress,
) -> Proof:
    """Check a result, and measure it against the original; without a plan to look up.

    Raises:
        ModelError: if the result does not run.
        InvariantError: if it is not valid ONNX.
    """
    with stages.stage("verify"):
        objection = check_valid(result, original)
        runs = runner(open_session(original)), runner(open_result(result, target))
        feeds = Counted(samples.feeds, "verify", progress)
        fidelity = compare_results(*runs, feeds)
        accuracy = measure_both(*runs, feeds, config)
    latency = None
    with stages.stage("measure speed"):
        if target.measurable:
            latency = time_both(original, result, next(iter(samples.feeds)), config.threads)
    return Proof(fidelity, samples.origin, accuracy, None, latency, objection)
