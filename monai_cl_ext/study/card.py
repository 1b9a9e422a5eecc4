# SPDX-License-Identifier: Apache-2.0
"""The data card of a study and the record of where it ran."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from monai_cl_ext.data.nifti import read_nifti
from monai_cl_ext.data.splits import Case
from monai_cl_ext.handlers.run_record import versions
from monai_cl_ext.study.bundles import Bundle
from monai_cl_ext.study.plan import Plan
from monai_cl_ext.study.splits import PARTS


def data_card(plan: Plan) -> pd.DataFrame:
    """One row for each part of each split: patients, volumes, slices, sizes, spacing, volumes with each class."""
    axis = int(plan.settings.get("slice_axis", 2))
    cases = [case for split in plan.splits for part in PARTS for case in split[part]]
    # Each file is read whole, once for all parts and folds, so that a damaged one stops the plan.
    files = {
        **{path: _geometry(path) for path in sorted({case["image"] for case in cases})},
        **{path: _values(path) for path in sorted({case["label"] for case in cases if case.get("label")})},
    }
    rows = []
    for fold, split in enumerate(plan.splits):
        for part in PARTS:
            rows.append({"fold": fold, "part": part, **_card(split[part], files, axis, plan.classes)})
    return pd.DataFrame(rows)


def _geometry(path: str) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Shape and spacing of an image."""
    header = read_nifti(path).header
    return header.get_data_shape()[:3], tuple(float(step) for step in header.get_zooms()[:3])


def _values(path: str) -> set[int]:
    """The class numbers in a label."""
    return set(np.unique(np.asanyarray(read_nifti(path).dataobj)).astype(int).tolist())


def _card(cases: Sequence[Case], files: Mapping[str, Any], axis: int, classes: dict[int, str]) -> dict[str, Any]:
    shapes = np.array([files[case["image"]][0] for case in cases])
    spacings = np.array([files[case["image"]][1] for case in cases])
    labelled = [case["label"] for case in cases if case.get("label")]
    present = [files[path] for path in labelled]
    return {
        "patients": len({case["patient"] for case in cases}),
        "volumes": len(cases),
        "slices": int(shapes[:, axis].sum()) if len(cases) else 0,
        "size": _range(shapes),
        "spacing": _range(spacings),
        "labeled volumes": len(labelled),
        **{f"volumes with {name}": sum(label in found for found in present) for label, name in classes.items()},
    }


def _range(values: np.ndarray) -> str:
    """ "128-160 x 128-160 x 8-12" """
    if not len(values):
        return "-"
    pairs = zip(values.min(axis=0), values.max(axis=0), strict=True)
    return " x ".join(f"{low:.4g}" if low == high else f"{low:.4g}-{high:.4g}" for low, high in pairs)


def environment(bundles: Sequence[Bundle]) -> dict[str, Any]:
    """What is needed to run a study again: versions, the commit of a checkout, the bundles' hashes, the machine."""
    package = Path(__file__).resolve().parents[2]
    return {
        "versions": {**versions(), "pandas": pd.__version__},
        "commit": _git(package, "rev-parse", "HEAD"),
        "changed_files": _git(package, "status", "--porcelain", "--untracked-files=no"),
        "bundles": {bundle.folder.name: config_hash(bundle) for bundle in bundles},
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        "threads": os.environ.get("OMP_NUM_THREADS", ""),
    }


def config_hash(bundle: Bundle) -> str:
    """Of all config files of a bundle, and of the overlays of this package that serve it."""
    digest = hashlib.sha256()
    own = {path.stem for path in (bundle.folder / "configs").glob("*.json")}
    for path in sorted(map(bundle.path, {*own, *bundle.known_overlays}), key=lambda path: path.name):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
