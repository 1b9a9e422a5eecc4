# SPDX-License-Identifier: Apache-2.0
"""DINO's weighted nearest neighbors: what embeddings alone tell of a class."""

from __future__ import annotations

from collections.abc import Callable

import torch
from monai.networks.utils import eval_mode
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.utils.data import DataLoader, Dataset

from monai_cl_ext.arguments import positive_integer, positive_number
from monai_cl_ext.numerics import at_least_float32, without_autocast

TILE = 4096
"""Rows of queries and of references that are compared at once."""


def nearest_neighbor_probabilities(
    queries: Tensor,
    references: Tensor,
    classes: Tensor,
    num_classes: int,
    k: int = 20,
    temperature: float = 0.07,
    tile: int = TILE,
) -> Tensor:
    """Probabilities of classes by the k most similar references (Caron et al. 2021, after Wu et al. 2018).

    Each of the k references of greatest cosine s votes for its class with exp(s / temperature); the votes are divided
    by their sum. Everything stays on the device, nothing waits for the host, and no matrix of all pairs is made.

    Args:
        queries: embeddings (M, D).
        references: embeddings (N, D) on the same device.
        classes: of the references, int64 (N,), from 0 to ``num_classes`` - 1.
        num_classes: number of classes.
        k: number of neighbors; all references where there are fewer.
        temperature: of the votes.
        tile: rows that are compared at once.

    Returns:
        Probabilities (M, num_classes), float32, or float64 for such embeddings.

    Raises:
        ValueError: when shapes do not fit, or there is no reference.
    """
    if queries.ndim != 2 or references.shape[1:] != queries.shape[1:] or classes.shape != references.shape[:1]:
        raise ValueError(
            f"expected queries (M, D), references (N, D) and classes (N,), found {tuple(queries.shape)},"
            f" {tuple(references.shape)} and {tuple(classes.shape)}"
        )
    if not len(references):
        raise ValueError("references: expected at least one embedding, found none; give training images with classes")
    k = min(positive_integer("k", k), len(references))
    positive_number("temperature", temperature)
    with without_autocast(queries.device):
        rows, others = (
            normalize(each.detach().to(at_least_float32(each.dtype)), dim=1) for each in (queries, references)
        )
        votes = rows.new_zeros(len(rows), positive_integer("num_classes", num_classes))
        for part, vote in zip(rows.split(tile), votes.split(tile), strict=True):
            similarity, near = _nearest(part, others, k, tile)
            vote.scatter_add_(1, classes[near], (similarity / temperature).softmax(dim=1))
    return votes


def _nearest(rows: Tensor, others: Tensor, k: int, tile: int) -> tuple[Tensor, Tensor]:
    """The k greatest products of each row, and whose they are, (M, k)."""
    best, near = rows.new_empty(len(rows), 0), torch.empty(len(rows), 0, dtype=torch.int64, device=rows.device)
    for start in range(0, len(others), tile):
        part = others[start : start + tile]
        number = torch.arange(start, start + len(part), device=rows.device).expand(len(rows), -1)
        best, near = torch.cat([best, rows @ part.T], dim=1), torch.cat([near, number], dim=1)
        best, chosen = best.topk(min(k, best.shape[1]), dim=1)
        near = near.gather(1, chosen)
    return best, near


class NearestNeighbors:
    """Classifies images by the embeddings of a backbone, with the images of a dataset as references.

    Args:
        backbone: from images (B, C, *S) to embeddings (B, D).
        dataset: items with "image" and "class", not augmented; each process embeds all of them.
        num_classes: number of classes.
        prepare_batch: from a batch and the device to the image that the backbone takes and its class, such as
            ``transforms.PrepareImage``.
        k, temperature: see :func:`nearest_neighbor_probabilities`.
        batch_size: images that are embedded at once.
    """

    def __init__(
        self,
        backbone: nn.Module,
        dataset: Dataset,
        num_classes: int,
        prepare_batch: Callable[..., tuple[Tensor, Tensor]],
        k: int = 20,
        temperature: float = 0.07,
        batch_size: int = 64,
    ) -> None:
        self.backbone = backbone
        self.dataset = dataset
        self.prepare_batch = prepare_batch
        self.num_classes = num_classes
        self.k, self.temperature = positive_integer("k", k), positive_number("temperature", temperature)
        self.batch_size = batch_size

    def fit(self, device: torch.device) -> None:
        """Embeds the references as the backbone is now, in evaluation mode."""
        rows = []
        with eval_mode(self.backbone):
            for batch in DataLoader(self.dataset, self.batch_size):
                image, classes = self.prepare_batch(batch, device)
                rows.append((self.backbone(image), classes))
        self.references, self.classes = (torch.cat(columns) for columns in zip(*rows, strict=True))

    def __call__(self, image: Tensor) -> Tensor:
        """Probabilities (B, num_classes) of prepared images (B, C, *S); call ``fit`` before."""
        with eval_mode(self.backbone):
            embeddings = self.backbone(image)
        return nearest_neighbor_probabilities(
            embeddings, self.references, self.classes, self.num_classes, self.k, self.temperature
        )
