from __future__ import annotations

import json


def test_init_writes_a_configuration_that_works(place):
    done = place.run("config", "init", "new.yaml")
    assert (done.code, done.out) == (0, "")
    assert "wrote new.yaml" in done.err
    assert place.run("plan", "model.onnx", "-c", "new.yaml").code == 0
    text = (place / "new.yaml").read_text()
    assert place.run("config", "init", "-").out == text


def test_init_does_not_overwrite(place):
    place.failed(place.run("config", "init", "config.yaml"), 2, "exists already")


def test_schema(place):
    schema = json.loads(place.run("config", "schema").out)
    assert "calibration" in schema["properties"]


def test_show_names_the_origin_of_every_value(place):
    done = place.run("config", "show", "-c", "config.yaml", "--target", "qnn", "--json")
    settings = {s["key"]: (s["value"], s["origin"]) for s in json.loads(done.out)}
    assert settings["target"] == ("qnn", "command line")
    assert settings["calibration.method.kind"] == ("min-max", "config.yaml:1")
    assert settings["weights.bits"] == (8, "target qnn")
    assert settings["seed"] == (0, "default")


def test_show_as_a_table(place):
    done = place.run("config", "show")
    assert done.code == 0
    assert "weights.granularity" in done.out and "target ort-cpu" in done.out
