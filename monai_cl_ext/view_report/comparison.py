# SPDX-License-Identifier: Apache-2.0
"""Views under each policy and strength, and the distances of their positive and negative pairs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import torch
from monai.bundle import ConfigParser
from scipy.stats import mannwhitneyu
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, normalize

from monai_cl_ext.networks import MultiCropViT, load_pretrained, stages
from monai_cl_ext.progress import progress_bar
from monai_cl_ext.seeds import mix_seed
from monai_cl_ext.transforms import ViewPolicy, identity_policy
from monai_cl_ext.view_report.policies import Setting, ViewSettings
from monai_cl_ext.view_report.sample import Sample

Space: TypeAlias = Callable[[Tensor], Tensor]  # views (B, C, H, W) to features (B, G, K); a group shares its scale
BATCH, PICTURED, MAPPED, REPEATED = 50, 3, 12, 20
UNET = {"_target_": "UNet", "spatial_dims": 2, "out_channels": 1, "channels": [32, 64, 128, 256], "strides": [2, 2, 2]}


@dataclass(frozen=True)
class Measured:
    """One policy at one strength: distances of positive and negative pairs by space, and what a page shows.

    ``views`` are two of each of the first images, (3, 2, C, size, size); ``rows`` the features of 20 views of each of
    the first 12 images, (240, D), in the last space.
    """

    policy: str
    strength: float
    distances: dict[str, tuple[Tensor, Tensor]]
    views: Tensor
    rows: Tensor


def compare_views(settings: ViewSettings, sample: Sample, space: Space | None = None) -> list[Measured]:
    """Measures the pairs of a sample: of the images as they are, then of each setting.

    Distances are those of views averaged to 32 × 32 pixels and of a space, by default a random network's. Policies of
    the same operations draw the same numbers, so that what differs between two strengths is the strength.
    """
    pixels: Space = lambda views: adaptive_avg_pool2d(views, 32).flatten(2)  # noqa: E731
    spaces = {"pixels": pixels, "network": space or network_space(sample.image.shape[1])}
    original = Setting("none", 0.0, identity_policy(settings.size), {})
    choices = settings.choices(sample.image.shape[1], sample.volumetric).values()
    repeated, references = sample.image[:MAPPED].repeat_interleave(REPEATED, dim=0), dict[str, Tensor]()
    found = []
    for choice in progress_bar([original, *choices], "Views", unit="policy"):
        first, second = (make_views(sample.image, choice.policy, mix_seed(settings.seed, view)) for view in (1, 2))
        many = make_views(repeated, choice.policy, mix_seed(settings.seed, 3))
        references = references or {name: features_of(first, spaces[name]) for name in spaces}
        distances, rows = {}, many
        for name, reference in references.items():
            one, other, rows = (unit_rows(features_of(made, spaces[name]), reference) for made in (first, second, many))
            distances[name] = pair_distances(one, other, sample.patient)
        views = torch.stack([first[:PICTURED], second[:PICTURED]], dim=1)
        found.append(Measured(choice.name, choice.strength, distances, views, rows))
    return found


def make_views(images: Tensor, policy: ViewPolicy, seed: int) -> Tensor:
    """Views, float32 (N, C, size, size), of images (N, C, H, W)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.cat([policy({"image": batch.float()}, generator)["image"] for batch in images.split(BATCH)])


@torch.inference_mode()
def features_of(views: Tensor, space: Space) -> Tensor:
    """Features (N, G, K) of views (N, C, H, W)."""
    return torch.cat([space(batch) for batch in views.split(BATCH)])


def network_space(network: str | Path | int, checkpoint: str | Path | None = None) -> Space:
    """The embedding of a network: the CLS token of a ``MultiCropViT``, else the average of the bottleneck.

    Args:
        network: JSON file whose ``network_def`` builds it, such as its bundle's configuration; views go through its
            ``standardization``, where it has one. A number of channels stands for MONAI's UNet, which takes away most
            of a change of brightness or contrast by its instance normalization.
        checkpoint: file of the weights, of which only tensors are read; None for untrained ones, always the same.

    Raises:
        ValueError: when the network is not known or does not fit the weights or, in use, the views.
    """
    try:
        unet = {"network_def": {**UNET, "in_channels": network}}
        parser = ConfigParser(unet if isinstance(network, int) else ConfigParser.load_config_file(network))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            net = parser.get_parsed_content("network_def").eval()
        embed = net if isinstance(net, MultiCropViT) else stages(net).embed
    except Exception as error:
        reason = f"{type(error).__name__}: {error.__cause__ or error}".splitlines()[0]
        raise ValueError(f"network {network}: no JSON file whose network_def makes a known one ({reason})") from error
    if checkpoint is not None:
        load_pretrained(net, checkpoint, part="all" if embed is net else "encoder")
    standardize = ViewPolicy([parser.get_parsed_content("standardization")] if "standardization" in parser else [])

    def space(views: Tensor) -> Tensor:
        image = standardize.apply({"image": views}, torch.empty(len(views), 0))["image"]  # nothing in it is random
        try:
            return embed(image)[:, :, None]
        except RuntimeError as error:
            raise ValueError(
                f"network {network}: does not take views of {tuple(views.shape[1:])}, channels first "
                f"({str(error).splitlines()[0]}); give images and a size as in its training"
            ) from error

    return space


def unit_rows(features: Tensor, originals: Tensor) -> Tensor:
    """Features (N, G, K) about the mean of those of the images as they are, as rows of unit length (N, G * K).

    Each group is divided by its standard deviation over the images; ValueError where all images look the same.
    """
    mean = originals.mean(dim=0)
    scale = (originals - mean).square().mean(dim=(0, 2)).sqrt()[:, None]
    if not scale.max() > 0:
        raise ValueError("all images of the sample look the same; give images that differ")
    scale = scale.clamp_min(1e-3 * float(scale.max()))  # what hardly varies over the images is not blown up
    return normalize(((features - mean) / scale).flatten(1), dim=1)


def pair_distances(first: Tensor, second: Tensor, patient: Tensor) -> tuple[Tensor, Tensor]:
    """Euclidean distances of positive and of negative pairs (Cheng et al., arXiv 2501.02451, eq. 1 and 2), float64.

    A positive pair is the two views of image i, a negative one the first view of i and the second of j, where i and j
    are of two patients, (N,). ``first`` and ``second`` are rows of the views, (N, D).
    """
    distances = torch.cdist(first.double(), second.double())  # by a product of matrices, which float32 makes coarse
    return (first - second).double().norm(dim=1), distances[patient[:, None] != patient[None, :]]


def auc(positive: Tensor, negative: Tensor) -> float:
    """Chance that a negative pair is farther apart than a positive one: P(d- > d+) + P(d- = d+) / 2, from 0 to 1."""
    statistic = mannwhitneyu(negative.numpy(), positive.numpy(), method="asymptotic").statistic
    return float(statistic) / (len(positive) * len(negative))
