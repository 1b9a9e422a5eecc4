# SPDX-License-Identifier: Apache-2.0
"""Decoders beside a network's own, which upsample in other ways."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from monai.networks.layers.factories import Conv
from torch import nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from monai_cl_ext.arguments import per_axis, positive_integer
from monai_cl_ext.networks.stages import Stages

KINDS = "transposed", "linear", "nearest"
LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}


class _Upsampling(NamedTuple):
    """A layer of a decoder that upsamples: its name in the network, its widths and its factor of each axis."""

    name: str
    kind: str
    before: int
    after: int
    factor: tuple[int, ...]


def decoder_variants(stages: Stages, count: int = 2) -> list[Stages]:
    """Decoders that differ from a network's own in their upsampling, for the features of its encoder (MC-Net+).

    A variant is a copy of the stages without encoder: ``variant.output(variant.decode(stages.encode(image)))`` are its
    logits. Each strided transposed convolution and each ``torch.nn.Upsample`` of the copy is replaced by one of these,
    new and initialized as torch does, in the first variant by the first that is not the network's own way, in the next
    by the one after it:

    - "transposed": a transposed convolution whose kernel is its stride,
    - "linear": a 1x1 convolution and (bi-, tri-)linear upsampling with aligned corners,
    - "nearest": a 1x1 convolution and nearest-neighbor upsampling.

    All other weights are copies, so that a decoder that was pre-trained is so in each variant. They keep their names in
    ``variant.network``, by which layers of two decoders can be compared.

    Args:
        stages: of the network.
        count: number of variants, 1 or 2.

    Raises:
        ValueError: when there are to be more, or the decoder has no such layers, as one that shuffles pixels.
    """
    layers = list(_upsamplings(stages))
    if not layers:
        raise ValueError(
            f"decoders that differ in upsampling need a network that upsamples by transposed convolutions or by"
            f" torch.nn.Upsample, found neither in the decoder of {type(stages.network).__name__}: build it with one of"
            " these, or take another network, such as BasicUNet"
        )
    others = [kind for kind in KINDS if kind != layers[0].kind][:2]
    if positive_integer("count", count) > len(others):
        raise ValueError(f"count must be 1 or 2, for there are three ways of upsampling, found {count}")
    return [_with_upsampling(stages, layers, kind) for kind in others[:count]]


def _with_upsampling(stages: Stages, layers: Sequence[_Upsampling], kind: str) -> Stages:
    variant = stages.decoder_copy()
    weight = next(variant.network.parameters())
    for layer in layers:
        parent, _, name = layer.name.rpartition(".")
        setattr(variant.network.get_submodule(parent), name, _upsampling(kind, layer).to(weight.device, weight.dtype))
    return variant


def _upsampling(kind: str, layer: _Upsampling) -> nn.Module:
    dims = len(layer.factor)
    if kind == "transposed":
        return Conv[Conv.CONVTRANS, dims](layer.before, layer.after, kernel_size=layer.factor, stride=layer.factor)
    resize = (
        nn.Upsample(scale_factor=layer.factor, mode=LINEAR[dims], align_corners=True)
        if kind == "linear"
        else nn.Upsample(scale_factor=layer.factor)
    )
    return nn.Sequential(Conv[Conv.CONV, dims](layer.before, layer.after, kernel_size=1), resize)


def _upsamplings(stages: Stages) -> Iterator[_Upsampling]:
    """The upsampling layers of the decoder blocks; ``Upsample`` has the width of the convolution before it."""
    below = stages.channels[-1]
    for prefixes, width in zip(stages.block_prefixes, stages.decoder_channels, strict=True):
        for prefix in prefixes:
            channels = below
            for name, layer in stages.network.get_submodule(prefix).named_modules(prefix=prefix):
                if isinstance(layer, _ConvTransposeNd) and max(layer.stride) > 1:
                    yield _Upsampling(name, "transposed", layer.in_channels, layer.out_channels, layer.stride)
                elif isinstance(layer, nn.Upsample) and layer.scale_factor is not None:
                    factor = per_axis(
                        "scale_factor", layer.scale_factor, stages.spatial_dims, lambda _, value: int(value)
                    )
                    kind = "linear" if layer.mode in LINEAR.values() else layer.mode
                    yield _Upsampling(name, kind, channels, channels, factor)
                if isinstance(layer, _ConvNd):
                    channels = layer.out_channels
        below = width
