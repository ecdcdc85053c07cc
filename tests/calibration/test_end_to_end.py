import numpy as np
import onnx.parser
import pytest

from onnxq.calibration import (
    RangeRequest,
    check_belongs,
    collect,
    estimate_ranges,
    open_feeds,
)
from onnxq.config import Mse, Percentile
from onnxq.engine import input_specs, open_session, runner, with_outputs
from onnxq.quant import QType, Scheme

MODEL = """
<ir_version: 8, opset_import: ["" : 17]>
net (float[n, 3, 8, 8] image, int64[n] index) => (float[n, 3, 8, 8] y)
<float three = {3.0}, float low = {0.0}, float high = {6.0}>
{
    scaled = Mul (image, three)
    limited = Clip (scaled, low, high)
    y = Sigmoid (limited)
}
"""


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_from_a_file_of_samples_to_ranges(tmp_path, save):
    images = np.random.default_rng(0).normal(size=(12, 3, 8, 8))
    save(tmp_path / "data.npz", image=images, index=np.arange(12, dtype=np.int32), labels=[0])
    proto = onnx.parser.parse_model(MODEL)
    specs = input_specs(open_session(proto))
    feeds = open_feeds(tmp_path / "data.npz", specs, samples=10)
    session = open_session(with_outputs(proto, ["scaled", "limited"]))
    statistics = collect(runner(session), feeds, ["scaled", "limited", "gone"], histogram=True)

    values = images[:10].astype(np.float32) * np.float32(3)
    assert statistics.samples == len(feeds) == 10
    assert statistics["scaled"].minimum == values.min()
    assert statistics["limited"].maximum == 6.0

    scheme = Scheme(QType(8, signed=False))
    requests = {
        "scaled": RangeRequest(Percentile(percentile=99.0), scheme),
        "limited": RangeRequest(Mse(), scheme, (0.0, 6.0)),
        "gone": RangeRequest(Mse(), scheme),
    }
    ranges = estimate_ranges(
        statistics, requests, model="digest", feeds=feeds.description, feeds_digest=feeds.digest
    )
    check_belongs(ranges, "digest", requests)
    low, high = ranges.intervals["scaled"]
    assert low == pytest.approx(np.quantile(values, 0.005), rel=0.02)
    assert high == pytest.approx(np.quantile(values, 0.995), rel=0.02)
    assert ranges.intervals["limited"] == pytest.approx((0.0, 6.0), rel=0.01)
    assert ranges.unobserved == ("gone",)
