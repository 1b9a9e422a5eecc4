# SPDX-License-Identifier: Apache-2.0
"""Common interface to the encoder levels, decoder blocks and output layer of U-shaped networks."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from itertools import chain

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from monai_cl_ext.arguments import per_axis, positive_integer


class Stages(nn.Module):
    """Encoder levels, decoder blocks and output layer of a network; made by :func:`stages`.

    The network is a submodule: a method that keeps only its stages owns the parameters, and computing through the
    stages trains the network itself. This class serves networks with sequential levels and decoder blocks called with
    (map from below, skip); others override :meth:`encode` and :meth:`decode_block`.

    Args:
        network: the network.
        encoder: names of the submodules that are its levels, from shallow to deep.
        blocks: names of the submodules of each decoder block, counted from the bottleneck.
        output: name of the submodule from the last block's map to the network's result; None where this map is the
            result.
        channels: widths of the features; None where each encoder submodule is a level with a last convolution.

    Attributes:
        channels: widths of the encoder's features, the bottleneck last.
        decoder_channels: widths of the maps after the first, second ... decoder block.
        encoder_prefixes: names of the encoder's submodules, the prefixes of its tensors in the network's state_dict.
        block_prefixes: the same for each decoder block.
        spatial_dims: number of spatial axes of its images.
    """

    def __init__(
        self,
        network: nn.Module,
        encoder: Sequence[str],
        blocks: Sequence[str | tuple[str, ...]],
        output: str | None,
        channels: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.encoder_prefixes = tuple(encoder)
        self.block_prefixes = tuple((block,) if isinstance(block, str) else block for block in blocks)
        self.output_prefix = output
        self.channels: tuple[int, ...] = tuple(
            (width_of(network.get_submodule(name)) for name in self.encoder_prefixes) if channels is None else channels
        )
        self.decoder_channels: tuple[int, ...] = tuple(
            width_of(network.get_submodule(names[-1])) for names in self.block_prefixes
        )
        self.spatial_dims = first_convolution(network).weight.ndim - 2

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
            ValueError: when the network has no such block, or no decoder at all.
        """
        return self.decoder_maps(features, blocks)[-1]

    def decoder_maps(self, features: Sequence[Tensor], blocks: int | None = None) -> list[Tensor]:
        """The maps after each of the first ``blocks`` decoder blocks; arguments and errors as of :meth:`decode`."""
        x, maps = features[-1], []
        for index in range(self._block_count(blocks)):
            x = self.decode_block(index, x, features[-2 - index])
            maps.append(x)
        return maps

    def decode_block(self, index: int, x: Tensor, skip: Tensor) -> Tensor:
        """Map after decoder block ``index``, 0 next to the bottleneck, of the map below it and its skip."""
        return self.network.get_submodule(self.block_prefixes[index][0])(x, skip)

    def output(self, decoded: Tensor) -> Tensor:
        """The network's own result from the map after the last decoder block."""
        return decoded if self.output_prefix is None else self.network.get_submodule(self.output_prefix)(decoded)

    @property
    def out_channels(self) -> int:
        """Channels of the network's own result, the classes of a network that segments."""
        if self.output_prefix is None:
            return self.decoder_channels[-1]
        return width_of(self.network.get_submodule(self.output_prefix))

    def embed(self, x: Tensor) -> Tensor:
        """Global average of the bottleneck, (B, channels[-1]), of the images (B, C, *S)."""
        return self.pooled(self.encode(x)[-1])

    @staticmethod
    def pooled(features: Tensor) -> Tensor:
        """Global average (B, C) of a map (B, C, *S)."""
        return features.flatten(2).mean(dim=2)

    def forward(self, x: Tensor) -> Tensor:
        """The same as :meth:`embed`."""
        return self.embed(x)

    def encoder_copy(self) -> Stages:
        """A copy without decoder and output layer, for a teacher that embeds and does no more."""
        copied = copy.deepcopy(self)
        left_out = copied._decoder()
        for parent in list(copied.modules()):  # a DynUNet names its blocks twice
            for name, child in list(parent.named_children()):
                if any(child is module for module in left_out):
                    setattr(parent, name, nn.Identity())
        return copied

    def decoder_copy(self) -> Stages:
        """A copy without encoder, for another decoder of the features that this one encodes."""
        copied = copy.deepcopy(self)
        _keep_only(copied._decoder(), copied.network)
        return copied

    def encoder_parameters(self) -> Iterator[nn.Parameter]:
        """Parameters of the encoder."""
        return self._parameters_of(self.encoder_prefixes)

    def decoder_parameters(self, blocks: int | None = None) -> Iterator[nn.Parameter]:
        """Parameters of the first ``blocks`` decoder blocks, counted from the bottleneck; of all when None.

        Raises:
            ValueError: when the network has fewer blocks, or no decoder at all.
        """
        return self._parameters_of(chain.from_iterable(self.block_prefixes[: self._block_count(blocks)]))

    @torch.no_grad()
    def bottleneck_size(self, image_size: int | Sequence[int]) -> tuple[int, ...]:
        """Spatial size of the bottleneck for images of the spatial size ``image_size``, in pixels.

        Raises:
            ValueError: when ``image_size`` is neither one number nor one for each axis.
        """
        size = per_axis("image_size", image_size, self.spatial_dims, positive_integer)
        shadow = copy.deepcopy(self).to("meta").eval()  # shapes alone
        image = torch.empty(1, first_convolution(shadow).in_channels, *size, device="meta")
        return tuple(shadow.encode(image)[-1].shape[2:])

    def _decoder(self) -> list[nn.Module]:
        """The submodules of decoder blocks and output layer."""
        output = () if self.output_prefix is None else (self.output_prefix,)
        return [self.network.get_submodule(name) for name in chain(*self.block_prefixes, output)]

    def _block_count(self, blocks: int | None) -> int:
        found = len(self.block_prefixes)
        if found == 0:
            raise ValueError(
                f"{type(self.network).__name__} is an encoder and has no decoder blocks: use a method that trains the"
                " encoder alone, or take a network with a decoder, such as BasicUNet"
            )
        if blocks is not None and not 1 <= blocks <= found:
            raise ValueError(f"blocks must be from 1 to {found} for {type(self.network).__name__}, found {blocks!r}")
        return found if blocks is None else blocks

    def _parameters_of(self, names: Iterator[str] | Sequence[str]) -> Iterator[nn.Parameter]:
        return chain.from_iterable(self.network.get_submodule(name).parameters() for name in names)


def width_of(module: nn.Module) -> int:
    """Channels of the map that a submodule gives, those of its last convolution."""
    return [layer for layer in module.modules() if isinstance(layer, _ConvNd)][-1].out_channels


def first_convolution(module: nn.Module) -> _ConvNd:
    """The first convolution of a network, which knows the number of spatial axes and of the image's channels."""
    return next(layer for layer in module.modules() if isinstance(layer, _ConvNd))


def _keep_only(kept: list[nn.Module], parent: nn.Module) -> None:
    """Replaces what lies in ``parent`` and neither is one of ``kept`` nor holds one by identities."""
    for name, child in list(parent.named_children()):
        if any(child is module for module in kept):
            continue
        if any(module in kept for module in child.modules()):
            _keep_only(kept, child)
        else:
            setattr(parent, name, nn.Identity())
