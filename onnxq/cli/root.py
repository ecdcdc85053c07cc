"""The command `onnxq` and the table of its subcommands."""

from __future__ import annotations

import click

import onnxq
from onnxq.cli.examples import examples, paragraph
from onnxq.cli.group import Entry, LazyGroup
from onnxq.cli.verbosity import help_without_command, verbosity

COMMANDS = {
    "quantize": Entry("onnxq.cli.quantize", "Quantize a model and prove the result."),
    "simplify": Entry("onnxq.cli.simplify", "Make a float model faster, exactly."),
    "prune": Entry(
        "onnxq.cli.prune", "Remove filters from a float model, and repair what is left."
    ),
    "sparsify": Entry("onnxq.cli.sparsify", "Let at most N of every M weights differ from zero."),
    "finetune": Entry(
        "onnxq.cli.finetune",
        "Train a model again from its ONNX file, without labels.",
    ),
    "compress": Entry(
        "onnxq.cli.compress",
        "Prune, sparsify, fine-tune and quantize, as the configuration asks.",
    ),
    "search": Entry(
        "onnxq.cli.search",
        "Try many ways of compressing a model, and keep those that no other beats.",
    ),
    "plan": Entry("onnxq.cli.plan", "Show what quantize would do, and touch nothing."),
    "sensitivity": Entry("onnxq.cli.sensitivity", "Show which layers cost how much accuracy."),
    "inspect": Entry("onnxq.cli.inspect", "Show what a model is made of."),
    "groups": Entry(
        "onnxq.cli.groups",
        "Show which channels of a model can be removed, and what holds the others.",
    ),
    "sparsity": Entry("onnxq.cli.sparsity", "Show which N:M patterns the weights follow."),
    "compare": Entry("onnxq.cli.compare", "Compare the outputs, size and speed of two models."),
    "check": Entry("onnxq.cli.check", "Hold a model against gates, as CI does."),
    "bench": Entry("onnxq.cli.bench", "Measure how fast models run."),
    "config": Entry("onnxq.cli.config", "Write, describe and show configurations."),
    "targets": Entry("onnxq.cli.targets", "List the engines a model can be made for."),
    "completion": Entry("onnxq.cli.completion", "Print the completion script of a shell."),
}


_EXIT_CODES = (
    "0    success",
    "1    the result misses its budget, or is slower",
    "2    wrong arguments or configuration",
    "3    the model, the data, the disk or the memory cannot serve",
    "70   a defect of onnxq",
    "130  interrupted",
)
_EXAMPLES = (
    "onnxq quantize model.onnx --calibration samples.npz",
    "onnxq simplify model.onnx",
    "onnxq plan model.onnx",
    "onnxq compare model.onnx model.int8.onnx --data test.npz --labels labels",
)


@click.group(
    cls=LazyGroup,
    table=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="\n\n".join((examples(*_EXAMPLES), paragraph("Exit codes:", *_EXIT_CODES))),
)
@click.version_option(onnxq.__version__, message="onnxq %(version)s")
@verbosity
@click.pass_context
def root(context: click.Context) -> None:
    """Make ONNX models smaller and faster, and prove how accurate and how fast they are."""
    help_without_command(context)
