# SPDX-License-Identifier: Apache-2.0
"""Generators of learned augmentation: a field of displacements or of intensities, of an image and of noise."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence

import torch
from monai.networks.layers.factories import Conv, Norm, Pad
from torch import Tensor, nn

from monai_cl_ext.arguments import one_of, per_axis, positive_integer, positive_number
from monai_cl_ext.networks.fields import folded, warped
from monai_cl_ext.numerics import at_least_float32

NOISE = 100
START, WIDTHS = 128, (128, 64, 32, 16, 16)  # of the path of the noise
WIDTH = 16


def start_size(image_size: int | Sequence[int], spatial_dims: int) -> tuple[int, ...]:
    """A 32nd of an image size; a ValueError where there is none."""
    size = per_axis("image_size", image_size, one_of("spatial_dims", spatial_dims, (2, 3)), positive_integer)
    if any(side % 32 for side in size):
        raise ValueError(f"image_size must be multiples of 32 for the networks of learned augmentation, found {size}")
    return tuple(side // 32 for side in size)


class FieldGenerator(nn.Module):
    """The generator of Chaitanya et al. (IPMI 2019; MedIA 2021), whose field changes images and their labels alike.

    Noise is spread over the image by a linear layer and five levels of bilinear upsampling and a 2x2 unit; two 3x3
    units read the image; two more read both. A unit is convolution with bias, batch normalization (eps 1e-3), ReLU; the
    last level of the noise has the convolution alone. It is made for one image size.

    Args:
        image_size: multiples of 32.
        in_channels: of the images.
        spatial_dims: 2 or 3.
        head: from maps of 16 channels to the field.
    """

    def __init__(self, image_size: int | Sequence[int], in_channels: int, spatial_dims: int, head: nn.Module) -> None:
        super().__init__()
        start = start_size(image_size, spatial_dims)
        self.image_size = tuple(32 * side for side in start)
        levels: list[nn.Module] = []
        for before, after in zip((START, *WIDTHS), WIDTHS, strict=False):
            levels.append(nn.Upsample(scale_factor=2.0, mode="bilinear" if spatial_dims == 2 else "trilinear"))
            # TensorFlow's SAME padding of an even kernel puts the extra row at the far end
            levels.append(Pad[Pad.CONSTANTPAD, spatial_dims]((0, 1) * spatial_dims, 0.0))
            levels += _unit(spatial_dims, before, after, kernel=2)
        flat = math.prod(start) * START
        self.of_noise = nn.Sequential(
            nn.Linear(NOISE, flat), nn.ReLU(inplace=True), nn.Unflatten(1, (START, *start)), *levels[:-2]
        )
        channels = positive_integer("in_channels", in_channels)
        self.of_image = nn.Sequential(*_unit(spatial_dims, channels, WIDTH), *_unit(spatial_dims, WIDTH, WIDTH))
        self.of_both = nn.Sequential(*_unit(spatial_dims, 2 * WIDTH, WIDTH), *_unit(spatial_dims, WIDTH, WIDTH))
        self.head = head
        self.apply(initialize)

    def forward(self, image: Tensor, noise: Tensor) -> Tensor:
        """The field, in float32 at least.

        Args:
            image: (B, in_channels, *image_size).
            noise: (B, 100), standard normal.

        Raises:
            ValueError: for images of another size.
        """
        if image.shape[2:] != self.image_size:
            raise ValueError(
                f"the generator was made for images of {self.image_size}, found {tuple(image.shape[2:])}: give it the "
                "image_size of the views"
            )
        both = torch.cat([self.of_noise(noise), self.of_image(image)], dim=1)
        field = self.head(self.of_both(both))
        return field.to(at_least_float32(field.dtype))

    @abstractmethod
    def changed(self, image: Tensor, field: Tensor) -> Tensor:
        """Images (B, in_channels, *S) under a field; where it is 0 they stay."""

    @abstractmethod
    def changed_label(self, label: Tensor, field: Tensor) -> Tensor:
        """One-hot labels (B, classes, *S) under the field of their images, soft ones."""

    @abstractmethod
    def told(self, field: Tensor) -> dict[str, Tensor]:
        """What to watch of a field, by name, detached."""


class DeformationGenerator(FieldGenerator):
    """Displacements in pixels, (B, axes, *S); an image shows at p what was at p - field(p).

    Nothing bounds them: watch their mean length, "displacement", and the share of "folded" pixels.

    Args:
        image_size, in_channels, spatial_dims: as of ``FieldGenerator``.
        maximum: clips each component, in pixels; None clips nothing, as released.
    """

    def __init__(
        self,
        image_size: int | Sequence[int],
        in_channels: int = 1,
        spatial_dims: int = 2,
        maximum: float | None = None,
    ) -> None:
        head = Conv[Conv.CONV, spatial_dims](WIDTH, spatial_dims, kernel_size=3, padding=1)
        super().__init__(image_size, in_channels, spatial_dims, head)
        self.maximum = None if maximum is None else positive_number("maximum", maximum)

    def forward(self, image: Tensor, noise: Tensor) -> Tensor:
        """The displacements."""
        field = super().forward(image, noise)
        return field if self.maximum is None else field.clamp(-self.maximum, self.maximum)

    def changed(self, image: Tensor, field: Tensor) -> Tensor:
        """The images warped."""
        return warped(image, field)

    def changed_label(self, label: Tensor, field: Tensor) -> Tensor:
        """The labels warped alike."""
        return warped(label, field)

    def told(self, field: Tensor) -> dict[str, Tensor]:
        """Mean length of a displacement in pixels, and the share of pixels where the field folds."""
        field = field.detach()
        return {"displacement": field.norm(dim=1).mean(), "folded": folded(field)}


class IntensityGenerator(FieldGenerator):
    """Intensities in (-1, 1) that are added to an image, (B, in_channels, *S); labels stay.

    Args:
        image_size, in_channels, spatial_dims: as of ``FieldGenerator``.
    """

    def __init__(self, image_size: int | Sequence[int], in_channels: int = 1, spatial_dims: int = 2) -> None:
        head = Conv[Conv.CONV, spatial_dims](WIDTH, in_channels, kernel_size=1, bias=False)
        super().__init__(image_size, in_channels, spatial_dims, nn.Sequential(head, nn.Tanh()))

    def changed(self, image: Tensor, field: Tensor) -> Tensor:
        """The images with the field added."""
        return image + field

    def changed_label(self, label: Tensor, field: Tensor) -> Tensor:
        """The labels as they are."""
        return label

    def told(self, field: Tensor) -> dict[str, Tensor]:
        """Mean size of the change."""
        return {"change": field.detach().abs().mean()}


def _unit(dims: int, before: int, after: int, kernel: int = 3) -> list[nn.Module]:
    return [
        Conv[Conv.CONV, dims](before, after, kernel_size=kernel, padding=1 if kernel == 3 else 0),
        Norm[Norm.BATCH, dims](after, eps=1e-3),
        nn.ReLU(inplace=True),
    ]


def initialize(module: nn.Module) -> None:
    """Weights as released: convolutions N(0, sqrt(2 / fan-in)), linear layers N(0, 0.01) within two deviations."""
    if isinstance(module, (nn.Conv2d, nn.Conv3d)):
        nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
    elif isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.01, a=-0.02, b=0.02)
    else:
        return
    if module.bias is not None:
        nn.init.zeros_(module.bias)
