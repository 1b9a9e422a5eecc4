# SPDX-License-Identifier: Apache-2.0
"""Contrastive and self-distillation losses: one kernel, one file per loss."""

from monai_cl_ext.losses.dino import DINOLoss
from monai_cl_ext.losses.forms import groupwise, joint, pairwise
from monai_cl_ext.losses.kernel import contrast
from monai_cl_ext.losses.local import LocalContrastiveLoss
from monai_cl_ext.losses.neighbor_graph import nearest_neighbor_components
from monai_cl_ext.losses.ntxent import NTXentLoss
from monai_cl_ext.losses.partition import PartitionContrastiveLoss
from monai_cl_ext.losses.position import PositionContrastiveLoss
from monai_cl_ext.losses.rules import Rule, both_known, different, matching, pair_matrices, same, sample_tags
from monai_cl_ext.losses.superpixel import SuperpixelContrastiveLoss
from monai_cl_ext.losses.superpixel_graph import SuperpixelGraphContrastiveLoss
from monai_cl_ext.losses.superpixel_map import average_superpixel_map
from monai_cl_ext.losses.supervised import SupervisedContrastiveLoss
from monai_cl_ext.losses.weak_graph import WeakGraphContrastiveLoss

__all__ = [
    "DINOLoss",
    "LocalContrastiveLoss",
    "NTXentLoss",
    "PartitionContrastiveLoss",
    "PositionContrastiveLoss",
    "Rule",
    "SuperpixelContrastiveLoss",
    "SuperpixelGraphContrastiveLoss",
    "SupervisedContrastiveLoss",
    "WeakGraphContrastiveLoss",
    "average_superpixel_map",
    "both_known",
    "contrast",
    "different",
    "groupwise",
    "joint",
    "matching",
    "nearest_neighbor_components",
    "pair_matrices",
    "pairwise",
    "same",
    "sample_tags",
]
