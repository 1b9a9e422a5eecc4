# SPDX-License-Identifier: Apache-2.0
"""Checks the files of a case before MONAI reads them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from monai.config import KeysCollection
from monai.transforms import MapTransform

from monai_cl_ext.data.loading import LoadCased, is_picture


class CheckCased(MapTransform):
    """Refuses a case that :class:`LoadCased` refuses, and leaves the paths to MONAI's ``LoadImaged`` behind it.

    For inference, which runs on MONAI alone: where this package is installed, a file that cannot be read ends in the
    same sentence as in training. The file is read twice.

    Args:
        keys: the image first; the others are labels.
        channels: of the image, as the network takes them; None takes any number.
        allow_missing_keys: leave out keys that a case does not have.

    Raises:
        FileNotFoundError, PermissionError, ValueError: as :class:`LoadCased`, and when the image is a picture, of
            which ``LoadImaged`` makes no volume.
    """

    def __init__(self, keys: KeysCollection = "image", channels: int | None = None, allow_missing_keys: bool = False):
        super().__init__(keys, allow_missing_keys)
        self.load = LoadCased(self.keys, allow_missing_keys=allow_missing_keys, channels=channels)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The case as it came."""
        for key in self.key_iterator(data):
            if is_picture(data[key]):
                raise ValueError(
                    f"{data[key]}: a picture, of which MONAI's reader makes no volume; write it as NIfTI first"
                )
        self.load(data)
        return dict(data)
