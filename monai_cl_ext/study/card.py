# SPDX-License-Identifier: Apache-2.0
"""The data card of a study and the record of where it ran."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd

from monai_cl_ext.data.store import file_contents
from monai_cl_ext.handlers.run_record import versions
from monai_cl_ext.study.bundles import Bundle
from monai_cl_ext.study.plan import Plan
from monai_cl_ext.study.problems import PROBLEMS
from monai_cl_ext.study.splits import PARTS


def data_card(plan: Plan) -> pd.DataFrame:
    """One row for each part of each split: its patients, its images, and those with each class.

    Raises:
        ValueError: when a file is refused, or no label of the validation patients of a split holds a class.
    """
    places = [(fold, part) for fold in range(len(plan.splits)) for part in PARTS]
    parts = [plan.splits[fold][part] for fold, part in places]
    cards = PROBLEMS[plan.problem].cards(parts, plan.classes, plan.settings)
    for (fold, part), card in zip(places, cards, strict=True):
        counts = [card[name] for name in (f"volumes with {named}" for named in plan.classes.values()) if name in card]
        if part == "validation" and counts and not any(counts):
            raise ValueError(
                f"split {fold}: no label of its {card['patients']} validation patient(s) holds a class, so they can "
                "choose neither weights nor learning rates; give more of them, or another --split_seed"
            )
    return pd.DataFrame(
        [{"fold": fold, "part": part, **card} for (fold, part), card in zip(places, cards, strict=True)]
    )


def environment(plan: Plan) -> dict[str, Any]:
    """What is needed to run a study again: versions, a checkout's commit, hashes of bundles and data, the machine."""
    return {
        **code(),
        "bundles": {bundle.folder.name: config_hash(bundle) for bundle in bundles_of(plan)},
        "files": plan_files(plan),
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        "threads": os.environ.get("OMP_NUM_THREADS", ""),
    }


def code() -> dict[str, Any]:
    """Versions of the packages, and the commit of a checkout with what was changed in it since."""
    package = Path(__file__).resolve().parents[2]
    return {
        "versions": {**versions(), "pandas": pd.__version__},
        "commit": _git(package, "rev-parse", "HEAD"),
        "changed_files": _git(package, "status", "--porcelain", "--untracked-files=no"),
    }


def bundles_of(plan: Plan) -> list[Bundle]:
    """Those that pre-train and those that train, some of them several times."""
    return [bundle for recipe in plan.recipes.values() for bundle in (recipe.pretraining, recipe.training) if bundle]


def plan_files(plan: Plan) -> dict[str, str]:
    """A hash of each image of a study, and of each label that is a file."""
    files = ("image", "label") if PROBLEMS[plan.problem].maps else ("image",)
    cases = [case for split in plan.splits for part in split.values() for case in part]
    return file_contents({key: case[key] for key in files if key in case} for case in cases)


def config_hash(bundle: Bundle) -> str:
    """Of all config files of a bundle, of the package's overlays that serve it, and of its own code but for tests."""
    digest = hashlib.sha256()
    own = {path.stem for path in (bundle.folder / "configs").glob("*.json")}
    for path in sorted(map(bundle.path, {*own, *bundle.known_overlays}), key=lambda path: path.name):
        digest.update(path.name.encode() + path.read_bytes())
    for path in sorted((bundle.folder / "scripts").rglob("*.py")):
        if not path.name.startswith("test_"):
            digest.update(path.relative_to(bundle.folder).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
