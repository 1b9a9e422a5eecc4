# SPDX-License-Identifier: Apache-2.0
"""MONAI array and dictionary transforms of the operations that spoil an image."""

from __future__ import annotations

from .corruption import BoxErasing, PatchSwapping
from .monai_forms import RandOperation, RandOperationd


class RandBoxErasing(RandOperation):
    """``BoxErasing`` of one image (C, *S)."""

    operation = BoxErasing


class RandPatchSwapping(RandOperation):
    """``PatchSwapping`` of one image (C, *S)."""

    operation = PatchSwapping


class RandBoxErasingd(RandOperationd):
    """``BoxErasing`` of the given keys, each (C, *S)."""

    operation = BoxErasing


class RandPatchSwappingd(RandOperationd):
    """``PatchSwapping`` of the given keys, each (C, *S)."""

    operation = PatchSwapping


RandBoxErasingD = RandBoxErasingDict = RandBoxErasingd
RandPatchSwappingD = RandPatchSwappingDict = RandPatchSwappingd
