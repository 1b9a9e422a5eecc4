# SPDX-License-Identifier: Apache-2.0
"""The patients of published experiments, as their releases list or draw them."""

from monai_cl_ext.data.papers.folded_split import folded_split
from monai_cl_ext.data.papers.gcl_lists import released_patients, released_split
from monai_cl_ext.data.papers.ssl4mis_lists import ssl4mis_split

__all__ = ["folded_split", "released_patients", "released_split", "ssl4mis_split"]
