# SPDX-License-Identifier: Apache-2.0
"""Does the demo's gain depend on its seed? The demo over ten seeds, each with phantoms and splits of its own.

    python benchmarks/demo_seeds.py --output runs/demo

Runs are in runs/demo_0, runs/demo_1, ...; one that was stopped goes on, one that is done is not run again. It prints
and draws the mean Dice of each arm for every seed, the gain of the last arm on the first with a t-interval, and how
long it took.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from scipy import stats

from monai_cl_ext.demo import CHAIN, PLAN, SUPERVISED, run_demo
from monai_cl_ext.study.report.records import read_study
from monai_cl_ext.visualize.drawing import COLORS, MARKERS, styled


def arms_of(folder: Path, seed: int) -> dict[str, float]:
    """Mean Dice of each arm of the demo with a seed, and seconds of what was run now."""
    begin = time.perf_counter()
    run_demo(folder, seed)
    seconds = time.perf_counter() - begin
    means = read_study(folder).primary.summary.set_index("method")["mean"]
    return {**{name: float(means[name]) for name in PLAN["methods"]}, "seconds": seconds}


@styled
def draw_arms(table: pd.DataFrame) -> Figure:
    """The arms of every seed, one below the other, seeds in the order of supervised training."""
    ordered = table.sort_values(SUPERVISED)
    figure = Figure(figsize=(6.2, 3.0), layout="constrained")
    axes = figure.subplots()
    for row, (_, scores) in enumerate(ordered.iterrows()):
        values = [scores[name] for name in PLAN["methods"]]
        axes.plot([min(values), max(values)], [row, row], color="#CCCCCC", zorder=1)
    for name, color, marker in zip(PLAN["methods"], COLORS, MARKERS, strict=False):
        axes.scatter(ordered[name], range(len(ordered)), color=color, marker=marker, label=name, zorder=2)
    axes.set_yticks(range(len(ordered)), [f"seed {seed}" for seed in ordered.index])
    axes.set_xlabel("mean Dice of 16 test patients, one labeled patient")
    figure.legend(loc="outside upper center", ncols=3)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", default="runs/demo")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(10)))
    args = parser.parse_args()
    table = pd.DataFrame({seed: arms_of(Path(f"{args.output}_{seed}"), seed) for seed in args.seeds}).T
    gains = table[CHAIN] - table[SUPERVISED]
    names = list(PLAN["methods"])
    print(f"| seed | {' | '.join(names)} | gain | seconds |\n|{'---|' * (len(names) + 3)}")
    for seed, row in table.iterrows():
        scores = " | ".join(f"{row[name]:.3f}" for name in names)
        print(f"| {seed} | {scores} | {gains[seed]:+.3f} | {row['seconds']:.0f} |")
    print(f"\ngain above 0 for {int((gains > 0).sum())} of {len(gains)} seeds, mean {gains.mean():+.3f}", end="")
    if len(gains) > 1:
        low, high = stats.t.interval(0.95, len(gains) - 1, gains.mean(), stats.sem(gains))
        print(f", 95 % t-interval over seeds [{low:+.3f}, {high:+.3f}], from {gains.min():+.3f} to {gains.max():+.3f}")
    figure = Path(f"{args.output}_seeds.png")
    draw_arms(table).savefig(figure, dpi=160)
    print(f"figure: {figure}")
    for before, after in zip(names, names[1:], strict=False):
        steps = table[after] - table[before]
        print(f"{after} - {before}: mean {steps.mean():+.3f}, above 0 for {int((steps > 0).sum())} of {len(steps)}")


if __name__ == "__main__":
    main()
