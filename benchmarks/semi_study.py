# SPDX-License-Identifier: Apache-2.0
"""What was registered of a study of semi-supervised methods: their order on validation patients, and its comparisons.

    python benchmarks/semi_study.py --study runs/semi
    python benchmarks/semi_study.py --study runs/semi --last --pairs "G^D > BCP:BCP" "G^D > self-training:self-training"

Several studies of the same patients, draws and labels, each with methods of its own, are read as one. Without --pairs
it compares each method with the first one. It prints the mean over draws of the best Dice of validation patients, by
which methods are chosen, whatever the test scores are; then each difference with its 95 % interval over patients and
draws and its p-value, corrected by Holm over the pairs.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
from statsmodels.stats.multitest import multipletests

from monai_cl_ext.study.comparison import Comparison
from monai_cl_ext.study.layout import SCORES, SCORES_LAST
from monai_cl_ext.study.report.records import Study, read_study
from monai_cl_ext.study.scores import read_scores
from monai_cl_ext.visualize.records import find_runs

CURVE = "mean_dice"


def validation_dice(study: Study) -> pd.DataFrame:
    """The best Dice of validation patients of each training that is scored on test patients.

    Returns:
        Columns method, labelled, draw, dice.
    """
    rows = []
    for cell in study.finetuned:
        for run in find_runs(study.folder / cell.name):
            if "train" in run.stages and CURVE in (curves := run.curves("train")):
                facts = {name: cell.facts[name] for name in ("method", "labelled", "draw")}
                rows.append({**facts, "dice": max(value for _, value in curves[CURVE])})
    return pd.DataFrame(rows)


def test_scores(studies: list[Study], table: str) -> pd.DataFrame:
    """Those of all trainings in the folders, also of methods and numbers of labels that an earlier command gave."""
    tables = (study.folder / cell.name / table for study in studies for cell in study.finetuned)
    return pd.concat(read_scores(path) for path in tables if path.is_file())


def differences(scores: pd.DataFrame, pairs: list[tuple[str, str]], labelled: int) -> pd.DataFrame:
    """Difference of mean Dice of each pair, the first method minus the second, corrected over all pairs."""
    rows = []
    for method, reference in pairs:
        pair = scores[scores["method"].isin([method, reference]) & (scores["labelled"] == labelled)]
        rows.append(Comparison(pair, "dice", reference).differences.iloc[0])
    table = pd.DataFrame(rows)[["method", "mean", "low", "high", "p"]]
    table["reference"] = [reference for _, reference in pairs]
    table["p_holm"] = multipletests(table["p"], method="holm")[1]
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", type=Path, nargs="+", required=True)
    parser.add_argument("--last", action="store_true", help="scores of the last checkpoint")
    parser.add_argument("--pairs", nargs="+", default=[], help="METHOD:REFERENCE")
    args = parser.parse_args()
    studies = [read_study(folder) for folder in args.study]
    if any(each.plan.splits != studies[0].plan.splits for each in studies):
        parser.error("--study: expected studies of one split of patients")
    print("Dice of validation patients, best epoch, mean over draws\n")
    validation = pd.concat(map(validation_dice, studies)).groupby(["labelled", "method"])["dice"]
    print(validation.agg(["mean", "count"]).round(3).to_string())
    scores = test_scores(studies, SCORES_LAST if args.last else SCORES)
    first, *others = (method for study in studies for method in study.plan.methods)
    pairs = [(method, reference) for method, _, reference in (pair.rpartition(":") for pair in args.pairs)]
    if unknown := {method for pair in pairs for method in pair} - set(scores["method"]):
        parser.error(f"--pairs: the studies have no {', '.join(sorted(unknown))}")
    for labelled in sorted(set(scores["labelled"])):
        print(f"\n{labelled} labeled patients, test patients\n")
        trained = set(scores.loc[scores["labelled"] == labelled, "method"])
        compared = [pair for pair in pairs or [(method, first) for method in others] if trained.issuperset(pair)]
        print(differences(scores, compared, labelled).round(4).to_string() if compared else "none of the pairs")


if __name__ == "__main__":
    main()
