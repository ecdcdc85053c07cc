"""The job of `onnxq sparsify`: zeros in an N:M pattern, where the layers and the engine allow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from onnxq.config import Config, Sparsify
from onnxq.engine import Feed, input_specs, open_session, runner
from onnxq.errors import ModelError, UsageError
from onnxq.graph import Model, Source, copy_model, load
from onnxq.measure import Accuracy, Fidelity, compare_results
from onnxq.passes import Pass, PassReport, SparsifyNM, apply_passes, run
from onnxq.plan import matching_nodes
from onnxq.pruning.nm import (
    DenseLayer,
    Magnitude,
    Method,
    SparseGPT,
    SparseLayer,
    Wanda,
    find_layers,
)
from onnxq.quant import Pattern
from onnxq.targets import Target, load_target
from onnxq.workflow.calibrating import open_calibration
from onnxq.workflow.permuting import permutations_for
from onnxq.workflow.progress import Counted, Progress, Stages, silent
from onnxq.workflow.proving import JudgingSamples, judging_samples, measure_both
from onnxq.workflow.samples import Division, own_copy
from onnxq.workflow.sizes import stored_size, work_of_both
from onnxq.workflow.sparsify_result import SparsifyResult
from onnxq.workflow.sparsifying_layers import Sparsified, sparsify_layers
from onnxq.workflow.sparsity_figures import described, gain_of, packed_size
from onnxq.workflow.verdict import Verdict, judge
from onnxq.workflow.verifying import check_valid

_KEPT_BYTES = 256 * 2**20


def sparsify(
    source: Source,
    *,
    calibration: object = None,
    config: Config | None = None,
    progress: Progress = silent,
    verify: bool = True,
) -> SparsifyResult:
    """Bring the weights of a float model into an N:M pattern.

    Args:
        source: A path, bytes, ModelProto or Model. It is not changed.
        calibration: Sample inputs, in any form that `quantize` takes; what the configuration
            names by default. By magnitude none are needed.
        config: What to do (`sparsify`), for which engine (`target`), what is judged
            (`evaluate`, `budget`).
        progress: Called as the work goes on.
        verify: Measure how far the outputs move.

    Raises:
        ModelError: if the model is invalid, or no layer of it can follow the pattern.
        DataError: if the samples do not fit the model, or there are none.
        UsageError: if the method needs samples, and none are given.
        ConfigError: if the target is unknown or a selector matches nothing.
    """
    config = config or Config()
    settings = config.sparsify or Sparsify()
    original = load(source)
    job = _Job(original, config, settings, load_target(config.target), Stages(progress), progress)
    job.read_samples(calibration)
    job.choose_layers()
    job.permute()
    found = job.decide()
    fidelity, accuracy = job.measure() if verify else ({}, None)
    return job.result(found, fidelity, accuracy)


@dataclass
class _Job:
    """The state of one run, filled from stage to stage."""

    original: Model
    config: Config
    settings: Sparsify
    target: Target
    stages: Stages
    progress: Progress
    feeds: list[Feed] = field(default_factory=list)
    reports: tuple[PassReport, ...] = ()
    permuted: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.pattern = Pattern.parse(self.settings.pattern)
        self.model = copy_model(self.original)
        self.model.keep_node_names()
        self.division = Division((), hold_out=False)

    def read_samples(self, calibration: object) -> None:
        """Keep samples to learn from; every fifth is held out, to judge the result on."""
        settings = self.config.calibration
        given = calibration is not None or settings.data is not None or settings.random
        if not given:
            if self.settings.method not in (None, "magnitude"):
                raise UsageError(
                    f"{self.settings.method} needs samples",
                    why="it looks at what each layer reads",
                    remedy="give --calibration PATH, or the method magnitude",
                )
            return
        with self.stages.stage("read samples"):
            specs = input_specs(open_session(self.original))
            feeds = open_calibration(calibration, self.config, specs)
            apart = self.config.evaluate.data is None and not settings.random
            self.division = Division(feeds, apart)
            self.feeds = list(_bounded(self.division))
            if self.division.tells_apart:
                self.feeds += self.division.probes

    @property
    def method(self) -> Method:
        """How weights are chosen."""
        name = self.settings.method or ("sparsegpt" if self.feeds else "magnitude")
        by_name: dict[str, Method] = {
            "magnitude": Magnitude(),
            "wanda": Wanda(),
            "sparsegpt": SparseGPT(self.settings.damping),
        }
        return by_name[name]

    def choose_layers(self) -> None:
        """Find the layers that can follow the pattern.

        Raises:
            ModelError: if there is none.
        """
        self.layers, self.dense = self._find()
        if self.layers:
            return
        reasons = dict.fromkeys(layer.reason for layer in self.dense)
        raise ModelError(
            f"no layer can follow {self.pattern}",
            why="; ".join(reasons) or "the model has no convolution or matrix product",
            remedy="choose another pattern, or another target",
        )

    def _find(self) -> tuple[list[SparseLayer], list[DenseLayer]]:
        skip: dict[str, str] = {}
        for number, selector in enumerate(self.settings.skip):
            where = f"sparsify.skip[{number}]"
            found = matching_nodes(selector, self.model.nodes, where)
            skip.update((node.name, f"excluded by {where}") for node in found)
        return find_layers(self.model, self.pattern, self.target.sparsity, skip)

    def permute(self) -> None:
        """Reorder channels, if asked for; what changes the outputs is withdrawn."""
        if not self.settings.permute:
            return
        with self.stages.stage("permute channels"):
            passes = permutations_for(self.model, self.layers, self.pattern)
            if not passes:
                return
            row: list[Pass] = list(passes)
            outcome = run(self.model, row, samples=self.feeds[:1] or None)
            self.reports += outcome.reports
            pairs = zip(passes, outcome.reports, strict=True)
            self.permuted = tuple(p.group for p, r in pairs if r.applied and not r.withdrawn)
            self.layers, self.dense = self._find()

    def decide(self) -> Sparsified:
        """Find the sparse weights, and put them into the model."""
        with self.stages.stage("sparsify"):
            found = sparsify_layers(
                self.model,
                self.layers,
                self.pattern,
                self.method,
                [] if isinstance(self.method, Magnitude) else self.feeds,
                lambda done, total: self.progress("sparsify", done, total),
            )
            self.reports += apply_passes(self.model, [SparsifyNM(found.weights, self.pattern)])
        return found

    def measure(self) -> tuple[dict[str, Fidelity], tuple[Accuracy, Accuracy] | None]:
        """How far the outputs moved."""
        with self.stages.stage("compare outputs"):
            check_valid(self.model, self.original)
            runs = (runner(open_session(self.original)), runner(open_session(self.model)))
            feeds = Counted(self._judging.feeds, "compare outputs", self.progress)
            return compare_results(*runs, feeds), measure_both(*runs, feeds, self.config)

    @property
    def _judging(self) -> JudgingSamples:
        specs = input_specs(open_session(self.original))
        return judging_samples(self.config, specs, self.division)

    def result(
        self,
        found: Sparsified,
        fidelity: dict[str, Fidelity],
        accuracy: tuple[Accuracy, Accuracy] | None,
    ) -> SparsifyResult:
        """Everything as one value."""
        budget = self.config.budget
        verdict = judge(budget, accuracy, fidelity, None)
        warnings: tuple[str, ...] = ()
        if budget.minimum is None and budget.max_drop is None:
            # Most models need training after this; nobody said how much they may lose before.
            warnings = tuple(f"{f.text}; train it before use" for f in verdict.findings)
            verdict = Verdict(())
        return SparsifyResult(
            model=self.model,
            pattern=self.pattern,
            method=type(self.method).__name__.lower(),
            target=self.target.name,
            gain=gain_of(self.target, self.pattern),
            layers=tuple(described(layer, found.weights, found.errors) for layer in self.layers),
            dense=tuple(self.dense),
            permuted=self.permuted,
            packed=packed_size(self.layers, self.pattern),
            reports=self.reports,
            fidelity=fidelity,
            judged_on=self._judging.origin if fidelity else "not measured",
            accuracy=accuracy,
            verdict=verdict,
            warnings=warnings,
            seconds=self.stages.seconds,
            sizes=(stored_size(self.original), stored_size(self.model)),
            work=work_of_both(self.original, self.model),
        )


def _bounded(division: Division) -> Iterator[Feed]:
    """The samples that are not held out, as many as fit into memory."""
    total = 0
    for feed in division:
        total += sum(value.nbytes for value in feed.values())
        if total <= _KEPT_BYTES:
            yield own_copy(feed)
