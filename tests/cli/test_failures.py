from __future__ import annotations

import errno
from pathlib import Path

import click

from onnxq.cli.failures import explain
from onnxq.cli.root import COMMANDS
from onnxq.cli.root import root as root_command
from onnxq.cli.screen import Screen
from onnxq.errors import DataError, OutputError


def test_expected_errors_keep_their_exit_code():
    failure = explain(DataError("is empty", where="a.npz"), Screen())
    assert (failure.text, failure.exit_code) == ("onnxq: error: a.npz: is empty", 3)


def test_memory():
    failure = explain(MemoryError("Unable to allocate 9 TiB"), Screen())
    assert failure.exit_code == 3
    assert "not enough memory (Unable to allocate 9 TiB)" in failure.text


def test_full_disk_outside_of_saving():
    failure = explain(OSError(errno.ENOSPC, "No space left on device", "/x/y"), Screen())
    assert (failure.text, failure.exit_code) == (
        "onnxq: error: /x/y: the disk is full; free some space",
        3,
    )


def test_what_was_complete_is_named():
    screen = Screen()
    screen.written.append(Path("out.onnx"))
    failure = explain(KeyboardInterrupt(), screen)
    assert (failure.text, failure.exit_code) == (
        "onnxq: interrupted; complete before that: out.onnx",
        130,
    )
    failure = explain(OutputError("cannot be written", where="r.json"), screen)
    assert failure.text.splitlines()[1] == "onnxq: complete before that: out.onnx"


def test_list_of_commands_says_what_the_commands_say():
    context = click.Context(root_command)
    for name, entry in COMMANDS.items():
        command = root_command.get_command(context, name)
        assert command is not None and command.help is not None
        assert command.name == name
        assert command.help.splitlines()[0] == entry.summary
        assert command.epilog is not None and "Examples:" in command.epilog
