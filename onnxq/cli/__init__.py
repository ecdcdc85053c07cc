"""The command line: parse, call the library, show the result, return an exit code.

Rooms other than `errors` are imported when a command runs, so that help and completion are
immediate.
"""

from onnxq.cli.running import main

__all__ = ["main"]
