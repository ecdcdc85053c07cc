"""Writes networks to ONNX files by one of torch's two exporters.

Runs under an interpreter that has torch, onnx and onnxscript (`fetch_torch_networks.py` makes
one):

    python torch_networks/export.py --exporter script --out FOLDER NAME

Writes `NAME.script.onnx` (or `NAME.dynamo.onnx`) and `NAME.npz`, samples along axis 0.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from torch_networks.parts import settle
from torch_networks.table import NETWORKS, Network

SAMPLES = 4
SCRIPT_OPSET = 17
OUTPUT = "output"


def by_script(model: nn.Module, network: Network, feed: Mapping[str, Tensor], out: Path) -> None:
    """The older exporter: a trace through TorchScript, with its own constant folding."""
    axes = {name: dict(network.free) for name in feed}
    torch.onnx.export(
        model,
        tuple(feed.values()),
        str(out),
        input_names=list(feed),
        output_names=[OUTPUT],
        dynamic_axes=axes | {OUTPUT: {0: "batch"}},
        opset_version=SCRIPT_OPSET,
        dynamo=False,
    )


def by_dynamo(model: nn.Module, network: Network, feed: Mapping[str, Tensor], out: Path) -> None:
    """The newer exporter: torch.export, onnxscript and its optimizer, at its default opset."""
    shapes = tuple(
        {axis: torch.export.Dim.AUTO for axis in network.free if axis < tensor.dim()}
        for tensor in feed.values()
    )
    torch.onnx.export(
        model,
        tuple(feed.values()),
        str(out),
        input_names=list(feed),
        output_names=[OUTPUT],
        dynamic_shapes=shapes,
        dynamo=True,
        external_data=False,
        verbose=False,
    )


EXPORTERS: Mapping[str, Callable[[nn.Module, Network, Mapping[str, Tensor], Path], None]] = {
    "script": by_script,
    "dynamo": by_dynamo,
}


def export(name: str, exporter: str, folder: Path) -> None:
    """Write one network and its samples."""
    network = NETWORKS[name]
    generator = torch.Generator().manual_seed(0)
    samples = {key: value.draw(SAMPLES, generator) for key, value in network.inputs.items()}
    torch.manual_seed(0)
    model = settle(network.build(), tuple(samples.values()), seed=0)
    # Both exporters take an axis of length one for a fixed one.
    feed = {key: value[:2] for key, value in samples.items()}
    EXPORTERS[exporter](model, network, feed, folder / f"{name}.{exporter}.onnx")
    arrays = {key: value.numpy() for key, value in samples.items()}
    np.savez(folder / f"{name}.npz", allow_pickle=False, **arrays)
    with torch.no_grad():
        expected = model(*samples.values()).numpy()
    np.save(folder / f"{name}.expected.npy", expected)


def main() -> None:
    """Command line: one network by one exporter."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=NETWORKS)
    parser.add_argument("--exporter", choices=EXPORTERS, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    export(arguments.name, arguments.exporter, arguments.out)


if __name__ == "__main__":
    main()
