# SPDX-License-Identifier: Apache-2.0
"""Advice on the strength of augmentation, from the user's own images and before any training."""

from monai_cl_ext.advise.advice import Advice, advise
from monai_cl_ext.advise.comparison import Comparison, Rung
from monai_cl_ext.advise.reading import read_sample
from monai_cl_ext.advise.sample import Sample
from monai_cl_ext.advise.writing import write_advice

__all__ = ["Advice", "Comparison", "Rung", "Sample", "advise", "read_sample", "write_advice"]
