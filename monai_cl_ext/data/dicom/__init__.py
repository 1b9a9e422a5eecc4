# SPDX-License-Identifier: Apache-2.0
"""DICOM series as volumes: which files are images, what their pixels mean, and where their slices lie."""

from monai_cl_ext.data.dicom.files import holds_dicom, is_dicom
from monai_cl_ext.data.dicom.series import read_series

__all__ = ["holds_dicom", "is_dicom", "read_series"]
