# SPDX-License-Identifier: Apache-2.0
"""MONAI dictionary transforms of the operations, under MONAI's three names each; all keys share one draw."""

from __future__ import annotations

from .blur import GaussianBlur
from .elastic import ElasticDeformation
from .intensity import Brightness, Contrast, IntensityScaling
from .monai_forms import RandOperationd
from .spatial import CropResize, Mirror, Rotation, Scaling, Translation, Turn


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


class RandIntensityScalingd(RandOperationd):
    """``IntensityScaling`` of the given keys, each (C, *S)."""

    operation = IntensityScaling


class RandMirrord(RandOperationd):
    """``Mirror`` of the given keys, each (C, *S)."""

    operation = Mirror


class RandRotationd(RandOperationd):
    """``Rotation`` of the given keys, each (C, *S)."""

    operation = Rotation


class RandScalingd(RandOperationd):
    """``Scaling`` of the given keys, each (C, *S)."""

    operation = Scaling


class RandTranslationd(RandOperationd):
    """``Translation`` of the given keys, each (C, *S)."""

    operation = Translation


class RandTurnd(RandOperationd):
    """``Turn`` of the given keys, each (C, *S)."""

    operation = Turn


RandBrightnessD = RandBrightnessDict = RandBrightnessd
RandContrastD = RandContrastDict = RandContrastd
RandCropResizeD = RandCropResizeDict = RandCropResized
RandElasticDeformationD = RandElasticDeformationDict = RandElasticDeformationd
RandGaussianBlurD = RandGaussianBlurDict = RandGaussianBlurd
RandIntensityScalingD = RandIntensityScalingDict = RandIntensityScalingd
RandMirrorD = RandMirrorDict = RandMirrord
RandRotationD = RandRotationDict = RandRotationd
RandScalingD = RandScalingDict = RandScalingd
RandTranslationD = RandTranslationDict = RandTranslationd
RandTurnD = RandTurnDict = RandTurnd
