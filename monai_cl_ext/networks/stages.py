# SPDX-License-Identifier: Apache-2.0
"""Encoder levels and decoder blocks of U-shaped networks, one interface for all of them."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from functools import singledispatch
from itertools import chain

import torch
from monai.networks.nets import BasicUNet, DynUNet, SegResNet
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from monai_cl_ext.networks.gcl_unet import GCLUNet


class Stages(nn.Module):
    """A network seen as encoder levels, decoder blocks and an output layer; made by :func:`stages`.

    The network is a submodule, so a method that keeps only its stages owns the parameters, and computing through the
    stages trains the network itself. This class serves networks whose levels follow each other and whose blocks take
    (map from below, skip); others override :meth:`encode` and :meth:`decode_block`.

    Args:
        network: the network.
        encoder: names of the submodules that are its levels, shallow to bottleneck.
        blocks: names of the submodules of each decoder block, the bottleneck's neighbour first.
        output: name of the submodule that makes the network's result from the last block's map.

    Attributes:
        channels: widths of the encoder's features, the bottleneck last.
        decoder_channels: widths of the maps after the first, second ... decoder block.
        encoder_prefixes: names of the encoder's submodules inside the network; they select its tensors in a state_dict.
        block_prefixes: the same for each decoder block.
        spatial_dims: number of spatial axes of its images.
    """

    def __init__(
        self, network: nn.Module, encoder: Sequence[str], blocks: Sequence[str | tuple[str, ...]], output: str
    ) -> None:
        super().__init__()
        self.network = network
        self.encoder_prefixes = tuple(encoder)
        self.block_prefixes = tuple((block,) if isinstance(block, str) else block for block in blocks)
        self.output_prefix = output
        self.channels: tuple[int, ...] = tuple(_width(network.get_submodule(name)) for name in self.encoder_prefixes)
        self.decoder_channels: tuple[int, ...] = tuple(
            _width(network.get_submodule(names[-1])) for names in self.block_prefixes
        )
        self.spatial_dims = next(layer.weight.ndim - 2 for layer in network.modules() if isinstance(layer, _ConvNd))

    def encode(self, x: Tensor) -> list[Tensor]:
        """Features of the images (B, C, *S), one map for each level, from shallow to deep, the bottleneck last."""
        features = []
        for name in self.encoder_prefixes:
            x = self.network.get_submodule(name)(x)
            features.append(x)
        return features

    def decode(self, features: Sequence[Tensor], blocks: int | None = None) -> Tensor:
        """Map after decoder block number ``blocks``, counted from the bottleneck; after the last one when None.

        Args:
            features: what :meth:`encode` returned.
            blocks: 1 for the block next to the bottleneck, and so on.

        Raises:
            ValueError: when the network has no such block.
        """
        x = features[-1]
        for index in range(self._checked(blocks)):
            x = self.decode_block(index, x, features[-2 - index])
        return x

    def decode_block(self, index: int, x: Tensor, skip: Tensor) -> Tensor:
        """Result of decoder block ``index`` (0 is the bottleneck's neighbour) for the map below it and its skip."""
        return self.network.get_submodule(self.block_prefixes[index][0])(x, skip)

    def output(self, decoded: Tensor) -> Tensor:
        """The network's own result from the map after the last decoder block."""
        return self.network.get_submodule(self.output_prefix)(decoded)

    def embed(self, x: Tensor) -> Tensor:
        """Global average of the bottleneck, (B, channels[-1]), of the images (B, C, *S)."""
        return self.encode(x)[-1].flatten(2).mean(dim=2)

    def forward(self, x: Tensor) -> Tensor:
        """The same as :meth:`embed`."""
        return self.embed(x)

    def encoder_parameters(self) -> Iterator[nn.Parameter]:
        """Parameters of the encoder."""
        return self._parameters_of(self.encoder_prefixes)

    def decoder_parameters(self, blocks: int | None = None) -> Iterator[nn.Parameter]:
        """Parameters of the first ``blocks`` decoder blocks, counted from the bottleneck; of all when None.

        Raises:
            ValueError: when the network has fewer blocks.
        """
        return self._parameters_of(chain.from_iterable(self.block_prefixes[: self._checked(blocks)]))

    @torch.no_grad()
    def bottleneck_size(self, image_size: Sequence[int]) -> tuple[int, ...]:
        """Spatial size of the bottleneck for images of the spatial size ``image_size``, in pixels."""
        shadow = copy.deepcopy(self).to("meta").eval()  # shapes only, nothing is computed
        first = next(module for module in shadow.modules() if isinstance(module, _ConvNd))
        image = torch.empty(1, first.in_channels, *image_size, device="meta")
        return tuple(shadow.encode(image)[-1].shape[2:])

    def _checked(self, blocks: int | None) -> int:
        found = len(self.block_prefixes)
        if blocks is not None and not 1 <= blocks <= found:
            raise ValueError(f"blocks must be from 1 to {found} for {type(self.network).__name__}, found {blocks!r}")
        return found if blocks is None else blocks

    def _parameters_of(self, names: Iterator[str] | Sequence[str]) -> Iterator[nn.Parameter]:
        return chain.from_iterable(self.network.get_submodule(name).parameters() for name in names)


class SegResNetStages(Stages):
    """Stages of MONAI's SegResNet: skips are added, and the first convolution belongs to the first level."""

    def __init__(self, network: SegResNet) -> None:
        levels, blocks = len(network.down_layers), len(network.up_layers)
        super().__init__(
            network,
            encoder=("convInit", *(f"down_layers.{index}" for index in range(levels))),
            blocks=[(f"up_samples.{index}", f"up_layers.{index}") for index in range(blocks)],
            output="conv_final",
        )
        self.channels = tuple(network.init_filters * 2**index for index in range(levels))

    def encode(self, x: Tensor) -> list[Tensor]:
        """Features of the images (B, C, *S), from shallow to deep, the bottleneck last."""
        return self.network.encode(x)[1]  # type: ignore[operator]

    def decode_block(self, index: int, x: Tensor, skip: Tensor) -> Tensor:
        """Result of decoder block ``index`` (0 is the bottleneck's neighbour) for the map below it and its skip."""
        upsample, block = (self.network.get_submodule(name) for name in self.block_prefixes[index])
        return block(upsample(x) + skip)

    def output(self, decoded: Tensor) -> Tensor:
        """The network's own result from the map after the last decoder block."""
        return super().output(decoded) if self.network.use_conv_final else decoded


@singledispatch
def stages(net: nn.Module) -> Stages:
    """The stages of a network, chosen by its class or a base class of it.

    Known are GCLUNet and MONAI's BasicUNet, SegResNet and DynUNet, 2D and 3D. ``stages.register(MyNet, function)``
    adds a class; the function takes the network and returns its :class:`Stages`.

    Args:
        net: the network itself, not wrapped (in DistributedDataParallel, for example).

    Raises:
        TypeError: when the class is unknown.
        ValueError: when a DynUNet has deep supervision.
    """
    known = sorted(kind.__name__ for kind in stages.registry if kind is not object)
    raise TypeError(
        f"net must be one of {', '.join(known)}, found {type(net).__name__}:"
        " unwrap it, or add its class with stages.register(class, function)"
    )


def _gcl_unet(net: GCLUNet) -> Stages:
    return Stages(
        net,
        encoder=[f"encoder.{index}" for index in range(len(net.encoder))],
        blocks=[f"decoder.{index}" for index in range(len(net.decoder))],
        output="output",
    )


def _basic_unet(net: BasicUNet) -> Stages:
    return Stages(
        net,
        encoder=("conv_0", "down_1", "down_2", "down_3", "down_4"),
        blocks=("upcat_4", "upcat_3", "upcat_2", "upcat_1"),
        output="final_conv",
    )


def _dyn_unet(net: DynUNet) -> Stages:
    if net.deep_supervision:
        raise ValueError(
            "a DynUNet with deep supervision returns more than its last map: pre-train one with deep_supervision=False,"
            " then load_pretrained(net, path, part='encoder') into yours"
        )
    return Stages(
        net,
        encoder=("input_block", *(f"downsamples.{index}" for index in range(len(net.downsamples))), "bottleneck"),
        blocks=[f"upsamples.{index}" for index in range(len(net.upsamples))],
        output="output_block",
    )


stages.register(GCLUNet, _gcl_unet)
stages.register(BasicUNet, _basic_unet)
stages.register(DynUNet, _dyn_unet)
stages.register(SegResNet, SegResNetStages)


def _width(module: nn.Module) -> int:
    return [layer for layer in module.modules() if isinstance(layer, _ConvNd)][-1].out_channels
