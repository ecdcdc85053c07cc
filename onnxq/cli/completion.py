"""`onnxq completion`: the completion script of a shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from onnxq.cli.examples import examples

SHELLS = ("bash", "zsh", "fish")


@click.command(
    "completion",
    epilog=examples(
        'eval "$(onnxq completion bash)"     (in ~/.bashrc)',
        'eval "$(onnxq completion zsh)"      (in ~/.zshrc)',
        "onnxq completion fish > ~/.config/fish/completions/onnxq.fish",
    ),
)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print the completion script of a shell."""
    from onnxq.cli.running import COMPLETION_VARIABLE, NAME

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(context.find_root().command, {}, NAME, COMPLETION_VARIABLE).source())
