# SPDX-License-Identifier: Apache-2.0
"""Which axes of the body the axes of volumes follow."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence

import nibabel as nib
import numpy as np

STRAIGHT = 0.8  # cosine between an axis and the nearest of the world
UNSIGNED = str.maketrans("LPI", "RAS")


def axis_codes(affine: np.ndarray) -> str:
    """The direction in which each axis of a volume runs, such as "RAS"; "" where one is oblique.

    An oblique plane follows the anatomy, and few degrees change the code of its axes.
    """
    columns = affine[:3, :3]
    straight = np.abs(columns).max(axis=0) > STRAIGHT * np.linalg.norm(columns, axis=0)
    return "".join(code or "?" for code in nib.aff2axcodes(affine)) if straight.all() else ""


def warn_of_other_order(files: Sequence[str], codes: Sequence[str]) -> None:
    """One warning of the volumes whose axes follow those of the body in another order than most; "" is not compared."""
    orders = [code.translate(UNSIGNED) for code in codes]
    known = [order for order in orders if order]
    if len(set(known)) < 2:
        return
    common = Counter(known).most_common(1)[0][0]
    others = [place for place, order in enumerate(orders) if order not in ("", common)]
    usual, other = orders.index(common), others[0]
    warnings.warn(
        f"{len(others)} of {len(files)} volume(s) have their axes in another order than most: {files[other]} has "
        f"{codes[other]}, {files[usual]} {codes[usual]}; slices, spacing, patches and mirroring mean other axes of the "
        "body in them, so bring all to one order by monai.transforms.Orientation and save them",
        stacklevel=5,
    )
