# SPDX-License-Identifier: Apache-2.0
"""What a packed bundle predicts: label maps of volumes, or classes of photographs."""

from monai_cl_ext.packing.kinds.kind import ALL, Kind
from monai_cl_ext.packing.kinds.photographs import Photographs
from monai_cl_ext.packing.kinds.volumes import Volumes

KINDS: dict[str, Kind] = {"segmentation": Volumes(), "classes": Photographs()}
"""By the format of the prediction in a bundle's metadata.json."""

__all__ = ["ALL", "KINDS", "Kind", "Photographs", "Volumes"]
