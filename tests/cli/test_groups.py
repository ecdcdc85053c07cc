from __future__ import annotations

import json


def test_table(place):
    done = place.run("groups", "model.onnx")
    assert (done.code, done.err) == (0, "")
    for text in ("Channels", "Groups", "Stays", "is an output of the model"):
        assert text in done.out


def test_json(place):
    facts = json.loads(place.run("groups", "model.onnx", "--json").out)
    (group,) = facts["groups"]
    assert group["channels"] == 4
    assert {m["side"] for m in group["members"]} >= {"output", "input"}
    assert facts["frozen"][0]["reason"].endswith("is an output of the model")


def test_no_such_file(place):
    place.failed(place.run("groups", "none.onnx"), 3, "none.onnx")
