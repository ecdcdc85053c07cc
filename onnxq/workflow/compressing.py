"""A whole compression: prune → N:M → fine-tune → quantize → verify; it goes on where it stopped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree
from time import perf_counter

from onnxq.config import Config
from onnxq.engine import input_specs, open_session
from onnxq.errors import UsageError
from onnxq.graph import Model, Source, load
from onnxq.measure import bytes_by_dtype
from onnxq.targets import load_target
from onnxq.workflow.calibrating import open_calibration
from onnxq.workflow.compress_result import CompressResult, StageReport
from onnxq.workflow.compress_stages import STAGES, Done, Given, config_of, key_of, stages_of
from onnxq.workflow.progress import Progress, Stages, silent
from onnxq.workflow.proving import judging_samples
from onnxq.workflow.result import Sizes
from onnxq.workflow.samples import Division, own_copy
from onnxq.workflow.sizes import stored_size, work_of_both
from onnxq.workflow.stage_files import load_stage, save_stage
from onnxq.workflow.standing import stand
from onnxq.workflow.verdict import Verdict, judge

_PROBES = 8


def compress(
    source: Source,
    *,
    calibration: object = None,
    config: Config | None = None,
    folder: Path | None = None,
    progress: Progress = silent,
) -> CompressResult:
    """Carry out every stage that a configuration asks for, each on what the one before made.

    The stages are `prune`, `sparsify` and `finetune`, those whose blocks the configuration has,
    and `quantize`, unless fine-tuning has done it or the result shall be a float model. Where the
    gate of a stage fails, none follows.

    Args:
        source: A path, bytes, ModelProto or Model. It is not changed.
        calibration: Sample inputs for all stages; what the configuration names by default.
        config: What to do.
        folder: Where finished stages and checkpoints are kept. A compression that was stopped
            goes on from there, to the same model.
        progress: Called as the work goes on.

    Raises:
        UsageError: if the configuration asks for no more than `quantize` does.
        OnnxqError: as `prune`, `sparsify`, `finetune` and `quantize` do.
    """
    config = config or Config()
    names = stages_of(config)
    if names in ([], ["quantize"]):
        raise UsageError(
            "there is nothing to compress" + (" but by quantization" if names else ""),
            why="the configuration has none of the blocks prune, sparsify and finetune",
            remedy="add one, or use `onnxq quantize`" if names else "add one of them",
        )
    job = _Job(load(source), config, calibration, folder, Stages(progress), progress)
    return job.run(names)


@dataclass
class _Job:
    original: Model
    config: Config
    calibration: object
    folder: Path | None
    stages: Stages
    progress: Progress
    reports: list[StageReport] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def run(self, names: Sequence[str]) -> CompressResult:
        """The stages in order, until a gate fails."""
        if self.calibration is not None:
            # Every stage reads them.
            specs = input_specs(open_session(self.original))
            feeds = open_calibration(self.calibration, self.config, specs)
            self.calibration = [own_copy(feed) for feed in feeds]
        model, key = self.original, self.original.digest()
        for name in names:
            config = config_of(self.config, name)
            key = key_of(key, name, config)
            done = self._stage(
                name,
                key,
                Given(
                    model,
                    self.original,
                    config,
                    self.calibration,
                    # What one setting left behind is nothing that another could go on from.
                    self.folder and self.folder / "unfinished" / key[:16],
                    self.progress,
                ),
            )
            model = done.model
            if not Verdict(done.gate).success:
                break
        return self._result(model)

    def _stage(self, name: str, key: str, given: Given) -> Done:
        found = None if self.folder is None else load_stage(self.folder, name, key)
        if found is not None:
            done, seconds = found
        else:
            started = perf_counter()
            with self.stages.stage(name):
                done = STAGES[name](given)
            seconds = perf_counter() - started
            if self.folder is not None:
                save_stage(self.folder, name, key, done, seconds)
                # What follows reads the model as a second call would: files order some things anew.
                kept = load_stage(self.folder, name, key)
                done = done if kept is None else kept[0]
                rmtree(self.folder / "unfinished", ignore_errors=True)
        size = stored_size(done.model)
        report = StageReport(name, done.text, done.gate, found is not None, size, seconds)
        self.reports.append(report)
        self.warnings += [f"{name}: {warning}" for warning in done.warnings]
        return done

    def _result(self, model: Model) -> CompressResult:
        target = load_target(self.config.target)
        specs = input_specs(open_session(self.original))
        division = Division((), hold_out=False)
        if self.config.evaluate.data is None:
            feeds = open_calibration(self.calibration, self.config, specs)
            division.probes = [own_copy(f) for f, _ in zip(feeds, range(_PROBES), strict=False)]
        samples = judging_samples(self.config, specs, division)
        proof = stand(
            self.original, model, samples, self.config, target, self.stages, self.progress
        )
        # Zeros alone leave an engine as much to do: a difference would be chance.
        is_faster = self.config.quantize or self.config.prune is not None
        speedup = proof.latency.speedups[1] if proof.latency and is_faster else None
        found = judge(self.config.budget, proof.accuracy, proof.fidelity, speedup)
        return CompressResult(
            model=model,
            stages=tuple(self.reports),
            fidelity=proof.fidelity,
            judged_on=proof.judged_on,
            accuracy=proof.accuracy,
            latency=proof.latency,
            sizes=Sizes(
                input=stored_size(self.original),
                output=stored_size(model),
                by_dtype=bytes_by_dtype(model.to_proto()),
            ),
            verdict=Verdict((*self.reports[-1].findings, *found.findings)),
            warnings=(*self.warnings, *([proof.objection] if proof.objection else [])),
            seconds=self.stages.seconds,
            work=work_of_both(self.original, model),
        )
