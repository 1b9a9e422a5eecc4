# SPDX-License-Identifier: Apache-2.0
"""Does the demo's gain depend on its seed? The demo over several seeds, each with phantoms and splits of its own.

    python benchmarks/demo_seeds.py --output runs/demo --seeds 0 1 2 3 4

Runs are in runs/demo_0, runs/demo_1, ...; one that was stopped goes on, one that is done is not run again. It prints
the gain of every draw and the mean over seeds with a t-interval, and draws the scores of all seeds in one figure.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from monai_cl_ext.demo import run_demo
from monai_cl_ext.study.comparison import Comparison
from monai_cl_ext.study.report.scores import draw_class_scores
from monai_cl_ext.study.scores import read_table


def dice_of_seeds(output: str, seeds: list[int]) -> pd.DataFrame:
    """The rows of every seed's scores.csv, with the seed before the names of draw, patient and volume."""
    tables = []
    for seed in seeds:
        folder = Path(f"{output}_{seed}")
        run_demo(folder, seed)
        table = read_table(folder / "scores.csv")
        table["draw"] += 1000 * seed
        for name in ("patient", "volume"):
            table[name] = f"seed{seed}_" + table[name]
        tables.append(table.assign(phantom=seed))
    return pd.concat(tables, ignore_index=True)


def gains(scores: pd.DataFrame) -> pd.DataFrame:
    """Mean Dice of every seed and draw, from scratch and pre-trained, and the difference."""
    dice = scores[scores["metric"] == "dice"]
    means = dice.groupby(["phantom", "draw", "method"])["value"].mean().unstack("method")
    return means.assign(gain=means["pre-trained"] - means["scratch"]).reset_index()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", default="runs/demo")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    args = parser.parse_args()
    scores = dice_of_seeds(args.output, args.seeds)
    table = gains(scores)
    print("| seed | Dice from scratch, pre-trained, each draw | mean gain |\n|---|---|---|")
    for seed, rows in table.groupby("phantom"):
        draws = "; ".join(f"{a:.3f}, {b:.3f}" for a, b in zip(rows["scratch"], rows["pre-trained"], strict=True))
        print(f"| {seed} | {draws} | {rows['gain'].mean():+.3f} |")
    means = table.groupby("phantom")["gain"].mean().to_numpy()
    interval = stats.t.interval(0.95, len(means) - 1, means.mean(), stats.sem(means))
    print(
        f"\nmean Dice {table['scratch'].mean():.3f} from scratch, {table['pre-trained'].mean():.3f} pre-trained; gain "
        f"{means.mean():+.3f}, 95 % t-interval over {len(means)} seeds [{interval[0]:+.3f}, {interval[1]:+.3f}]; "
        f"above 0 for {int((means > 0).sum())} of {len(means)} seeds and {int((table['gain'] > 0).sum())} of "
        f"{len(table)} draws, from {table['gain'].min():+.3f} to {table['gain'].max():+.3f} (standard deviation over "
        f"seeds {np.std(means, ddof=1):.3f})"
    )
    figure = Path(f"{args.output}_seeds.png")
    draw_class_scores(Comparison(scores, "dice"), 2, "1: the same").figure.savefig(figure, dpi=160)
    print(f"figure: {figure}")


if __name__ == "__main__":
    main()
