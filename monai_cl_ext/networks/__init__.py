# SPDX-License-Identifier: Apache-2.0
"""Stages of stock networks, backbones of papers, heads, prototypes, EMA teacher, and checked loading of weights."""

from monai_cl_ext.networks.backbones import (
    UKAN,
    BCDUNet,
    GCLUNet,
    KANLinear,
    LNSNet,
    MultiCropViT,
    PCLUNet,
    ResEncUNet,
    RollingUNet,
    SuperpixelFCN,
    UAMTVNet,
    UCTransNet,
)
from monai_cl_ext.networks.crop_network import CropNetwork, crop_embeddings
from monai_cl_ext.networks.decoder_variants import decoder_variants
from monai_cl_ext.networks.dino_head import DINOHead
from monai_cl_ext.networks.discriminator import image_discriminator, patch_discriminator
from monai_cl_ext.networks.evaluator import Evaluator
from monai_cl_ext.networks.field_generator import DeformationGenerator, FieldGenerator, IntensityGenerator
from monai_cl_ext.networks.heads import FlatMLPHead, mlp_head, pointwise_head, region_projection
from monai_cl_ext.networks.loading import LoadReport, load_pretrained, with_pretrained
from monai_cl_ext.networks.on_device import on_device
from monai_cl_ext.networks.presets import PRESETS, Preset
from monai_cl_ext.networks.prototypes import Prototypes
from monai_cl_ext.networks.pyramid_heads import PyramidHeads
from monai_cl_ext.networks.queue import MemoryQueue
from monai_cl_ext.networks.stages import Stages, stages
from monai_cl_ext.networks.teacher import MomentumTeacher
from monai_cl_ext.networks.vit_classifier import ViTClassifier
from monai_cl_ext.networks.vit_weights import load_backbone, load_dino_weights

__all__ = [
    "BCDUNet",
    "CropNetwork",
    "DINOHead",
    "DeformationGenerator",
    "Evaluator",
    "FieldGenerator",
    "FlatMLPHead",
    "GCLUNet",
    "IntensityGenerator",
    "KANLinear",
    "LNSNet",
    "LoadReport",
    "MemoryQueue",
    "MomentumTeacher",
    "MultiCropViT",
    "PCLUNet",
    "PRESETS",
    "Preset",
    "Prototypes",
    "ResEncUNet",
    "PyramidHeads",
    "RollingUNet",
    "Stages",
    "SuperpixelFCN",
    "UAMTVNet",
    "UCTransNet",
    "UKAN",
    "ViTClassifier",
    "crop_embeddings",
    "decoder_variants",
    "image_discriminator",
    "load_backbone",
    "load_dino_weights",
    "load_pretrained",
    "mlp_head",
    "on_device",
    "patch_discriminator",
    "pointwise_head",
    "region_projection",
    "stages",
    "with_pretrained",
]
