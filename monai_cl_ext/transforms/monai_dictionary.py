# SPDX-License-Identifier: Apache-2.0
"""MONAI dictionary transforms of the operations, under MONAI's three names each; all keys share one draw."""

from __future__ import annotations

from .area_crop import AreaCropResize
from .artefacts import AdditiveNoise, PolynomialBiasField
from .blur import GaussianBlur
from .colour import Greyscale, Hue, Saturation
from .elastic import ElasticDeformation
from .intensity import Brightness, Contrast, IntensityScaling, Solarisation
from .monai_forms import RandOperationd
from .spatial import CropResize, Mirror, Rotation, Scaling, Translation, Turn


class RandAdditiveNoised(RandOperationd):
    """``AdditiveNoise`` of the given keys, each (C, *S)."""

    operation = AdditiveNoise


class RandAreaCropResized(RandOperationd):
    """``AreaCropResize`` of the given keys, each (C, *S)."""

    operation = AreaCropResize


class RandBrightnessd(RandOperationd):
    """``Brightness`` of the given keys, each (C, *S)."""

    operation = Brightness


class RandContrastd(RandOperationd):
    """``Contrast`` of the given keys, each (C, *S)."""

    operation = Contrast


class RandCropResized(RandOperationd):
    """``CropResize`` of the given keys, each (C, *S)."""

    operation = CropResize


class RandElasticDeformationd(RandOperationd):
    """``ElasticDeformation`` of the given keys, each (C, *S)."""

    operation = ElasticDeformation


class RandGaussianBlurd(RandOperationd):
    """``GaussianBlur`` of the given keys, each (C, *S)."""

    operation = GaussianBlur


class RandGreyscaled(RandOperationd):
    """``Greyscale`` of the given keys, each (C, *S)."""

    operation = Greyscale


class RandHued(RandOperationd):
    """``Hue`` of the given keys, each (C, *S)."""

    operation = Hue


class RandIntensityScalingd(RandOperationd):
    """``IntensityScaling`` of the given keys, each (C, *S)."""

    operation = IntensityScaling


class RandMirrord(RandOperationd):
    """``Mirror`` of the given keys, each (C, *S)."""

    operation = Mirror


class RandPolynomialBiasFieldd(RandOperationd):
    """``PolynomialBiasField`` of the given keys, each (C, *S)."""

    operation = PolynomialBiasField


class RandRotationd(RandOperationd):
    """``Rotation`` of the given keys, each (C, *S)."""

    operation = Rotation


class RandSaturationd(RandOperationd):
    """``Saturation`` of the given keys, each (C, *S)."""

    operation = Saturation


class RandScalingd(RandOperationd):
    """``Scaling`` of the given keys, each (C, *S)."""

    operation = Scaling


class RandSolarisationd(RandOperationd):
    """``Solarisation`` of the given keys, each (C, *S)."""

    operation = Solarisation


class RandTranslationd(RandOperationd):
    """``Translation`` of the given keys, each (C, *S)."""

    operation = Translation


class RandTurnd(RandOperationd):
    """``Turn`` of the given keys, each (C, *S)."""

    operation = Turn


RandAdditiveNoiseD = RandAdditiveNoiseDict = RandAdditiveNoised
RandAreaCropResizeD = RandAreaCropResizeDict = RandAreaCropResized
RandBrightnessD = RandBrightnessDict = RandBrightnessd
RandContrastD = RandContrastDict = RandContrastd
RandCropResizeD = RandCropResizeDict = RandCropResized
RandElasticDeformationD = RandElasticDeformationDict = RandElasticDeformationd
RandGaussianBlurD = RandGaussianBlurDict = RandGaussianBlurd
RandGreyscaleD = RandGreyscaleDict = RandGreyscaled
RandHueD = RandHueDict = RandHued
RandIntensityScalingD = RandIntensityScalingDict = RandIntensityScalingd
RandMirrorD = RandMirrorDict = RandMirrord
RandPolynomialBiasFieldD = RandPolynomialBiasFieldDict = RandPolynomialBiasFieldd
RandRotationD = RandRotationDict = RandRotationd
RandSaturationD = RandSaturationDict = RandSaturationd
RandScalingD = RandScalingDict = RandScalingd
RandSolarisationD = RandSolarisationDict = RandSolarisationd
RandTranslationD = RandTranslationDict = RandTranslationd
RandTurnD = RandTurnDict = RandTurnd
