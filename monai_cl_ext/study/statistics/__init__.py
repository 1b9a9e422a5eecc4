# SPDX-License-Identifier: Apache-2.0
"""Statistics of scores in which each patient is tested under several draws of labeled patients."""

from monai_cl_ext.study.statistics.anova import SMALLEST_P, CrossedMean, crossed_mean
from monai_cl_ext.study.statistics.intervals import Estimate, complete_folds, crossed_interval
from monai_cl_ext.study.statistics.jackknife import pseudo_values
from monai_cl_ext.study.statistics.label_efficiency import labels_to_match
from monai_cl_ext.study.statistics.paired_tests import cohen_dz, permutation_p_value
from monai_cl_ext.study.statistics.ranks import Ranks, average_ranks

__all__ = [
    "SMALLEST_P",
    "CrossedMean",
    "Estimate",
    "Ranks",
    "average_ranks",
    "cohen_dz",
    "complete_folds",
    "crossed_interval",
    "crossed_mean",
    "labels_to_match",
    "permutation_p_value",
    "pseudo_values",
]
