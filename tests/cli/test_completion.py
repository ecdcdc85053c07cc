from __future__ import annotations

import subprocess

import pytest

from onnxq.cli.completion import SHELLS


@pytest.mark.parametrize("shell", SHELLS)
def test_script(place, shell):
    done = place.run("completion", shell)
    assert done.code == 0
    assert "_ONNXQ_COMPLETE" in done.out


def test_unknown_shell(place):
    place.failed(place.run("completion", "csh"), 2, "csh")


def _complete(place, words: str) -> list[str]:
    variables = {
        "_ONNXQ_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    done = subprocess.run(
        place.command([]),
        cwd=place.path,
        env={**place.environment, **variables},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=True,
    )
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


def test_commands_options_and_targets_are_completed(place):
    assert _complete(place, "onnxq qu") == ["quantize"]
    assert _complete(place, "onnxq config s") == ["schema", "show"]
    assert "--save-ranges" in _complete(place, "onnxq quantize --s")
    assert "tensorrt" in _complete(place, "onnxq plan --target ten")
