from __future__ import annotations

import json


def test_list(place):
    done = place.run("targets")
    assert done.code == 0
    assert "ort-cpu" in done.out and "tensorrt" in done.out
    names = [target["name"] for target in json.loads(place.run("targets", "--json").out)]
    assert "ort-cpu" in names


def test_rules_of_one(place):
    done = place.run("targets", "ort-cpu")
    for text in ("Accelerated operators", "Conv", "compute", "Stays float", "Softmax"):
        assert text in done.out
    assert json.loads(place.run("targets", "ort-cpu", "--json").out)["name"] == "ort-cpu"


def test_unknown(place):
    place.failed(place.run("targets", "nothing"), 2, "nothing")
