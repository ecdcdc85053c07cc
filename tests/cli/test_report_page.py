from __future__ import annotations

import json
import re


def _titles(text):
    return re.findall(r'<h2 id="[^"]*">([^<]*)</h2>', text)


def test_quantize_writes_a_page(place):
    done = place.quantize("-o", "out.onnx", "--report", "report.html")
    assert done.code == 0, done.err
    text = (place / "report.html").read_text()
    titles = _titles(text)
    for title in (
        "Before and after",
        "What runs in integers",
        "Layers by their own error",
        "Error along the depth",
        "Weights of the layers that err most",
        "What was not done, and why",
        "How to reproduce this",
    ):
        assert title in titles
    assert text.index("Success") < text.index("Before and after")
    assert "onnxq quantize model.onnx --config config.yaml --effort quick" in text
    assert "effort: none" in text
    assert not re.search(r"https?://", text)


def test_simplify_writes_a_page(place):
    done = place.run("simplify", "model.onnx", "--no-measure", "--report", "report.HTML")
    assert done.code == 0, done.err
    text = (place / "report.HTML").read_text()
    assert text.startswith("<!doctype html>")


def test_compare_writes_a_page(place):
    given = ("compare", "model.onnx", "model.onnx", "--data", "samples.npz", "--seconds", "0")
    done = place.run(*given, "--layers", "--report", "report.html")
    assert done.code == 0, done.err
    assert "Tensors that differ most" in _titles((place / "report.html").read_text())


def test_compare_writes_json_too_and_never_over_a_model(place):
    given = ("compare", "model.onnx", "model.onnx", "--seconds", "0", "--report")
    done = place.run(*given, "report.json")
    assert done.code == 0, done.err
    assert json.loads((place / "report.json").read_text())["models"] == ["model.onnx"] * 2
    place.failed(place.run(*given, "model.onnx"), 2, "would overwrite")


def test_sensitivity_writes_a_page(place):
    done = place.run("sensitivity", "model.onnx", "-c", "config.yaml", "--report", "report.html")
    assert done.code == 0, done.err
    assert "Layers by what they cost" in _titles((place / "report.html").read_text())


def test_a_missing_library_is_told_before_the_work(place):
    (place / "vl_convert.py").write_text("raise ModuleNotFoundError('vl_convert')\n")
    done = place.quantize("-o", "out.onnx", "--report", "report.html")
    place.failed(done, 2, "HTML report cannot be made", "onnxq[report]")
    assert not (place / "out.onnx").exists()
