# SPDX-License-Identifier: Apache-2.0
"""Views of a sample, made by batches, the same draws at every strength."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from monai_cl_ext.seeds import mix_seed
from monai_cl_ext.transforms import ViewPolicy

BATCH = 50
STREAM = 0x616476697365  # keeps these numbers apart from others drawn for the same seed


def sized(policy: ViewPolicy, size: int) -> ViewPolicy:
    """The policy with views of the side ``size``."""
    return ViewPolicy(policy.operations, size, policy.spatial_dims, policy.padding_mode)


def view_batches(images: Tensor, policy: ViewPolicy, size: int, seed: int, view: int) -> Iterator[Tensor]:
    """Views (B, C, size, size) of images (N, C, H, W), batch after batch.

    From one seed, policies of the same operations draw the same numbers for the same images, so that what differs
    between two strengths is the strength.

    Args:
        images: floating point.
        policy: of 2D views; its own size does not count.
        size: side of the views, in pixels.
        seed: of the draws.
        view: number of the view; two views of an image are two draws.
    """
    generator = torch.Generator().manual_seed(mix_seed(STREAM, seed, view))
    policy = sized(policy, size)
    for batch in images.split(BATCH):
        yield policy({"image": batch.float()}, generator)["image"]
