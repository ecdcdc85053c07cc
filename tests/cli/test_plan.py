from __future__ import annotations

import json


def test_table_says_what_and_why(place):
    before = set(place.path.iterdir())
    done = place.run("plan", "model.onnx")
    assert (done.code, done.err) == (0, "")
    assert "Runs in integers" in done.out and "Conv" in done.out
    assert "Stays float (1)" in done.out and "Tanh" in done.out
    assert "Every node" not in done.out
    assert set(place.path.iterdir()) == before


def test_verbose_lists_every_node(place):
    done = place.run("plan", "model.onnx", "-v")
    for node in ("conv", "relu", "tanh", "pool", "flatten", "dense"):
        assert f"\n{node} " in done.out


def test_json_and_saved_plan_agree(place):
    done = place.run("plan", "model.onnx", "--json", "--save", "plan.json")
    facts = json.loads(done.out)
    assert json.loads((place / "plan.json").read_text()) == facts["plan"]
    (group,) = facts["stays_float"]
    assert (group["op"], group["nodes"], group["count"]) == ("Tanh", ["tanh"], 1)
    assert sum(facts["counts"].values()) == len(facts["plan"]["nodes"])


def test_target_of_the_command_line_counts(place):
    done = place.run("plan", "model.onnx", "--target", "tensorrt", "--json")
    assert json.loads(done.out)["plan"]["target"] == "tensorrt"


def test_quiet_prints_nothing(place):
    assert place.run("plan", "model.onnx", "-q").out == ""
    assert place.run("-q", "plan", "model.onnx").out == ""


def test_plan_is_not_saved_over_the_model(place):
    place.failed(place.run("plan", "model.onnx", "--save", "model.onnx"), 2, "--save")
