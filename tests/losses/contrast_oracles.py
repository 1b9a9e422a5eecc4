# SPDX-License-Identifier: Apache-2.0
"""The forms of a contrastive loss written out pair by pair, in float64 and with gradient."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Pairs = Callable[[int, int], bool]


def rows(*shape: int, seed: int = 0) -> Tensor:
    """Fixed float64 rows of uneven scale that ask for a gradient."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(*shape, dtype=torch.float64, generator=generator)
    return (z * torch.linspace(0.2, 5, shape[-2], dtype=torch.float64)[:, None]).requires_grad_()


def cosine(a: Tensor, b: Tensor) -> Tensor:
    return a.dot(b) / (a.dot(a).sqrt() * b.dot(b).sqrt())


def joint_oracle(z: Tensor, positive: Pairs, negative: Pairs, temperature: float) -> Tensor:
    """Mean over anchors with a positive of the mean over its positives of -log(e^s_ap / sum over candidates)."""
    terms = []
    for a in range(len(z)):
        others = [k for k in range(len(z)) if k != a]
        denominator = sum(
            torch.exp(cosine(z[a], z[k]) / temperature) for k in others if positive(a, k) or negative(a, k)
        )
        of_anchor = [
            -torch.log(torch.exp(cosine(z[a], z[p]) / temperature) / denominator) for p in others if positive(a, p)
        ]
        if of_anchor:
            terms.append(sum(of_anchor) / len(of_anchor))
    return sum(terms) / len(terms)


def directed_oracle(z: Tensor, a: int, p: int, negative: Pairs, temperature: float) -> Tensor:
    """l(a, p): the positive against the negatives of its anchor alone."""
    attracted = torch.exp(cosine(z[a], z[p]) / temperature)
    repelled = sum(torch.exp(cosine(z[a], z[n]) / temperature) for n in range(len(z)) if n != a and negative(a, n))
    return -torch.log(attracted / (attracted + repelled))


def pairwise_oracle(z: Tensor, positive: Pairs, negative: Pairs, temperature: float) -> Tensor:
    """Mean of l(a, p) over directed positive pairs."""
    terms = [
        directed_oracle(z, a, p, negative, temperature)
        for a in range(len(z))
        for p in range(len(z))
        if p != a and positive(a, p)
    ]
    return sum(terms) / len(terms)


def assert_same(loss: Tensor, expected: Tensor, z: Tensor, tolerance: float = 1e-12) -> None:
    """Both the values and the gradients with respect to z."""
    (gradient,) = torch.autograd.grad(loss, z)
    (wanted,) = torch.autograd.grad(expected, z, retain_graph=True)
    torch.testing.assert_close(loss, expected, rtol=0, atol=tolerance)
    torch.testing.assert_close(gradient, wanted, rtol=0, atol=tolerance)
    assert wanted.abs().max() > 1e-3, "an oracle without gradient shows nothing"
