# SPDX-License-Identifier: Apache-2.0
"""Networks that MONAI lacks, stages of those it has, heads, and checked loading of weights."""

from monai_cl_ext.networks.dino_head import DINOHead
from monai_cl_ext.networks.gcl_unet import GCLUNet
from monai_cl_ext.networks.heads import (
    FlatProjectionHead,
    map_projection_head,
    projection_head,
    region_projection,
    wcl_head,
)
from monai_cl_ext.networks.loading import LoadReport, load_pretrained, with_pretrained
from monai_cl_ext.networks.momentum_teacher import MomentumTeacher
from monai_cl_ext.networks.pcl_unet import PCLUNet
from monai_cl_ext.networks.stages import stages
from monai_cl_ext.networks.stages_generic import Stages
from monai_cl_ext.networks.vit import MultiCropViT
from monai_cl_ext.networks.vit_classifier import ViTClassifier, with_backbone
from monai_cl_ext.networks.vit_weights import load_dino_weights, with_dino_weights

__all__ = [
    "DINOHead",
    "FlatProjectionHead",
    "GCLUNet",
    "LoadReport",
    "MomentumTeacher",
    "MultiCropViT",
    "PCLUNet",
    "Stages",
    "ViTClassifier",
    "load_dino_weights",
    "load_pretrained",
    "map_projection_head",
    "projection_head",
    "region_projection",
    "stages",
    "wcl_head",
    "with_backbone",
    "with_dino_weights",
    "with_pretrained",
]
