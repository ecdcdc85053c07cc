"""The errors onnxq raises: each says what went wrong, where, why, and what to do.

The exit code of the command line is a property of the error's class, so that no
command has to decide it.
"""

from __future__ import annotations

from typing import ClassVar


class OnnxqError(Exception):
    """Base of every error that onnxq raises on purpose.

    Attributes:
        what: The fact, as a short clause.
        where: The file, node, tensor or configuration key concerned.
        why: The cause, where it is known.
        remedy: What the user can do about it.
    """

    exit_code: ClassVar[int] = 70

    def __init__(self, what: str, *, where: str = "", why: str = "", remedy: str = "") -> None:
        self.what = what
        self.where = where
        self.why = why
        self.remedy = remedy
        super().__init__(self._text())

    def _text(self) -> str:
        head = f"{self.where}: {self.what}" if self.where else self.what
        text = "; ".join(part for part in (head, self.why, self.remedy) if part)
        return printable(text)


def printable(text: str) -> str:
    """What terminals take for a command is spelled out: texts quote files from anywhere."""
    return text if text.isprintable() else "".join(map(_spelled, text))


def _spelled(character: str) -> str:
    if character.isprintable() or character in "\n\t":
        return character
    return character.encode("unicode_escape").decode("ascii")


class UsageError(OnnxqError):
    """The command or function was called with arguments that cannot be served."""

    exit_code = 2


class ConfigError(OnnxqError):
    """The configuration is wrong: an unknown key, a bad value, a selector without a match."""

    exit_code = 2


class ModelError(OnnxqError):
    """The model cannot be read, is invalid, or does not run."""

    exit_code = 3


class DataError(OnnxqError):
    """The calibration or evaluation data cannot be used with this model."""

    exit_code = 3


class PreconditionError(ModelError):
    """A pass cannot be applied to this model at all; the message names the node and the remedy."""


class OutputError(OnnxqError):
    """The result cannot be written (full disk, no permission, missing directory)."""

    exit_code = 3


class InvariantError(OnnxqError):
    """A pass left the graph in an invalid state: a defect of onnxq or of a user's own pass."""
