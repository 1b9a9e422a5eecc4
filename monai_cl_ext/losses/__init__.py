# SPDX-License-Identifier: Apache-2.0
"""Contrastive losses: one kernel, one file a loss."""

from monai_cl_ext.losses.forms import joint, pairwise
from monai_cl_ext.losses.kernel import contrast
from monai_cl_ext.losses.local import LocalContrastiveLoss
from monai_cl_ext.losses.ntxent import NTXentLoss
from monai_cl_ext.losses.partition import PartitionContrastiveLoss
from monai_cl_ext.losses.rules import Rule, both_known, different, matching, same, sample_tags
from monai_cl_ext.losses.supervised import SupervisedContrastiveLoss

__all__ = [
    "LocalContrastiveLoss",
    "NTXentLoss",
    "PartitionContrastiveLoss",
    "Rule",
    "SupervisedContrastiveLoss",
    "both_known",
    "contrast",
    "different",
    "joint",
    "matching",
    "pairwise",
    "same",
    "sample_tags",
]
