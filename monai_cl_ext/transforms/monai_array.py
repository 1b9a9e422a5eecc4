# SPDX-License-Identifier: Apache-2.0
"""MONAI array transforms of the operations; each takes its operation's arguments."""

from __future__ import annotations

from .blur import GaussianBlur
from .elastic import ElasticDeformation
from .intensity import Brightness, Contrast, IntensityScaling
from .monai_forms import RandOperation
from .spatial import CropResize, Mirror, Rotation, Scaling, Translation, Turn


class RandBrightness(RandOperation):
    """``Brightness`` of one image (C, *S)."""

    operation = Brightness


class RandContrast(RandOperation):
    """``Contrast`` of one image (C, *S)."""

    operation = Contrast


class RandCropResize(RandOperation):
    """``CropResize`` of one image (C, *S)."""

    operation = CropResize


class RandElasticDeformation(RandOperation):
    """``ElasticDeformation`` of one image (C, *S)."""

    operation = ElasticDeformation


class RandGaussianBlur(RandOperation):
    """``GaussianBlur`` of one image (C, *S)."""

    operation = GaussianBlur


class RandIntensityScaling(RandOperation):
    """``IntensityScaling`` of one image (C, *S)."""

    operation = IntensityScaling


class RandMirror(RandOperation):
    """``Mirror`` of one image (C, *S)."""

    operation = Mirror


class RandRotation(RandOperation):
    """``Rotation`` of one image (C, *S)."""

    operation = Rotation


class RandScaling(RandOperation):
    """``Scaling`` of one image (C, *S)."""

    operation = Scaling


class RandTranslation(RandOperation):
    """``Translation`` of one image (C, *S)."""

    operation = Translation


class RandTurn(RandOperation):
    """``Turn`` of one image (C, *S)."""

    operation = Turn
