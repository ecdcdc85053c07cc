from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import html5lib
import pytest

_CONFIG = """
base: {effort: none, calibration: {data: samples.npz}}
objectives: [quality, size]
limits: {trials: 6}
"""

_WITHOUT_OPTUNA = """
import sys
sys.modules["optuna"] = None
from onnxq.cli import main
sys.exit(main(["search", "model.onnx", "--calibration", "samples.npz"]))
"""


def test_search_writes_points_and_a_page(place):
    (place / "search.yaml").write_text(_CONFIG)
    done = place.run("search", "model.onnx", "--config", "search.yaml", "--report", "found.html")
    assert (done.code, done.err) == (0, "")
    for text in ("FOUND", "6 trials", "default recipe", "all float", "points in model.search"):
        assert text in done.out
    folder = place / "model.search"
    assert {path.name for path in folder.iterdir()} == {
        "best.onnx",
        "best.yaml",
        "points",
        "study.db",
    }
    page = (place / "found.html").read_text()
    html5lib.HTMLParser(strict=True).parse(page)
    assert "Quality and size" in page and "Every trial" in page
    again = place.run("search", "model.onnx", "--config", "search.yaml", "--trials", 8, "--json")
    facts = json.loads(again.out)
    assert len(facts["points"]) == 8 and facts["success"]
    assert facts["paths"]["output"] == "model.search/best.onnx"
    remade = place.run(
        "quantize", "model.onnx", "--config", "model.search/best.yaml", "-o", "remade.onnx"
    )
    assert remade.code in (0, 1), remade.err
    assert (place / "remade.onnx").read_bytes() == (folder / "best.onnx").read_bytes()


def test_nothing_within_the_budget(place):
    (place / "search.yaml").write_text(
        "base: {effort: none, weights: {bits: 2}, budget: {metric: sqnr, minimum: 60}}\n"
        "space: {layers: {kinds: [static], weight_bits: [2]}}\n"
    )
    arguments = ("--calibration", "samples.npz", "--config", "search.yaml", "--objective", "size")
    done = place.run("search", "model.onnx", *arguments, "--trials", 2)
    assert (done.code, done.err) == (1, "")
    assert "MISSED" in done.out and "nothing that was tried keeps to the budget" in done.out
    assert not (place / "model.search" / "best.onnx").exists()


def test_interrupted_and_given_again(place):
    (place / "search.yaml").write_text(_CONFIG.replace("trials: 6", "minutes: 10, trials: null"))
    process = subprocess.Popen(
        place.command(["search", "model.onnx", "--config", "search.yaml", "-o", "found", "-v"]),
        cwd=place.path,
        env=place.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        # Whoever runs the tests may ignore interrupts, which processes inherit.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    points = place / "found" / "points"
    deadline = time.monotonic() + 60
    while not list(points.glob("0000.yaml")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert out == "" and "interrupted" in err and "Traceback" not in err
    again = place.run(
        "search", "model.onnx", "--config", "search.yaml", "-o", "found", "--trials", 1
    )
    assert again.code == 0, again.err
    assert "FOUND" in again.out


@pytest.mark.parametrize(
    ("arguments", "texts"),
    [
        (("--objective", "size"), ("no calibration data",)),
        (("--calibration", "samples.npz", "--storage", "nowhere"), ("the storage does not serve",)),
    ],
)
def test_what_cannot_be_served(place, arguments, texts):
    place.failed(place.run("search", "model.onnx", *arguments), 2, *texts)


def test_without_optuna(place):
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_OPTUNA],
        cwd=place.path,
        env=place.environment,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 2
    assert "the search needs optuna" in done.stderr
    assert "pip install 'onnxq[search]'" in done.stderr
