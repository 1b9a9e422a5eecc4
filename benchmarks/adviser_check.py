# SPDX-License-Identifier: Apache-2.0
"""Does the adviser's score of a strength, taken before any training, predict the Dice after it?

    python benchmarks/adviser_check.py --study runs/strengths --policy bundles/.../policy_strong.json [--json FILE]

The study is one of ``python -m monai_cl_ext study run`` whose methods are named by a start and a strength, such as
"G^D 0.25". The adviser reads the images of the study's pre-training patients alone. For each start its score of the
strengths is laid beside the mean Dice of the test patients, with Spearman's rank correlation over the strengths.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from monai_cl_ext.advise import advise
from monai_cl_ext.advise.spaces import RANDOM
from monai_cl_ext.study.comparison import summary
from monai_cl_ext.study.plan import Plan


def rank_correlation(before: Sequence[float], after: Sequence[float]) -> dict[str, float]:
    """Spearman's correlation and its two-sided p over all pairings; nothing where one of the two does not vary."""
    if len(before) < 3 or np.ptp(before) == 0 or np.ptp(after) == 0:
        return {}
    statistic = partial(lambda after, before: stats.spearmanr(before, after).statistic, np.asarray(after))
    test = stats.permutation_test((np.asarray(before),), statistic, permutation_type="pairings", rng=0)
    return {"spearman": float(test.statistic), "p": float(test.pvalue)}


def starts_and_strengths(methods: Sequence[str]) -> dict[str, dict[float, str]]:
    """For each start the method of each strength."""
    found: dict[str, dict[float, str]] = {}
    for method in methods:
        start, _, strength = method.rpartition(" ")
        if start:
            found.setdefault(start, {})[float(strength)] = method
    return found


def check(study: Path, policy: str, size: int, images: int) -> dict[str, Any]:
    """The adviser's suggestion, and for each start its strengths with scores and Dice, and their correlation."""
    plan = Plan.from_json((study / "plan.json").read_text())
    dice = summary(pd.read_csv(study / "scores.csv", dtype={"class": str, "patient": str}), "dice").set_index("method")
    starts = starts_and_strengths(list(dice.index))
    with tempfile.TemporaryDirectory() as folder:
        for case in plan.splits[0]["pretrain"]:
            (Path(folder) / Path(case["image"]).name).symlink_to(case["image"])
        strengths = sorted({strength for ladder in starts.values() for strength in ladder} | {0.0})
        advice = advise(
            folder,
            policy,
            strengths=strengths,
            size=size,
            images=images,
            slice_axis=plan.settings.get("slice_axis", 2),
            progress=False,
        )
    aucs = {rung.strength: rung.spaces[RANDOM].measures["auc"] for rung in advice.strengths}
    found = {}
    for start, ladder in starts.items():
        rows = [
            {
                "strength": strength,
                "auc": aucs[strength],
                "score": advice.scores[strength],
                **dice.loc[method].to_dict(),
            }
            for strength, method in sorted(ladder.items())
        ]
        scores, means = ([row[name] for row in rows] for name in ("score", "mean"))
        found[start] = {"strengths": rows, **rank_correlation(scores, means)}
    return {"suggested": advice.strength, "images": advice.facts["images"], "starts": found}


def main() -> None:
    """Reads the arguments and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", type=Path, required=True)
    parser.add_argument("--policy", default="strong", help="as of the command advise")
    parser.add_argument("--size", type=int, default=64, help="side of the study's views")
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    found = check(arguments.study, arguments.policy, arguments.size, arguments.images)
    print(f"suggested strength {found['suggested']:g}, of {found['images']} images")
    for start, one in found["starts"].items():
        print(f"\n| {start}: strength | AUC | score | Dice |\n|---|---|---|---|")
        for row in one["strengths"]:
            figures = "{strength:g} | {auc:.3f} | {score:.3f} | {mean:.3f} [{low:.3f}, {high:.3f}]".format_map(row)
            print(f"| {figures} |")
        if "spearman" in one:
            print(f"\nSpearman {one['spearman']:+.2f}, p = {one['p']:.2f} over {len(one['strengths'])} strengths")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1, default=float))


if __name__ == "__main__":
    main()
