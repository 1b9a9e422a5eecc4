# SPDX-License-Identifier: Apache-2.0
"""Where the tissues of a phantom are: a beating heart in short axis, among its neighbors."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Volume = NDArray[np.float32]
"""A field over the volume, (height, width, slices), or something that broadcasts to it."""


class Tissue(IntEnum):
    """What a voxel is made of; :data:`LABEL_OF_TISSUE` says what its label is."""

    AIR = 0
    FAT = 1
    MUSCLE = 2
    LUNG = 3
    LIVER = 4
    VESSEL = 5
    GUT_WALL = 6
    GUT = 7
    HEART_WALL = 8  # of the right ventricle and the atria, unlabeled as in ACDC
    ATRIUM = 9
    RIGHT_VENTRICLE = 10
    MYOCARDIUM = 11
    LEFT_VENTRICLE = 12
    PAPILLARY = 13  # muscle inside the cavity, labeled as cavity as in ACDC


LABEL_OF_TISSUE = np.zeros(len(Tissue), dtype=np.uint8)
LABEL_OF_TISSUE[Tissue.RIGHT_VENTRICLE] = 1
LABEL_OF_TISSUE[Tissue.MYOCARDIUM] = 2
LABEL_OF_TISSUE[[Tissue.LEFT_VENTRICLE, Tissue.PAPILLARY]] = 3


@dataclass(frozen=True)
class Grid:
    """The voxels of a volume: in-plane size, number of slices and spacing in mm."""

    size: tuple[int, int, int]
    spacing: tuple[float, float, float]

    def coordinates(self) -> tuple[Volume, Volume]:
        """In-plane distances from the center in mm, (height, 1, 1) and (1, width, 1)."""
        x, y = (
            (np.arange(n, dtype=np.float32) - (n - 1) / 2) * np.float32(d)
            for n, d in zip(self.size[:2], self.spacing[:2], strict=True)
        )
        return x[:, None, None], y[None, :, None]

    def smooth_noise(self, generator: np.random.Generator, knots: int) -> Volume:
        """A field of mean 0 and standard deviation of about 0.6, linear between ``knots`` random values a side."""
        coarse = generator.standard_normal((knots, knots, 3), dtype=np.float32)
        height, width, slices = (_hats(n, m) for n, m in zip(self.size, coarse.shape, strict=True))
        along = np.tensordot(height, coarse, 1)
        return np.matmul(width, along) @ slices.T


def _hats(points: int, knots: int) -> Volume:
    """Weights of linear interpolation from ``knots`` to ``points``, (points, knots)."""
    place = np.linspace(0, knots - 1, points, dtype=np.float32)
    return np.clip(1 - np.abs(place[:, None] - np.arange(knots, dtype=np.float32)), 0, None)


def draw_anatomy(grid: Grid, anatomy: np.random.Generator, contraction: float) -> NDArray[np.uint8]:
    """Tissue of each voxel, (height, width, slices), slices from base to apex.

    Args:
        grid: the voxels.
        anatomy: draws the patient; the same draws for each frame of a patient.
        contraction: 0 at end-diastole, 1 at end-systole.
    """
    draw = anatomy.uniform
    x, y = grid.coordinates()
    x = x + draw(1.5, 4.0) * grid.smooth_noise(anatomy, 5)
    y = y + draw(1.5, 4.0) * grid.smooth_noise(anatomy, 5)
    # Breath-holds differ between slices; they also move the heart off the center.
    slices = grid.size[2]
    x = x - draw(-18, 18) - anatomy.normal(0, 1.2, slices).astype(np.float32)
    y = y - draw(-18, 18) - anatomy.normal(0, 1.2, slices).astype(np.float32)
    x, y = _turned(x, y, np.deg2rad(draw(-20, 20)))
    height = np.linspace(draw(-0.12, 0.08), draw(0.86, 1.06), slices, dtype=np.float32)  # 0 base, 1 apex

    tissue = _draw_chest(grid, anatomy, x, y, height)
    _draw_heart(grid, anatomy, x, y, height, contraction, tissue)
    return tissue


def _draw_chest(grid: Grid, anatomy: np.random.Generator, x: Volume, y: Volume, height: Volume) -> NDArray[np.uint8]:
    """Lungs, chest wall, liver, gut and vessels around the origin, where the heart will be."""
    draw = anatomy.uniform
    tissue = np.full(np.broadcast_shapes(x.shape, y.shape, grid.size), Tissue.AIR, dtype=np.uint8)
    body = _ellipse(x, y, (draw(-35, 5), draw(-60, -15)), (draw(115, 160), draw(90, 125)), draw(-0.2, 0.2))
    tissue[body < 0] = Tissue.FAT
    tissue[body < -draw(6, 18)] = Tissue.MUSCLE
    tissue[body < -draw(20, 30)] = Tissue.LUNG

    for _ in range(anatomy.integers(15, 40)):
        u, v, radius = x - draw(-95, 95), y - draw(-95, 95), draw(1.5, 4.0)
        near = (u - height * draw(-15, 15)) ** 2 + (v - height * draw(-15, 15)) ** 2 < radius**2
        tissue[near & (tissue == Tissue.LUNG)] = Tissue.VESSEL

    mediastinum = _ellipse(x, y, (draw(-35, -10), draw(-70, -45)), (draw(30, 45), draw(22, 35)), draw(-0.5, 0.5))
    tissue[(mediastinum < 0) & (tissue == Tissue.LUNG)] = Tissue.FAT if draw() < 0.5 else Tissue.MUSCLE
    for _ in range(anatomy.integers(1, 4)):
        vessel = _ellipse(x, y, (draw(-45, 10), draw(-80, -55)), (draw(7, 13), draw(7, 13)), 0.0)
        tissue[vessel < 0] = Tissue.HEART_WALL
        tissue[vessel < -draw(0.8, 2.5)] = Tissue.VESSEL

    # The diaphragm rises towards the apex, so the abdomen grows from slice to slice and comes to touch the heart.
    rise = draw(10, 60) * (height - draw(0.3, 0.8))
    abdomen = y + draw(-0.4, 0.4) * x + draw(0.001, 0.004) * (x - draw(-40, 40)) ** 2 + draw(18, 50) - rise
    texture = grid.smooth_noise(anatomy, 9)
    organs = np.select(
        [texture < draw(-0.8, -0.3), texture < draw(-0.2, 0.2), texture < draw(0.3, 0.6), texture < draw(0.7, 1.0)],
        [Tissue.GUT, Tissue.GUT_WALL, Tissue.LIVER, Tissue.FAT],
        Tissue.MUSCLE,
    )
    inside = (abdomen < 0) & (body < -12)
    tissue[inside] = organs[inside]
    liver = _ellipse(x, y, (draw(-80, -30), draw(-90, -60)), (draw(45, 75), draw(30, 55)), draw(-0.4, 0.4)) - rise
    tissue[(liver < 0) & (body < -12)] = Tissue.LIVER
    for _ in range(anatomy.integers(1, 4)):
        gut = _ellipse(x, y, (draw(-10, 80), draw(-85, -40)), (draw(12, 32), draw(12, 32)), draw(0, 3)) - rise / 2
        tissue[(gut < 0) & (body < -12)] = Tissue.GUT_WALL
        tissue[(gut < -draw(4, 9)) & (body < -12)] = Tissue.GUT if draw() < 0.5 else Tissue.VESSEL
    return tissue


def _draw_heart(
    grid: Grid,
    anatomy: np.random.Generator,
    x: Volume,
    y: Volume,
    height: Volume,
    contraction: float,
    tissue: NDArray[np.uint8],
) -> None:
    """Paints both ventricles, the atria above them and the fat around them."""
    draw = anatomy.uniform
    shrink = 1 - contraction * draw(0.2, 0.42)
    diastolic, wall = draw(17, 29), draw(6.5, 12)
    radius = diastolic * shrink
    # The wall keeps its area in the plane as the cavity shrinks.
    outer = np.sqrt(radius**2 + (diastolic + wall) ** 2 - diastolic**2)
    left, up = x - draw(-14, 14) * (height - 0.4), y - draw(-14, 14) * (height - 0.4)
    septum = np.deg2rad(180 + draw(-40, 40))
    distance, angle = np.sqrt(left**2 + up**2), np.arctan2(up, left)
    shape = _outline(angle, height, anatomy)
    below = np.clip(height, 0, None)
    endocardium = distance - radius * _dome(below / draw(0.84, 0.93)) * shape
    epicardium = distance - outer * _dome(below) * (1 + (shape - 1) * draw(0.2, 0.8))

    extent = draw(0.62, 0.86)
    opening = _dome(below / extent) * (1 - 0.6 * (1 - shrink))
    reach = outer * draw(0.7, 0.95)
    center = (reach * np.cos(septum) * (1 - 0.3 * below), reach * np.sin(septum) * (1 - 0.3 * below))
    axes = (draw(22, 33) * opening, draw(30, 44) * opening)
    ventricle = _ellipse(left, up, center, axes, septum + draw(-0.25, 0.25))
    has_ventricle = opening > 0.12

    heart = np.minimum(epicardium, np.where(has_ventricle, ventricle - draw(2, 4), 1e3))
    fat = draw(1, 5) + draw(1, 4) * grid.smooth_noise(anatomy, 6)
    tissue[(heart < fat) & (tissue != Tissue.AIR)] = Tissue.FAT
    above = np.broadcast_to(height < 0, heart.shape)
    tissue[(ventricle < draw(2, 3.5)) & has_ventricle] = Tissue.HEART_WALL
    tissue[(ventricle < 0) & has_ventricle] = Tissue.RIGHT_VENTRICLE
    tissue[epicardium < 0] = Tissue.MYOCARDIUM
    tissue[(endocardium < 0) & (below < 0.95)] = Tissue.LEFT_VENTRICLE
    for _ in range(2):
        where, size = draw(-np.pi, np.pi), draw(2.5, 5.5) * shrink
        spot = radius * draw(0.5, 0.8) * _dome(below)
        papillary = np.hypot(left - spot * np.cos(where), up - spot * np.sin(where)) - size * _dome(np.abs(below - 0.4))
        tissue[(papillary < 0) & (tissue == Tissue.LEFT_VENTRICLE)] = Tissue.PAPILLARY
    inside = LABEL_OF_TISSUE[tissue] > 0
    tissue[above & inside] = Tissue.ATRIUM
    tissue[above & inside & (tissue == Tissue.ATRIUM) & (epicardium > -2) & (epicardium < 0)] = Tissue.HEART_WALL


def _turned(x: Volume, y: Volume, angle: float) -> tuple[Volume, Volume]:
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return cos * x + sin * y, cos * y - sin * x


def _ellipse(
    x: Volume,
    y: Volume,
    center: tuple[Volume | float, Volume | float],
    axes: tuple[Volume | float, Volume | float],
    angle: float,
) -> Volume:
    """About the distance in mm to the rim of an ellipse, negative inside."""
    along, across = _turned(x - center[0], y - center[1], angle)
    a, b = (np.maximum(np.asarray(axis, dtype=np.float32), 1e-3) for axis in axes)
    return (np.sqrt((along / a) ** 2 + (across / b) ** 2) - 1) * np.minimum(a, b)


def _dome(height: Volume) -> Volume:
    """Relative radius from the base (1) to where it closes (0)."""
    return np.sqrt(np.clip(1 - np.abs(height) ** 2.4, 0, None))


def _outline(angle: Volume, height: Volume, anatomy: np.random.Generator) -> Volume:
    """Radius relative to a circle, by angle; its harmonics turn from base to apex."""
    outline = np.ones_like(angle)
    for harmonic, strength in ((2, 0.10), (3, 0.06), (4, 0.04), (5, 0.02)):
        phase = anatomy.uniform(0, 2 * np.pi) + anatomy.uniform(-1.5, 1.5) * height
        outline += anatomy.uniform(0, strength) * np.cos(harmonic * angle + phase)
    return outline
