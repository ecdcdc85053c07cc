"""Text models: an encoder and two decoders, dynamic in batch and sequence."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

WORDS = 2000


class EncoderLayer(nn.Module):
    """Post-norm block with an additive mask (https://arxiv.org/abs/1810.04805)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.out, self.norm1 = nn.Linear(width, width), nn.LayerNorm(width, eps=1e-12)
        self.expand, self.contract = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.norm2 = nn.LayerNorm(width, eps=1e-12)

    def _heads(self, x: Tensor) -> Tensor:
        shape = (*x.shape[:-1], self.heads, x.shape[-1] // self.heads)
        return x.view(shape).permute(0, 2, 1, 3)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        query, key, value = (self._heads(layer(x)) for layer in (self.query, self.key, self.value))
        scores = torch.matmul(query, key.transpose(-1, -2)) / math.sqrt(query.shape[-1]) + mask
        mixed = torch.matmul(functional.softmax(scores, dim=-1), value)
        mixed = mixed.permute(0, 2, 1, 3).contiguous()
        x = self.norm1(self.out(mixed.view(*mixed.shape[:-2], -1)) + x)
        return self.norm2(self.contract(functional.gelu(self.expand(x))) + x)


class Bert(nn.Module):
    """BERT with a pooled classification head."""

    def __init__(self, width: int = 128, heads: int = 4, depth: int = 4) -> None:
        super().__init__()
        self.words, self.positions = nn.Embedding(WORDS, width), nn.Embedding(128, width)
        self.types, self.norm = nn.Embedding(2, width), nn.LayerNorm(width, eps=1e-12)
        self.layers = nn.ModuleList(EncoderLayer(width, heads) for _ in range(depth))
        self.pool, self.head = nn.Linear(width, width), nn.Linear(width, 3)
        self.register_buffer("places", torch.arange(128)[None])

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        length = input_ids.shape[1]
        types = torch.zeros_like(input_ids)
        x = self.words(input_ids) + self.types(types) + self.positions(self.places[:, :length])
        x = self.norm(x)
        lowest = torch.finfo(x.dtype).min
        mask = (1.0 - attention_mask[:, None, None, :].to(x.dtype)) * lowest
        for layer in self.layers:
            x = layer(x, mask)
        return self.head(torch.tanh(self.pool(x[:, 0])))


class DecoderBlock(nn.Module):
    """Pre-norm block with a causal mask kept as a buffer, and GELU by tanh."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.expand, self.contract = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.register_buffer("causal", torch.tril(torch.ones(128, 128)).view(1, 1, 128, 128))

    def _attend(self, x: Tensor) -> Tensor:
        batch, length, width = x.size()
        split = (batch, length, self.heads, width // self.heads)
        query, key, value = (
            part.view(split).transpose(1, 2) for part in self.qkv(x).split(width, dim=2)
        )
        scores = (query @ key.transpose(-2, -1)) * (1.0 / math.sqrt(key.size(-1)))
        scores = scores.masked_fill(self.causal[:, :, :length, :length] == 0, float("-inf"))
        mixed = functional.softmax(scores, dim=-1) @ value
        return self.out(mixed.transpose(1, 2).contiguous().view(batch, length, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self._attend(self.norm1(x))
        hidden = functional.gelu(self.expand(self.norm2(x)), approximate="tanh")
        return x + self.contract(hidden)


class Gpt(nn.Module):
    """GPT-2's structure; the logits of the last token."""

    def __init__(self, width: int = 128, heads: int = 4, depth: int = 4) -> None:
        super().__init__()
        self.words, self.positions = nn.Embedding(WORDS, width), nn.Embedding(128, width)
        self.blocks = nn.ModuleList(DecoderBlock(width, heads) for _ in range(depth))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, WORDS, bias=False)

    def forward(self, input_ids: Tensor) -> Tensor:
        places = torch.arange(0, input_ids.size(1), dtype=torch.long, device=input_ids.device)
        x = self.words(input_ids) + self.positions(places)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)[:, -1, :])


class RmsNorm(nn.Module):
    """Root mean square normalisation (https://arxiv.org/abs/1910.07467)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(torch.float32)
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))


def _rotate_half(x: Tensor) -> Tensor:
    first, second = x[..., : x.shape[-1] // 2], x[..., x.shape[-1] // 2 :]
    return torch.cat((-second, first), dim=-1)


class LlamaBlock(nn.Module):
    """Grouped heads with rotary places, and a gated perceptron (https://arxiv.org/abs/2302.13971)."""

    def __init__(self, width: int, heads: int, groups: int) -> None:
        super().__init__()
        self.heads, self.groups, size = heads, groups, width // heads
        self.norm1, self.norm2 = RmsNorm(width), RmsNorm(width)
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, groups * size, bias=False)
        self.value = nn.Linear(width, groups * size, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.gate, self.up = (nn.Linear(width, 3 * width, bias=False) for _ in range(2))
        self.down = nn.Linear(3 * width, width, bias=False)

    def _repeated(self, x: Tensor) -> Tensor:
        batch, groups, length, size = x.shape
        times = self.heads // groups
        x = x[:, :, None].expand(batch, groups, times, length, size)
        return x.reshape(batch, groups * times, length, size)

    def _attend(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor) -> Tensor:
        batch, length, width = x.shape
        size = width // self.heads
        query = self.query(x).view(batch, length, self.heads, size).transpose(1, 2)
        key = self.key(x).view(batch, length, self.groups, size).transpose(1, 2)
        value = self.value(x).view(batch, length, self.groups, size).transpose(1, 2)
        query = query * cos + _rotate_half(query) * sin
        key = self._repeated(key * cos + _rotate_half(key) * sin)
        scores = torch.matmul(query, key.transpose(2, 3)) * size**-0.5 + mask
        mixed = functional.softmax(scores, dim=-1) @ self._repeated(value)
        return self.out(mixed.transpose(1, 2).reshape(batch, length, width))

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor) -> Tensor:
        x = x + self._attend(self.norm1(x), cos, sin, mask)
        y = self.norm2(x)
        return x + self.down(functional.silu(self.gate(y)) * self.up(y))


class Llama(nn.Module):
    """LLaMA's structure; logits of all tokens."""

    def __init__(self, width: int = 128, heads: int = 4, depth: int = 4) -> None:
        super().__init__()
        self.words, self.norm = nn.Embedding(WORDS, width), RmsNorm(width)
        self.blocks = nn.ModuleList(LlamaBlock(width, heads, heads // 2) for _ in range(depth))
        size = width // heads
        self.register_buffer("rates", 10000.0 ** (-torch.arange(0, size, 2).float() / size))
        self.head = nn.Linear(width, WORDS, bias=False)

    def forward(self, input_ids: Tensor) -> Tensor:
        length = input_ids.shape[1]
        places = torch.arange(length, device=input_ids.device)[None].float()
        angles = (self.rates[None, :, None] @ places[:, None, :]).transpose(1, 2)
        angles = torch.cat((angles, angles), dim=-1)[:, None]
        lowest = torch.finfo(torch.float32).min
        mask = torch.triu(torch.full((length, length), lowest), diagonal=1)[None, None]
        x = self.words(input_ids)
        for block in self.blocks:
            x = block(x, angles.cos(), angles.sin(), mask)
        return self.head(self.norm(x))
