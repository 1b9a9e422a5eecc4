# SPDX-License-Identifier: Apache-2.0
"""The spaces in which distances are measured: pixels, a random encoder's features, a checkpoint's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from monai.bundle import ConfigParser
from monai.networks.nets import UNet
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from monai_cl_ext.networks import MultiCropViT, load_pretrained, stages
from monai_cl_ext.transforms import ViewPolicy

PIXELS, RANDOM, CHECKPOINT = "pixels", "random encoder", "checkpoint"
SIDE, LARGEST = 32, 96
ENCODER = {"channels": (32, 64, 128, 256), "strides": (2, 2, 2)}
WEIGHTS = 0
"""Seed of the random encoder's weights: one encoder for all data sets, so that its figures compare."""


@dataclass(frozen=True)
class Space:
    """Features of views.

    Attributes:
        name: of the space.
        told: a sentence on what they are.
        features: from views (B, C, H, W) to (B, G, K); the K features of a group are alike, and scaled by one number.
    """

    name: str
    told: str
    features: Callable[[Tensor], Tensor]


def pixel_space() -> Space:
    """The pixels of a view, averaged to 32 x 32; each channel is a group."""
    told = f"{PIXELS}: the view averaged to {SIDE} x {SIDE} pixels."
    return Space(PIXELS, told, lambda views: adaptive_avg_pool2d(views, SIDE).flatten(2))


def random_space(channels: int) -> Space:
    """Features of MONAI's UNet with the weights that it starts from; views above 96 pixels are shrunk to 96.

    The embedding is the global average of its bottleneck of 256 channels. Its instance normalisation, the network's
    default, takes away most of a change of brightness or contrast of the whole image, which the pixels tell.

    Args:
        channels: of the images.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(WEIGHTS)
        encoder = stages(UNet(2, channels, 1, **ENCODER)).eval()

    def features(views: Tensor) -> Tensor:
        if max(views.shape[2:]) > LARGEST:
            views = interpolate(views, size=(LARGEST, LARGEST), mode="bilinear", antialias=True, align_corners=False)
        return encoder.embed(views)[:, :, None]

    width, levels = encoder.channels[-1], len(encoder.channels)
    told = (
        f"{RANDOM}: the global average of the bottleneck ({width} channels) of MONAI's UNet of {levels} levels with "
        f"instance normalisation and untrained weights (seed {WEIGHTS}), on views of at most {LARGEST} pixels."
    )
    return Space(RANDOM, told, features)


def checkpoint_space(checkpoint: str | Path, network: str | Path) -> Space:
    """Features of a checkpoint: the CLS token of a ``MultiCropViT``, of others the global average of the bottleneck.

    Args:
        checkpoint: file of its weights; only tensors are read of it.
        network: configuration whose ``network_def`` builds the network, such as the bundle's that trained it. Where
            it has a ``standardisation``, as bundles of photographs have, the views go through it.

    Raises:
        FileNotFoundError: when a file is absent.
        ValueError: when there is no ``network_def``, the network has no known stages, or the weights do not fit; in
            use, when the network does not take the views.
    """
    if not Path(network).is_file():
        raise FileNotFoundError(f"network {network}: found no such file; give the configuration with the network_def")
    parser = ConfigParser(ConfigParser.load_config_file(network))
    if "network_def" not in parser:
        raise ValueError(f"network {network}: expected an entry 'network_def', found none; name the network so")
    net = parser.get_parsed_content("network_def")
    embed = _embedding_of(net, network)
    load_pretrained(net, checkpoint, part="all" if isinstance(net, MultiCropViT) else "encoder")
    told = f"{CHECKPOINT}: the embedding of {type(net).__name__} with the weights of {Path(checkpoint).name}."
    standardisation = [parser.get_parsed_content("standardisation")] if "standardisation" in parser else []
    standardise = ViewPolicy(standardisation)

    def features(views: Tensor) -> Tensor:
        image = standardise.apply({"image": views}, torch.empty(len(views), 0))["image"]  # nothing in it is random
        try:
            return embed(image)[:, :, None]
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            raise ValueError(
                f"network {network}: does not take views of {tuple(views.shape[1:])}, channels first ({reason}); give "
                "images and a size as in its training"
            ) from error

    return Space(CHECKPOINT, told, features)


def _embedding_of(net: nn.Module, source: str | Path) -> nn.Module:
    if isinstance(net, MultiCropViT):
        return net.eval()
    try:
        return stages(net).eval()
    except TypeError as error:
        raise ValueError(f"network {source}: {error}") from error
