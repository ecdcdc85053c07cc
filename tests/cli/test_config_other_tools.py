"""Configurations of other tools on the command line."""

from __future__ import annotations

import json

AMCT = """
retrain_weight_quant_config { arq_retrain { dst_type: INT4 } }
quant_skip_types: "Linear"
"""
PRUNING = "prune_config { n_out_of_m_pruner { l1_selective_prune { update_freq: 2 } } }"


def test_convert_writes_what_leads_to_the_same_plan(place):
    (place / "x.cfg").write_text(AMCT)
    done = place.run("config", "convert", "x.cfg", "--model", "model.onnx", "-o", "own.yaml")
    assert (done.code, done.out) == (0, "") and "wrote own.yaml" in done.err
    assert (place / "own.yaml").read_text().startswith("# From x.cfg (AMCT simple configuration).")
    for name in ("x.cfg", "own.yaml"):
        saved = place.run("plan", "model.onnx", "--config", name, "--save", f"{name}.json")
        assert saved.code == 0, saved.err
    assert (place / "x.cfg.json").read_text() == (place / "own.yaml.json").read_text()


def test_convert_prints_and_says_everything_of_a_file(place):
    (place / "x.cfg").write_text(AMCT + "fakequant_precision_mode: FORCE_FP16_QUANT\n")
    done = place.run("config", "convert", "x.cfg", "--model", "model.onnx")
    assert "bits: 4" in done.out and "scales: float16" in done.out
    assert "fakequant" not in done.err


def test_convert_tells_what_cannot_be_said(place):
    (place / "x.json").write_text('{"Weight_bit": 4, "inference_speed": null}')
    done = place.run("config", "convert", "x.json", "--model", "model.onnx")
    assert "bits: 4" in done.out and "inference_speed is measured and reported" in done.err


def test_a_file_that_only_prunes_converts_to_one_that_does_not_quantize(place):
    (place / "x.cfg").write_text(PRUNING)
    done = place.run("config", "convert", "x.cfg", "--model", "model.onnx", "-o", "own.yaml")
    assert "quantize: false" in (place / "own.yaml").read_text() and done.err.count("\n") == 1
    found = place.run("config", "explain", "model.onnx", "-c", "own.yaml", "--json")
    facts = {(f["layer"], f["aspect"]): f["key"] for f in json.loads(found.out)}
    assert facts["conv", "stays float"] == facts["dense", "stays float"] == "quantize"
    refused = place.run("quantize", "model.onnx", "-c", "x.cfg", "--random")
    place.failed(refused, 2, "asks for a float model", "quantize: false")


def test_ways_of_learning_convert_to_rules(place):
    override = "override_layer_configs { layer_name: 'conv' %s }"
    text = AMCT.replace("arq", "ulq").replace('quant_skip_types: "Linear"', "")
    block = "retrain_weight_quant_config { arq_retrain { } }"
    (place / "x.cfg").write_text(text + override % block)
    place.run("config", "convert", "x.cfg", "--model", "model.onnx", "-o", "own.yaml")
    found = place.run("config", "explain", "model.onnx", "-c", "own.yaml", "--json")
    facts = {f["layer"]: f for f in json.loads(found.out) if f["aspect"] == "weights learn"}
    assert (facts["conv"]["value"], facts["dense"]["value"]) == ("arq", "ulq")
    assert facts["conv"]["key"] == "finetune.rules[0]"
    assert facts["conv"]["decided_by"].startswith("own.yaml:")


def test_convert_needs_a_model_for_names(place):
    (place / "x.cfg").write_text(AMCT)
    place.failed(place.run("config", "convert", "x.cfg"), 2, "--model model.onnx")


def test_convert_does_not_replace_its_source(place):
    (place / "x.cfg").write_text(AMCT)
    done = place.run("config", "convert", "x.cfg", "--model", "model.onnx", "-o", "x.cfg")
    place.failed(done, 2, "would replace what it is made of")
    assert (place / "x.cfg").read_text() == AMCT


def test_commands_detect_other_tools(place):
    (place / "x.json").write_text('{"Weight_bit": 4, "model_size": null}')
    done = place.run("plan", "model.onnx", "--config", "x.json", "--save", "p.json")
    assert done.code == 0 and "model_size is measured and reported" in done.err
    operands = json.loads((place / "p.json").read_text())["operands"]
    assert {o["scheme"]["bits"] for o in operands if o["kind"] == "weight"} == {4}


def test_a_fault_has_line_and_column(place):
    (place / "x.cfg").write_text(AMCT + 'skip_layers: "convv"\n')
    done = place.run("plan", "model.onnx", "--config", "x.cfg")
    place.failed(done, 2, "x.cfg:4:14: 'convv' is no layer of the model", "did you mean 'conv'?")


def test_explain_names_the_line_that_decided(place):
    (place / "x.cfg").write_text(AMCT)
    done = place.run("config", "explain", "model.onnx", "-c", "x.cfg", "--json")
    facts = {(f["layer"], f["aspect"]): (f["value"], f["decided_by"]) for f in json.loads(done.out)}
    assert facts["conv", "weights"] == ("int4 symmetric, per channel", "x.cfg:2:1")
    assert facts["dense", "stays float"] == ("excluded by skip[0]", "x.cfg:3:19")


def test_explain_as_a_table(place):
    (place / "own.yaml").write_text("overrides:\n- match: conv\n  weights: {bits: 4}\n")
    done = place.run("config", "explain", "model.onnx", "-c", "own.yaml")
    assert done.code == 0
    (line,) = [x for x in done.out.splitlines() if "int4" in x]
    assert "own.yaml:2 (overrides[0])" in line


def test_explain_without_a_configuration(place):
    done = place.run("config", "explain", "model.onnx", "--target", "tensorrt", "--json")
    assert {fact["decided_by"] for fact in json.loads(done.out)} == {"target tensorrt"}
