# SPDX-License-Identifier: Apache-2.0
"""Views of batches: operations with parameters per sample, policies that compose them, superpixels, MONAI forms."""

from .largest_components import keep_largest_components
from .monai import RandPolicy, RandPolicyD, RandPolicyd, RandPolicyDict
from .monai_augment import (
    RandStrongAugment,
    RandStrongAugmentD,
    RandStrongAugmentd,
    RandStrongAugmentDict,
    RandWeakAugment,
    RandWeakAugmentD,
    RandWeakAugmentd,
    RandWeakAugmentDict,
    RandWeakMedAugment,
    RandWeakMedAugmentD,
    RandWeakMedAugmentd,
    RandWeakMedAugmentDict,
)
from .operations.area_crop_resize import AreaCropResize
from .operations.bias_field import PolynomialBiasField
from .operations.blur import GaussianBlur
from .operations.channel_wise import ChannelWise
from .operations.color import Grayscale, Hue, Saturation
from .operations.color_jitter import color_jitter
from .operations.corruption import BoxErasing, PatchSwapping
from .operations.crop_resize import CropResize
from .operations.cutout import BoxCutout
from .operations.elastic import ElasticDeformation
from .operations.intensity import Contrast, IntensityScaling, IntensityShift, Solarization
from .operations.intensity_range import ClampIntensity, UnitRange
from .operations.mirror import Mirror
from .operations.noise import AdditiveNoise
from .operations.one_operation import OneOperation
from .operations.operation import AffineOperation, IntensityOperation, Operation, SpatialOperation
from .operations.operation_group import OperationGroup
from .operations.rotation import Rotation, StepRotation
from .operations.scaling import Scaling
from .operations.standardization import Standardization
from .operations.translation import Translation
from .policies.basic import basic_policy
from .policies.channel_wise import channel_wise_policy
from .policies.crops import crop_policy
from .policies.distorted import distorted_policy
from .policies.gcl import gcl_finetune_policy, gcl_intensity_policy, gcl_policy, identity_policy
from .policies.moco import moco_policy
from .policies.parts import intensity_part, spatial_part
from .policies.pcl import pcl_policy
from .policies.policy import ViewPolicy
from .policies.segmentation import segmentation_policy
from .policies.strength import scale_policy
from .policies.strong_weak import simclr_policy, strong_policy, weak_med_policy, weak_policy
from .policies.supercl import supercl_policy
from .prepare import PrepareImage, PrepareViews
from .signed_distance import signed_distance
from .superpixels.slic import batched_slic
from .superpixels.superpixel import Superpixel, SuperpixelD, Superpixeld, SuperpixelDict
from .two_views import TwoViews, TwoViewsD, TwoViewsd, TwoViewsDict

# fmt: off
__all__ = [
    # base classes, and what joins operations
    "AffineOperation", "ChannelWise", "IntensityOperation", "OneOperation", "Operation", "OperationGroup",
    "SpatialOperation", "ViewPolicy",
    # operations on coordinates
    "AreaCropResize", "CropResize", "ElasticDeformation", "Mirror", "Rotation", "Scaling", "StepRotation",
    "Translation",
    # operations on intensities
    "AdditiveNoise", "BoxCutout", "BoxErasing", "ClampIntensity", "Contrast", "GaussianBlur", "Grayscale", "Hue",
    "IntensityScaling", "IntensityShift", "PatchSwapping", "PolynomialBiasField", "Saturation", "Solarization",
    "Standardization", "UnitRange", "color_jitter",
    # policies
    "basic_policy", "channel_wise_policy", "crop_policy", "distorted_policy", "gcl_finetune_policy",
    "gcl_intensity_policy", "gcl_policy", "identity_policy", "intensity_part", "moco_policy", "pcl_policy",
    "scale_policy", "segmentation_policy", "simclr_policy", "spatial_part", "strong_policy", "supercl_policy",
    "weak_med_policy", "weak_policy",
    # from batches to views
    "PrepareImage", "PrepareViews",
    # superpixels
    "Superpixel", "Superpixeld", "SuperpixelD", "SuperpixelDict", "batched_slic",
    # label maps
    "keep_largest_components", "signed_distance",
    # MONAI forms
    "RandPolicy", "RandPolicyd", "RandPolicyD", "RandPolicyDict",
    "RandStrongAugment", "RandStrongAugmentd", "RandStrongAugmentD", "RandStrongAugmentDict",
    "RandWeakAugment", "RandWeakAugmentd", "RandWeakAugmentD", "RandWeakAugmentDict",
    "RandWeakMedAugment", "RandWeakMedAugmentd", "RandWeakMedAugmentD", "RandWeakMedAugmentDict",
    "TwoViews", "TwoViewsd", "TwoViewsD", "TwoViewsDict",
]
# fmt: on
