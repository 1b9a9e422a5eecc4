# SPDX-License-Identifier: Apache-2.0
"""The tags that a method needs."""

from __future__ import annotations

from torch import Tensor

from monai_cl_ext.types import Tags


def tag_of(tags: Tags, name: str) -> Tensor:
    """The tag of this name.

    Raises:
        KeyError: when the batch has none; names and arrays are no tags.
    """
    if name not in tags:
        raise KeyError(
            f"the method needs the tag {name!r} of each image, found {sorted(tags)}: give the dataset's items a number "
            f"{name!r}, which batches hold as a tensor (B,); names, lists and NumPy arrays are left out of the tags"
        )
    return tags[name]
