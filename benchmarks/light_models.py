"""Writes the network topologies that the onnx package carries, with drawn weights.

    python benchmarks/light_models.py [--cache FOLDER]

Each becomes `light/NAME.onnx` with `light/NAME.npz`, samples along axis 0. The package's files
make their weights up as equal numbers when they run; here they are random initializers.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnx
from fetch_models import DEFAULT_CACHE
from onnx import numpy_helper

FOLDER = "light"
SAMPLES = 4


def with_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replace every ConstantOfShape by random values, and inputs that are weights by weights."""
    generator = np.random.default_rng(0)
    shapes = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    kept = []
    for node in model.graph.node:
        if node.op_type != "ConstantOfShape":
            kept.append(node)
            continue
        values = _drawn(tuple(int(length) for length in shapes[node.input[0]]), generator)
        model.graph.initializer.append(numpy_helper.from_array(values, node.output[0]))
    used = {name for node in kept for name in node.input}
    stored = [t for t in model.graph.initializer if t.name in used]
    names = {t.name for t in stored}
    inputs = [value for value in model.graph.input if value.name not in names]
    inputs = [value for value in inputs if value.name in used]
    for field, items in (("node", kept), ("initializer", stored), ("input", inputs)):
        model.graph.ClearField(field)
        getattr(model.graph, field).extend(items)
    model.ir_version = max(model.ir_version, 8)
    return model


def samples(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """Draw inputs; where the batch is fixed beyond one, so many batches."""
    generator = np.random.default_rng(1)
    feeds = {}
    for value in model.graph.input:
        first, *rest = (dim.dim_value or 1 for dim in value.type.tensor_type.shape.dim)
        feeds[value.name] = generator.standard_normal((SAMPLES * first, *rest)).astype(np.float32)
    return feeds


def _drawn(shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    if len(shape) < 2:  # Biases, and scales and variances, which must be positive.
        return generator.uniform(0.5, 1.5, shape).astype(np.float32)
    fan_in = int(np.prod(shape[1:]))
    return (generator.standard_normal(shape) * np.sqrt(2 / fan_in)).astype(np.float32)


def main() -> None:
    """Write them all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE)
    folder = parser.parse_args().cache / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    source = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
    for path in sorted(source.glob("*.onnx")):
        model = with_weights(onnx.load(path))
        name = path.stem.removeprefix("light_")
        onnx.save(model, folder / f"{name}.onnx")
        np.savez(folder / f"{name}.npz", allow_pickle=False, **samples(model))
        print(f"{name}: {len(model.graph.node)} nodes", flush=True)


if __name__ == "__main__":
    main()
