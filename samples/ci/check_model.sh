#!/usr/bin/env bash
# Guards a model in CI: quantizes it, and fails if the result is slower or less accurate than
# the budget in quantize.yaml allows. Works as it stands:
#
#     samples/ci/check_model.sh samples/digits/model.onnx samples/digits/quantize.yaml out/
set -euo pipefail
model=$1 config=$2 out=$3
mkdir -p "$out"

# --strict writes no model that misses its budget; the report is written in any case.
status=0
onnxq quantize "$model" --config "$config" --strict \
  -o "$out/model.int8.onnx" --report "$out/report.json" || status=$?

# The report is plain JSON: keep it as an artifact, or take figures from it.
python - "$out/report.json" <<'PYTHON'
import json, sys

report = json.load(open(sys.argv[1], encoding="utf-8"))
for finding in report["verdict"]:
    mark = {True: "passed", False: "FAILED", None: "undecided"}[finding["passed"]]
    print(f"{mark}: {finding['text']}")
print(f"size: {report['size']['ratio']:.2f} of the input")
PYTHON
exit "$status"
