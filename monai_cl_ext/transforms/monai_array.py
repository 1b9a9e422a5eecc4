# SPDX-License-Identifier: Apache-2.0
"""MONAI array transforms of the operations; each takes its operation's arguments."""

from __future__ import annotations

from .area_crop import AreaCropResize
from .artefacts import AdditiveNoise, PolynomialBiasField
from .blur import GaussianBlur
from .colour import Greyscale, Hue, Saturation
from .elastic import ElasticDeformation
from .intensity import Brightness, Contrast, IntensityScaling, Solarisation
from .monai_forms import RandOperation
from .spatial import CropResize, Mirror, Rotation, Scaling, Translation, Turn


class RandAdditiveNoise(RandOperation):
    """``AdditiveNoise`` of one image (C, *S)."""

    operation = AdditiveNoise


class RandAreaCropResize(RandOperation):
    """``AreaCropResize`` of one image (C, *S)."""

    operation = AreaCropResize


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


class RandGreyscale(RandOperation):
    """``Greyscale`` of one image (C, *S)."""

    operation = Greyscale


class RandHue(RandOperation):
    """``Hue`` of one image (C, *S)."""

    operation = Hue


class RandIntensityScaling(RandOperation):
    """``IntensityScaling`` of one image (C, *S)."""

    operation = IntensityScaling


class RandMirror(RandOperation):
    """``Mirror`` of one image (C, *S)."""

    operation = Mirror


class RandPolynomialBiasField(RandOperation):
    """``PolynomialBiasField`` of one image (C, *S)."""

    operation = PolynomialBiasField


class RandRotation(RandOperation):
    """``Rotation`` of one image (C, *S)."""

    operation = Rotation


class RandSaturation(RandOperation):
    """``Saturation`` of one image (C, *S)."""

    operation = Saturation


class RandScaling(RandOperation):
    """``Scaling`` of one image (C, *S)."""

    operation = Scaling


class RandSolarisation(RandOperation):
    """``Solarisation`` of one image (C, *S)."""

    operation = Solarisation


class RandTranslation(RandOperation):
    """``Translation`` of one image (C, *S)."""

    operation = Translation


class RandTurn(RandOperation):
    """``Turn`` of one image (C, *S)."""

    operation = Turn
