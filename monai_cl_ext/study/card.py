# SPDX-License-Identifier: Apache-2.0
"""The data card of a study and the record of where it ran."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from monai_cl_ext.data.loading import LoadCased
from monai_cl_ext.data.splits import Case
from monai_cl_ext.data_check.examine import examine
from monai_cl_ext.data_check.facts import CaseFacts
from monai_cl_ext.data_check.looking import look_at_all
from monai_cl_ext.handlers.run_record import versions
from monai_cl_ext.study.bundles import Bundle
from monai_cl_ext.study.plan import Plan
from monai_cl_ext.study.splits import PARTS


def data_card(plan: Plan) -> pd.DataFrame:
    """One row for each part of each split: patients, volumes, slices, sizes, spacing, volumes with each class.

    Each case is read whole, once for all parts and folds, as the trainings read it.

    Raises:
        ValueError: when a file is refused, such as a label with a class that the plan does not have.
    """
    axis = int(plan.settings.get("slice_axis", 2))
    every = [case for split in plan.splits for part in PARTS for case in split[part]]
    every.sort(key=lambda case: bool(case.get("label")))  # one part may have an image without its label
    cases = {case["image"]: case for case in every}
    load = LoadCased(allow_missing_keys=True, num_classes=len(plan.classes) + 1)
    facts = look_at_all(list(cases.values()), partial(examine, load=load))
    _refuse_errors(facts)
    for finding in (finding for one in facts for finding in one.findings):
        warnings.warn(finding.message, stacklevel=2)
    known = {one.image: one for one in facts}
    rows = []
    for fold, split in enumerate(plan.splits):
        for part in PARTS:
            rows.append({"fold": fold, "part": part, **_card(split[part], known, axis, plan.classes)})
    return pd.DataFrame(rows)


def _refuse_errors(facts: Sequence[CaseFacts]) -> None:
    refused = [one.error for one in facts if one.error is not None]
    if refused:
        more = f" (and {len(refused) - 1} more: python -m monai_cl_ext check lists all)" if len(refused) > 1 else ""
        raise ValueError(refused[0].message + more)


def _card(cases: Sequence[Case], known: Mapping[str, CaseFacts], axis: int, classes: dict[int, str]) -> dict[str, Any]:
    volumes = [volume for case in cases if (volume := known[case["image"]].volume) is not None]
    labels = [label for case in cases if case.get("label") and (label := known[case["image"]].segmentation)]
    shapes = np.array([volume.shape for volume in volumes])
    return {
        "patients": len({case["patient"] for case in cases}),
        "volumes": len(cases),
        "slices": int(shapes[:, axis].sum()) if len(shapes) else 0,
        "size": _range(shapes),
        "spacing": _range(np.array([volume.spacing for volume in volumes])),
        "labeled volumes": len(labels),
        **{f"volumes with {name}": sum(number in label.voxels for label in labels) for number, name in classes.items()},
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
