# SPDX-License-Identifier: Apache-2.0
"""Weights of a vision transformer under the published names, and the network written out from its formulas."""

from __future__ import annotations

import math

import torch
from torch import Tensor

State = dict[str, Tensor]


def published(width: int = 384, blocks: int = 12, patch: int = 16, channels: int = 3, grid: int = 14) -> State:
    """Random tensors of the names and shapes of DINO's ViT; the defaults are ViT-S/16.

    They are multiples of 2**-12, so that float32 adds them without rounding.
    """
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, width),
        "pos_embed": (1, 1 + grid**2, width),
        "patch_embed.proj.weight": (width, channels, patch, patch),
        "patch_embed.proj.bias": (width,),
        "norm.weight": (width,),
        "norm.bias": (width,),
    }
    for block in range(blocks):
        layers = {
            "norm1": (width,), "norm2": (width,), "attn.qkv": (3 * width, width), "attn.proj": (width, width),
            "mlp.fc1": (4 * width, width), "mlp.fc2": (width, 4 * width),
        }  # fmt: skip
        for name, shape in layers.items():
            shapes |= {f"blocks.{block}.{name}.weight": shape, f"blocks.{block}.{name}.bias": shape[:1]}
    generator = torch.Generator().manual_seed(0)
    state = {name: (200 * torch.randn(shape, generator=generator)).round() / 2**12 for name, shape in shapes.items()}
    for name in state:
        if "norm" in name and name.endswith("weight"):
            state[name] += 1
    return state


def reference(state: State, image: Tensor, heads: int, last: int = 1) -> Tensor:
    """CLS tokens of the last blocks after the final norm, side by side.

    Pre-norm blocks, softmax(qk/sqrt(d)), GELU, LayerScale where the state has it.
    """
    state = {name: tensor.double() for name, tensor in state.items()}
    x = tokens(state, image.double())
    count = 1 + max(int(name.split(".")[1]) for name in state if name.startswith("blocks."))
    outputs = []
    for block in range(count):
        x = transformer_block(state, f"blocks.{block}.", x, heads)
        outputs.append(norm(state, "norm.", x)[:, 0])
    return torch.cat(outputs[-last:], dim=1)


def tokens(state: State, image: Tensor) -> Tensor:
    weight = state["patch_embed.proj.weight"]
    patch, width = weight.shape[-1], len(weight)
    rows, columns = image.shape[2] // patch, image.shape[3] // patch
    position = state["pos_embed"][0]
    own = math.isqrt(len(position) - 1)
    grid = cubic(cubic(position[1:].view(own, own, width), rows).transpose(0, 1), columns).transpose(0, 1)
    found = []
    for row in range(rows):
        for column in range(columns):
            part = image[:, :, patch * row : patch * (row + 1), patch * column : patch * (column + 1)]
            embedded = part.flatten(1) @ weight.flatten(1).T + state["patch_embed.proj.bias"]
            found.append(embedded + grid[row, column])
    cls = (state["cls_token"][0, 0] + position[0]).expand(len(image), -1)
    return torch.stack([cls, *found], dim=1)


def cubic(values: Tensor, size: int) -> Tensor:
    """Values along the first axis at ``size`` places, by cubic convolution (Keys 1981) with a = -0.75."""
    if size == len(values):
        return values

    def weight(distance: float) -> float:
        a, d = -0.75, abs(distance)
        if d <= 1:
            return (a + 2) * d**3 - (a + 3) * d**2 + 1
        return a * (d**3 - 5 * d**2 + 8 * d - 4) if d < 2 else 0.0

    places = []
    for index in range(size):
        center = (index + 0.5) * len(values) / size - 0.5
        near = range(math.floor(center) - 1, math.floor(center) + 3)
        places.append(sum(weight(center - each) * values[min(max(each, 0), len(values) - 1)] for each in near))
    return torch.stack(places)


def transformer_block(state: State, prefix: str, x: Tensor, heads: int) -> Tensor:
    batch, count, width = x.shape
    y = linear(state, prefix + "attn.qkv.", norm(state, prefix + "norm1.", x))
    q, k, v = (part.view(batch, count, heads, -1).transpose(1, 2) for part in y.split(width, dim=2))
    weights = (q @ k.transpose(2, 3) / math.sqrt(width // heads)).exp()
    y = (weights / weights.sum(-1, keepdim=True)) @ v
    y = linear(state, prefix + "attn.proj.", y.transpose(1, 2).reshape(batch, count, width))
    x = x + state.get(prefix + "ls1.gamma", 1) * y
    y = linear(state, prefix + "mlp.fc1.", norm(state, prefix + "norm2.", x))
    y = linear(state, prefix + "mlp.fc2.", y / 2 * (1 + torch.erf(y / math.sqrt(2))))
    return x + state.get(prefix + "ls2.gamma", 1) * y


def linear(state: State, prefix: str, x: Tensor) -> Tensor:
    return x @ state[prefix + "weight"].T + state[prefix + "bias"]


def norm(state: State, prefix: str, x: Tensor) -> Tensor:
    centered = x - x.mean(-1, keepdim=True)
    scaled = centered / (centered.square().mean(-1, keepdim=True) + 1e-6).sqrt()
    return scaled * state[prefix + "weight"] + state[prefix + "bias"]
