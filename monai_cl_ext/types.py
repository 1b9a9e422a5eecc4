# SPDX-License-Identifier: Apache-2.0
"""Names for the dictionaries that pass between the rooms."""

from __future__ import annotations

from typing import TypeAlias

from torch import Tensor

Batch: TypeAlias = dict[str, Tensor]
"""A collated batch: "image" (B,C,*S), "label"? and "superpixel"? (B,1,*S), and the tags of its rows."""

View: TypeAlias = dict[str, Tensor]
"""One view of a batch: "image" (B,C,*S) and, warped alike, "label"? and "superpixel"? (B,1,*S)."""

Tags: TypeAlias = dict[str, Tensor]
"""Facts of each row of a batch: "volume" int64 (B,), "partition" int64 (B,), "position" float64 in (0,1], (B,) of
slices and (B,3) of patches."""

Losses: TypeAlias = dict[str, Tensor]
"""What a method returns: "loss", a scalar to be minimized, and its parts."""
