# SPDX-License-Identifier: Apache-2.0
"""A store of prepared volumes on disk, which all processes and later runs share."""

from monai_cl_ext.data.store.content import file_contents, image_contents
from monai_cl_ext.data.store.folder import default_store, superpixel_weights
from monai_cl_ext.data.store.store import Store

__all__ = ["Store", "default_store", "file_contents", "image_contents", "superpixel_weights"]
