# SPDX-License-Identifier: Apache-2.0
"""What the tissues of a phantom look like: contrast, texture, bias field, blur, noise and intensity scale."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from monai_cl_ext.data.phantom.anatomy import Grid, Tissue, Volume

CLEAR = 0.8
"""How often blood is much brighter than muscle, as in most cine MRI; else it is a little brighter."""


def draw_image(
    tissue: NDArray[np.uint8], grid: Grid, protocol: np.random.Generator, noise: np.random.Generator
) -> NDArray[np.uint8] | NDArray[np.int16]:
    """The image of a tissue map, same shape.

    Args:
        tissue: of each voxel, (height, width, slices).
        grid: the voxels.
        protocol: draws how the patient is imaged; the same draws for each frame of a patient.
        noise: draws the noise of this frame.
    """
    image = _draw_signal(tissue, grid, _draw_brightness(protocol), protocol, noise)
    if protocol.random() < 0.5:
        return (image * (255 / np.quantile(image[::2, ::2], 0.999))).clip(0, 255).astype(np.uint8)
    return _stored(image, protocol)


def draw_channels(
    tissue: NDArray[np.uint8],
    grid: Grid,
    protocol: np.random.SeedSequence,
    noise: np.random.SeedSequence,
    channels: int,
) -> NDArray[np.int16]:
    """Several images of a tissue map, (height, width, slices, channels), air exactly 0 as behind a mask.

    The tissues of a channel have the brightness of one sequence, unlike those of the channels beside it; bias field,
    blur, noise and scale are drawn for each.

    Args:
        tissue, grid: as in :func:`draw_image`.
        protocol, noise: seeds of what these generators draw there.
        channels: how many.
    """
    brightness = _draw_brightness(np.random.default_rng(protocol))
    images = []
    for number, seeds in enumerate(zip(protocol.spawn(channels), noise.spawn(channels), strict=True)):
        of_channel, of_noise = map(np.random.default_rng, seeds)
        image = _draw_signal(tissue, grid, _weighted(brightness, number), of_channel, of_noise)
        images.append(_stored(image, of_channel) * (tissue != Tissue.AIR))
    return np.stack(images, axis=-1)


def _weighted(brightness: NDArray[np.float32], channel: int) -> NDArray[np.float32]:
    """The brightness of each tissue in a channel: bright blood, black blood, fat suppressed, blood enhanced; again."""
    weighted = brightness.copy()
    blood = [Tissue.VESSEL, Tissue.ATRIUM, Tissue.RIGHT_VENTRICLE, Tissue.LEFT_VENTRICLE]
    if channel % 4 == 1:
        weighted = 1.25 - brightness
    elif channel % 4 == 2:
        weighted[Tissue.FAT], weighted[blood] = 0.1 * brightness[Tissue.FAT], 0.6 * brightness[blood]
    elif channel % 4 == 3:
        weighted[blood] = 1.8 * brightness[blood]
    return weighted.astype(np.float32)


def _draw_signal(
    tissue: NDArray[np.uint8],
    grid: Grid,
    brightness: NDArray[np.float32],
    protocol: np.random.Generator,
    noise: np.random.Generator,
) -> Volume:
    """The magnitude of the signal, in units of the brightness."""
    draw = protocol.uniform
    image = brightness[tissue]
    image = image * (1 + draw(0.02, 0.10) * grid.smooth_noise(protocol, 24))
    image = image * _draw_bias(grid, protocol)
    image = image * protocol.normal(1, 0.06, grid.size[2]).astype(np.float32)
    sigma = draw(0.4, 1.2)
    image = gaussian_filter(image, (sigma, sigma, 0))
    level = np.float32(draw(0.02, 0.09))
    shape = (2, *image.shape)
    real, imaginary = level * noise.standard_normal(shape, dtype=np.float32)
    return np.hypot(image + real, imaginary)  # Rician, as the magnitude of complex noise


def _stored(image: Volume, protocol: np.random.Generator) -> NDArray[np.int16]:
    """The signal in some thousands of units, as integers."""
    return (image * protocol.uniform(300, 4000)).clip(0, 32767).astype(np.int16)


def _draw_brightness(protocol: np.random.Generator) -> NDArray[np.float32]:
    """Mean signal of each tissue, by its number."""
    draw = protocol.uniform
    if protocol.random() < CLEAR:
        muscle, blood = draw(0.22, 0.45), draw(0.65, 1.0)
    else:
        muscle = draw(0.35, 0.55)
        blood = muscle + draw(0.10, 0.20)
    brightness = np.empty(len(Tissue), dtype=np.float32)
    brightness[Tissue.AIR] = 0.0
    brightness[Tissue.FAT] = draw(0.45, 1.1)
    brightness[Tissue.MUSCLE] = muscle * draw(0.7, 1.3)
    brightness[Tissue.LUNG] = draw(0.04, 0.18)
    brightness[Tissue.LIVER] = muscle * draw(0.8, 1.5)
    brightness[Tissue.VESSEL] = blood * draw(0.8, 1.1)
    brightness[Tissue.GUT_WALL] = muscle * draw(0.8, 1.2)
    brightness[Tissue.GUT] = draw(0.05, 1.0)
    brightness[Tissue.HEART_WALL] = muscle * draw(0.9, 1.1)
    brightness[Tissue.ATRIUM] = blood * draw(0.85, 1.05)
    brightness[Tissue.RIGHT_VENTRICLE] = blood * draw(0.8, 1.05)
    brightness[Tissue.MYOCARDIUM] = muscle
    brightness[Tissue.LEFT_VENTRICLE] = blood
    brightness[Tissue.PAPILLARY] = muscle * draw(1.0, 1.2)
    return brightness


def _draw_bias(grid: Grid, protocol: np.random.Generator) -> Volume:
    """Receive field of a coil beside the chest, times a smooth field: a factor around 1."""
    x, y = (coordinate / 100 for coordinate in grid.coordinates())
    direction, strength = protocol.uniform(0, 2 * np.pi), protocol.uniform(0.2, 1.1)
    slope = strength * (np.cos(direction) * x + np.sin(direction) * y)
    bend = protocol.uniform(-0.5, 0.3) * (x**2 + y**2)
    return np.exp(slope + bend + protocol.uniform(0.03, 0.15) * grid.smooth_noise(protocol, 4)).astype(np.float32)
