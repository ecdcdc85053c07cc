import numpy as np
import pytest

from onnxq.calibration import TensorStatistics
from onnxq.calibration.density import Density, density_of
from onnxq.calibration.rounding_error import Quantizers, quantizers, squared_errors
from onnxq.quant import QType, Scheme, choose_qparams, dequantize, quantize

SCHEMES = [
    Scheme(QType(8, signed=False)),
    Scheme(QType(8, signed=True), symmetric=True, narrow_range=True),
    Scheme(QType(8, signed=True), symmetric=True, power_of_two=True),
    Scheme(QType(4, signed=False)),
    Scheme(QType(2, signed=True), symmetric=True),
]


def true_error(values, scheme, low, high):
    parameters = choose_qparams(scheme, low, high)
    rounded = dequantize(quantize(values, parameters), parameters)
    return float(np.square(values.astype(np.float64) - rounded).sum())


@pytest.mark.parametrize("scheme", SCHEMES)
def test_matches_real_quantization_of_the_values(scheme):
    generator = np.random.default_rng(0)
    samples = {
        "normal": generator.normal(0.2, 1, 50_000),
        "relu": np.maximum(generator.normal(size=50_000), 0),
        "clipped": np.clip(generator.normal(size=50_000) * 4, 0, 6),
        "heavy": generator.standard_t(3, 50_000),
    }
    for values in (array.astype(np.float32) for array in samples.values()):
        statistics = TensorStatistics.empty(histogram=True)
        statistics.observe(values)
        ratios = np.array([1.0, 0.8, 0.5, 0.2])
        lows, highs = min(values.min(), 0) * ratios, max(values.max(), 0) * ratios
        found = squared_errors(density_of(statistics), quantizers(scheme, lows, highs))
        expected = [true_error(values, scheme, *ends) for ends in zip(lows, highs, strict=True)]
        # Within a bin the true values are not spread evenly: a sampling error below 1 %.
        np.testing.assert_allclose(found, expected, rtol=1e-2)


def test_matches_numerical_integration_exactly():
    density = Density(
        np.array([-3.0, -0.4, 0.0, 0.1, 2.0]),
        np.array([-2.5, -0.1, 0.0, 0.7, 9.0]),
        np.array([2.0, 1.0, 50.0, 4.0, 3.0]),
    )
    candidates = Quantizers(np.array([0.3, 1.1]), np.array([-5.0, -2.0]), np.array([10.0, 1.0]))
    found = squared_errors(density, candidates)
    for index in range(2):
        scale = candidates.scale[index]
        lowest, highest = candidates.lowest[index], candidates.highest[index]
        total = 0.0
        for left, right, mass in zip(density.left, density.right, density.mass, strict=True):
            x = left + (np.arange(400_000) + 0.5) / 400_000 * (right - left)
            rounded = np.clip(np.rint(x / scale), lowest, highest) * scale
            total += mass * np.square(x - rounded).mean()
        assert found[index] == pytest.approx(total, rel=1e-6)
