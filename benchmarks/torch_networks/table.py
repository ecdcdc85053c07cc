"""The networks by name, with what they eat."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch_networks import (
    detection,
    language,
    mobile,
    pictures,
    residual,
    sequences,
    vision,
    windows,
)


@dataclass(frozen=True)
class Input:
    """One sample of an input, without its batch axis.

    `below` is the bound of whole numbers (int64); where None, values are normal (float32).
    """

    shape: tuple[int, ...]
    below: int | None = None

    def draw(self, batch: int, generator: torch.Generator) -> Tensor:
        """Return random values with a leading batch axis."""
        shape = (batch, *self.shape)
        if self.below is None:
            return torch.randn(shape, generator=generator)
        return torch.randint(0, self.below, shape, generator=generator)


@dataclass(frozen=True)
class Network:
    """A network, its inputs by name, and the axes that the export leaves free."""

    build: Callable[[], nn.Module]
    inputs: Mapping[str, Input]
    free: Mapping[int, str] = field(default_factory=lambda: {0: "batch"})


def _image(build: Callable[[], nn.Module], size: int) -> Network:
    return Network(build, {"image": Input((3, size, size))})


TOKENS = 64
_TEXT = {0: "batch", 1: "sequence"}
_PICTURE = {0: "batch", 2: "height", 3: "width"}
_IDS = Input((TOKENS,), below=language.WORDS)
_FRAMES = {"frames": Input((100, 40))}

NETWORKS: Mapping[str, Network] = {
    "mobilenet_v3": _image(mobile.mobilenet_v3, 224),
    "shufflenet_v2": _image(mobile.shufflenet_v2, 224),
    "efficientnet": _image(mobile.efficientnet, 192),
    "lcnet": _image(mobile.lcnet, 224),
    "resnet": _image(residual.resnet, 128),
    "resnet18": _image(residual.resnet18, 224),
    "repvgg": _image(residual.repvgg, 128),
    "densenet": _image(residual.densenet, 128),
    "vit": _image(vision.VisionTransformer, 128),
    "mixer": _image(vision.Mixer, 128),
    "convnext": _image(vision.convnext, 128),
    "swin": _image(windows.Swin, 112),
    "unet": Network(pictures.UNet, {"image": Input((3, 80, 80))}, _PICTURE),
    "super_resolution": Network(pictures.SuperResolution, {"image": Input((3, 48, 48))}, _PICTURE),
    "denoiser": Network(
        pictures.Denoiser, {"latent": Input((4, 32, 32)), "step": Input((), below=1000)}
    ),
    "yolo": _image(detection.Yolo, 256),
    "bert": Network(
        language.Bert, {"input_ids": _IDS, "attention_mask": Input((TOKENS,), below=2)}, _TEXT
    ),
    "gpt": Network(language.Gpt, {"input_ids": _IDS}, _TEXT),
    "llama": Network(language.Llama, {"input_ids": _IDS}, _TEXT),
    "lstm": Network(sequences.LstmTagger, _FRAMES),
    "gru": Network(sequences.GruClassifier, _FRAMES),
    "temporal": Network(sequences.TemporalNetwork, _FRAMES),
    "crnn": Network(sequences.Crnn, {"line": Input((1, 32, 256))}),
}
