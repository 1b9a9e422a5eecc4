# SPDX-License-Identifier: Apache-2.0
"""Rows of the data card of a study of volumes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from monai_cl_ext.data.nifti import read_nifti
from monai_cl_ext.data.splits import Case


def volume_cards(parts: Sequence[Sequence[Case]], classes: Mapping[int, str], slice_axis: int) -> list[dict[str, Any]]:
    """For each part patients, volumes, slices, sizes, spacing, volumes with each class."""
    cases = [case for part in parts for case in part]
    # Each file is read whole, once for all parts and folds, so that a damaged one stops the plan.
    files = {
        **{path: _geometry(path) for path in sorted({case["image"] for case in cases})},
        **{path: _values(path) for path in sorted({case["label"] for case in cases if case.get("label")})},
    }
    return [_card(part, files, slice_axis, classes) for part in parts]


def _geometry(path: str) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Shape and spacing of an image."""
    header = read_nifti(path).header
    return header.get_data_shape()[:3], tuple(float(step) for step in header.get_zooms()[:3])


def _values(path: str) -> set[int]:
    """The class numbers in a label."""
    return set(np.unique(np.asanyarray(read_nifti(path).dataobj)).astype(int).tolist())


def _card(cases: Sequence[Case], files: Mapping[str, Any], axis: int, classes: Mapping[int, str]) -> dict[str, Any]:
    shapes = np.array([files[case["image"]][0] for case in cases])
    spacings = np.array([files[case["image"]][1] for case in cases])
    labelled = [case["label"] for case in cases if case.get("label")]
    present = [files[path] for path in labelled]
    return {
        "patients": len({case["patient"] for case in cases}),
        "volumes": len(cases),
        "slices": int(shapes[:, axis].sum()) if len(cases) else 0,
        "size": ranges(shapes),
        "spacing": ranges(spacings),
        "labeled volumes": len(labelled),
        **{f"volumes with {name}": sum(label in found for found in present) for label, name in classes.items()},
    }


def ranges(values: np.ndarray) -> str:
    """ "128-160 x 128-160 x 8-12" """
    if not len(values):
        return "-"
    pairs = zip(values.min(axis=0), values.max(axis=0), strict=True)
    return " x ".join(f"{low:.4g}" if low == high else f"{low:.4g}-{high:.4g}" for low, high in pairs)
