# SPDX-License-Identifier: Apache-2.0
"""Striped images whose crops share the stripes' direction alone, and how well embeddings tell it."""

import math

import torch
from torch.nn import functional as F


def stripes(count, generator):
    """Images (count, 1, 32, 32) of rising or falling stripes of any phase and width, and which of both, (count,)."""
    row, column = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    label = torch.arange(count) % 2
    phase, width = (torch.rand(2, count, 1, 1, generator=generator)).unbind()
    across = (row + (1 - 2 * label[:, None, None]) * column) / math.sqrt(2)
    return torch.sin((0.9 + 0.5 * width) * across + 2 * math.pi * phase)[:, None], label


def seen_through(image, size, generator):
    """A crop under noise, and a gain, an offset and a slope that say nothing of the image."""
    rows = len(image)
    corners = torch.randint(0, 33 - size, (rows, 2), generator=generator).tolist()
    crop = torch.stack([each[:, y : y + size, x : x + size] for each, (y, x) in zip(image, corners, strict=True)])
    offset, down, right = torch.randn(3, rows, 1, 1, 1, generator=generator).unbind()
    ramp = torch.linspace(-1, 1, size)
    gain = 0.5 + torch.rand(rows, 1, 1, 1, generator=generator)
    noise = 0.3 * torch.randn(crop.shape, generator=generator)
    return gain * crop + offset + down * ramp[:, None] + right * ramp + noise


def neighbors_agree(embeddings, label):
    """How many rows have the label that most of their five nearest neighbors have."""
    rows = F.normalize(embeddings - embeddings.mean(0), dim=1)
    near = (rows @ rows.T).fill_diagonal_(-2).topk(5, dim=1).indices
    return ((label[near].float().mean(1) > 0.5) == label.bool()).float().mean().item()
