# SPDX-License-Identifier: Apache-2.0
"""Losses: of contrast, by one kernel, of self-distillation and of semi-supervised segmentation; one file per loss.

The contrastive losses keep no graph of all pairs, and so have no second derivative: ``create_graph=True``, as for a
gradient penalty or a Hessian, is a RuntimeError in their backward pass.
"""

from monai_cl_ext.losses.cross_pseudo_supervision import CrossPseudoSupervisionLoss
from monai_cl_ext.losses.desd import DeSDLoss
from monai_cl_ext.losses.dino import DINOLoss
from monai_cl_ext.losses.dual_task import DualTaskConsistencyLoss
from monai_cl_ext.losses.filter_independence import FilterIndependenceLoss
from monai_cl_ext.losses.forms import groupwise, joint, pairwise
from monai_cl_ext.losses.kernel import contrast
from monai_cl_ext.losses.local import LocalContrastiveLoss
from monai_cl_ext.losses.masked_dice_ce import MaskedDiceCELoss
from monai_cl_ext.losses.moco import MoCoLoss, MoCoV3Loss
from monai_cl_ext.losses.mutual_consistency import MutualConsistencyLoss
from monai_cl_ext.losses.neighbor_graph import nearest_neighbor_components
from monai_cl_ext.losses.ntxent import NTXentLoss
from monai_cl_ext.losses.partition import PartitionContrastiveLoss
from monai_cl_ext.losses.position import PositionContrastiveLoss
from monai_cl_ext.losses.pyramid_consistency import PyramidConsistencyLoss
from monai_cl_ext.losses.ramp_up import sigmoid_ramp_up
from monai_cl_ext.losses.rules import Rule, both_known, different, matching, pair_matrices, same, sample_tags
from monai_cl_ext.losses.sharpening import sharpen
from monai_cl_ext.losses.siamese import BYOLLoss, SimSiamLoss, SimTripletLoss
from monai_cl_ext.losses.sinkhorn import sinkhorn
from monai_cl_ext.losses.superpixel import SuperpixelContrastiveLoss
from monai_cl_ext.losses.superpixel_graph import SuperpixelGraphContrastiveLoss
from monai_cl_ext.losses.superpixel_map import average_superpixel_map
from monai_cl_ext.losses.supervised import SupervisedContrastiveLoss
from monai_cl_ext.losses.swav import SwAVLoss
from monai_cl_ext.losses.uncertainty import UncertaintyMaskedConsistencyLoss, uncertainty_threshold
from monai_cl_ext.losses.weak_graph import WeakGraphContrastiveLoss

__all__ = [
    "BYOLLoss",
    "CrossPseudoSupervisionLoss",
    "DINOLoss",
    "DeSDLoss",
    "DualTaskConsistencyLoss",
    "FilterIndependenceLoss",
    "LocalContrastiveLoss",
    "MaskedDiceCELoss",
    "MoCoLoss",
    "MoCoV3Loss",
    "MutualConsistencyLoss",
    "NTXentLoss",
    "PartitionContrastiveLoss",
    "PositionContrastiveLoss",
    "PyramidConsistencyLoss",
    "Rule",
    "SimSiamLoss",
    "SimTripletLoss",
    "SuperpixelContrastiveLoss",
    "SuperpixelGraphContrastiveLoss",
    "SupervisedContrastiveLoss",
    "SwAVLoss",
    "UncertaintyMaskedConsistencyLoss",
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
    "sharpen",
    "sigmoid_ramp_up",
    "sinkhorn",
    "uncertainty_threshold",
]
