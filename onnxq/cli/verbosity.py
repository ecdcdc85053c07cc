"""The options -q and -v, before or after the command's name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from onnxq.cli.screen import Screen

Command = TypeVar("Command", bound=Callable[..., Any])


def verbosity(command: Command) -> Command:
    """Add -q and -v to a command; they change the screen."""
    quiet = click.option(
        "-q",
        "--quiet",
        is_flag=True,
        expose_value=False,
        callback=_quieten,
        help="Print nothing but errors (and what --json asks for).",
    )
    verbose = click.option(
        "-v",
        "--verbose",
        count=True,
        expose_value=False,
        callback=_raise,
        help="Print more; -vv adds tracebacks of errors.",
    )
    return quiet(verbose(command))


def help_without_command(context: click.Context) -> None:
    """Where a group is called without a command, print its help and end with a usage error."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(2)


def _quieten(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    del parameter
    if value:
        context.ensure_object(Screen).quiet = True


def _raise(context: click.Context, parameter: click.Parameter, value: int) -> None:
    del parameter
    context.ensure_object(Screen).verbosity += value
