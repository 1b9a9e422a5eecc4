# SPDX-License-Identifier: Apache-2.0
"""One pre-training before several networks: for each network a study of a method and a reference, of the same patients.

    python benchmarks/network_study.py --study runs/backbones_unet runs/backbones_attunet --pair SuperCL:scratch

For each study: the Dice of test patients by draw, that of validation patients, the 95 % Hausdorff distance and the
minutes of a stage; then the method minus the reference with its 95 % interval over patients and draws and its p-value,
corrected by Holm over the studies, of the best and of the last checkpoint. Then the network of each study minus that of
the first, after the method, which is not tested.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
from semi_study import differences, test_scores, validation_dice
from statsmodels.stats.multitest import multipletests

from monai_cl_ext.study.comparison import Comparison
from monai_cl_ext.study.layout import SCORES, SCORES_LAST
from monai_cl_ext.study.report.cost_records import method_costs
from monai_cl_ext.study.report.records import Study, read_study

STAGES = ["pretrain", "train"]


def means(study: Study) -> pd.DataFrame:
    """A row for each method: Dice of each draw and over all, of validation patients, distance, minutes of a stage."""
    scores = test_scores([study], SCORES)
    dice, distance = (Comparison(scores, metric).patient_table for metric in ("dice", "hd95"))
    table = dice.pivot_table(index="method", columns="draw", values="value")
    table["mean"] = table.mean(axis=1)
    table["validation"] = validation_dice(study).groupby("method")["dice"].mean()
    table["hd95"] = distance.groupby("method")["value"].mean()
    costs = method_costs(study).query("stage in @STAGES")
    return table.join(costs.pivot_table(index="method", columns="stage", values="seconds") / 60)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", type=Path, nargs="+", required=True, help="the first is that of the first network")
    parser.add_argument("--pair", required=True, help="METHOD:REFERENCE")
    args = parser.parse_args()
    studies = {folder.name: read_study(folder) for folder in args.study}
    method, _, reference = args.pair.rpartition(":")
    print(pd.concat({name: means(study) for name, study in studies.items()}).round(3).to_string())
    for table in (SCORES, SCORES_LAST):
        scores = {name: test_scores([study], table) for name, study in studies.items()}
        (labelled,) = set(pd.concat(scores.values())["labelled"])
        rows = {name: differences(found, [(method, reference)], labelled) for name, found in scores.items()}
        found = pd.concat(rows).droplevel(1)
        found["p_holm"] = multipletests(found["p"], method="holm")[1]
        print(f"\n{table}: {method} minus {reference}\n\n{found.round(4).to_string()}")
        after = pd.concat(each[each["method"] == method].assign(method=name) for name, each in scores.items())
        first, *others = scores
        if others:
            networks = differences(after, [(name, first) for name in others], labelled)[
                ["method", "mean", "low", "high"]
            ]
            print(f"\nNetworks after {method} minus {first}, not tested\n\n{networks.round(4).to_string(index=False)}")


if __name__ == "__main__":
    main()
