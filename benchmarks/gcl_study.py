# SPDX-License-Identifier: Apache-2.0
"""Does contrast help? Scratch, global and local contrast at few labeled patients, the paper's network, in one command.

    python benchmarks/gcl_study.py --dataset_dir DIR --output runs/gcl

Every cell is run by ``python -m monai.bundle run`` in a folder of its own. A cell with its last file is not run again,
a broken one goes on at its last epoch: the same command continues a stopped study. ``table`` alone prints the table.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from monai_cl_ext.csv_files import read_table
from monai_cl_ext.study.bundles import Bundle

BUNDLE = Path(__file__).resolve().parents[1] / "bundles" / "gcl_segmentation"
GLOBAL = {"G^R": "strategy_gr", "G^D": "strategy_gd"}
STARTS = ["scratch", "G^R", "G^D", "G^R+L^R", "G^D+L^R"]


def run_bundle(configs: list[str], folder: Path, last_file: str, threads: int, **settings: object) -> None:
    """Runs one stage unless ``last_file`` shows that it has completed; its output goes to a log in ``folder``.

    Raises:
        ValueError: when the folder holds this stage under other settings.
        RuntimeError: when the run fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    record, wanted = folder / f"{last_file}.json", json.dumps([configs, settings], default=str, indent=1)
    if record.exists() and record.read_text() != wanted:
        raise ValueError(f"{record} tells of other settings; give another --output, or remove {folder}")
    record.write_text(wanted)
    if (folder / last_file).exists():
        return
    files = [str(Bundle(BUNDLE).path(name)) for name in configs]
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(files)]
    settings = {"bundle_root": BUNDLE, "ckpt_dir": folder, "output_dir": folder, "resume": True, **settings}
    for name, value in settings.items():
        command += [f"--{name}", str(value)]
    start = time.perf_counter()
    with open(folder / f"{configs[0]}.log", "a") as log:
        status = subprocess.run(
            command, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, "OMP_NUM_THREADS": str(threads)}
        ).returncode
    name = "/".join(folder.parts[-2:])
    print(
        f"{name} {'+'.join(configs)}: {'done' if status == 0 else 'FAILED'} in {time.perf_counter() - start:.0f} s",
        flush=True,
    )
    if status:
        raise RuntimeError(f"{name} failed, see {log.name}")


def run(arguments: argparse.Namespace) -> None:
    """Pre-trains once a strategy, then fine-tunes and scores every cell."""
    root, threads = Path(arguments.output).resolve(), max(1, os.cpu_count() // arguments.workers)
    data = {
        "dataset_dir": Path(arguments.dataset_dir).resolve(),
        "validation_patients": arguments.validation,
        "test_patients": arguments.test,
        "image_size": [arguments.size, arguments.size],
        "pixdim": [arguments.pixdim, arguments.pixdim] if arguments.pixdim else [],
        "slice_axis": arguments.slice_axis,
        "num_classes": arguments.num_classes,
    }

    def pretrain(name: str) -> None:
        schedule = {"epochs": arguments.pretrain_steps // 100, "amp": True}
        configs = ["pretrain_global", "network_gcl", GLOBAL[name]]
        run_bundle(configs, root / name, "model_pretrain_global.pt", threads, **schedule, **data)
        if f"{name}+L^R" in arguments.methods:
            configs, start = ["pretrain_local", "network_gcl"], root / name / "model_pretrain_global.pt"
            folder = root / f"{name}+L^R"
            run_bundle(configs, folder, "model_pretrain_local.pt", threads, pretrained=start, **schedule, **data)

    def finetune(cell: tuple[str, int, int]) -> None:
        name, labelled, draw = cell
        folder = root / name / f"labelled_{labelled}_draw_{draw}"
        settings = {"labelled_patients": labelled, "draw": draw, **data}
        tuning = {"epochs": arguments.finetune_steps // 50, "val_interval": arguments.val_interval}
        tuning["batch_size"] = arguments.batch_size
        if name != "scratch":
            stage = "local" if "+" in name else "global"
            settings["pretrained"] = root / name / f"model_pretrain_{stage}.pt"
        run_bundle(["train", "network_gcl"], folder, "model_final.pt", threads, **settings, **tuning)
        run_bundle(["train", "evaluate", "network_gcl"], folder, "metrics.csv", threads, **settings)

    cells = list(itertools.product(arguments.methods, arguments.labelled, range(arguments.draws)))
    with ThreadPoolExecutor(arguments.workers) as pool:
        list(
            pool.map(pretrain, [name for name in GLOBAL if any(start.startswith(name) for start in arguments.methods)])
        )
        list(pool.map(finetune, sorted(cells, key=lambda cell: (cell[2], cell[1]))))


def scores(root: Path) -> pd.DataFrame:
    """Dice of each patient: mean over classes, frames and draws, for each method and number of labeled patients."""
    rows = []
    for path in root.glob("*/labelled_*/metrics.csv"):
        _, labelled, _, draw = path.parent.name.split("_")
        table = read_table(path, dtype={"volume": str}, na_values={"dice": ["nan"]})
        dice = table.groupby(table["volume"].str.replace(r"_frame\d+$", "", regex=True))["dice"].mean()
        rows += [(path.parts[-3], int(labelled), int(draw), patient, value) for patient, value in dice.items()]
    return pd.DataFrame(rows, columns=["method", "labelled", "draw", "patient", "dice"])


def interval(values: np.ndarray) -> str:
    """Mean and 95 % t-interval over patients."""
    half = stats.sem(values) * stats.t.ppf(0.975, len(values) - 1)
    return f"{values.mean():.3f} [{values.mean() - half:.3f}, {values.mean() + half:.3f}]"


def table(root: Path) -> str:
    """Markdown: Dice a method, and its paired difference from scratch with a sign-flip permutation test."""
    frame = scores(root)
    lines = [
        "| labeled patients | start | draws | Dice, each draw | Dice | difference from scratch | p |",
        "|---|---|---|---|---|---|---|",
    ]
    for labelled, group in frame.groupby("labelled"):
        cells = group.pivot_table(index=["draw", "patient"], columns="method", values="dice")
        wide = cells.dropna().groupby("patient").mean()  # draws that every method has
        for name in [name for name in STARTS if name in wide]:
            draws = cells.dropna()[name].groupby("draw").mean()
            difference, p = "", ""
            if name != "scratch" and "scratch" in wide:
                paired = (wide[name] - wide["scratch"]).to_numpy()
                test = stats.permutation_test((paired,), np.mean, permutation_type="samples", n_resamples=9999, rng=0)
                difference, p = interval(paired), f"{test.pvalue:.4f}"
            each = ", ".join(f"{value:.3f}" for value in draws)
            mean = interval(wide[name].to_numpy())
            lines.append(f"| {labelled} | {name} | {len(draws)} | {each} | {mean} | {difference} | {p} |")
    return "\n".join(lines)


def main() -> None:
    """Reads the arguments, runs what is missing and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset_dir")
    parser.add_argument("--output", default="runs/gcl")
    parser.add_argument("--methods", nargs="+", default=STARTS, choices=STARTS)
    parser.add_argument("--labelled", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--validation", type=int, default=8, help="patients")
    parser.add_argument("--test", type=int, default=20, help="patients")
    parser.add_argument("--size", type=int, default=96, help="pixels a side")
    parser.add_argument("--pixdim", type=float, default=2.0, help="in-plane spacing; 0 does not resample")
    parser.add_argument("--slice_axis", type=int, default=2)
    parser.add_argument("--num_classes", type=int, default=4, help="background included")
    parser.add_argument("--pretrain_steps", type=int, default=1500)
    parser.add_argument("--finetune_steps", type=int, default=500)
    parser.add_argument("--batch_size", type=int, default=8, help="slices a fine-tuning step")
    parser.add_argument("--val_interval", type=int, default=5, help="validate every so many times 50 steps")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--table", action="store_true", help="print the table of what has been run")
    arguments = parser.parse_args()
    if not arguments.table:
        run(arguments)
    print(table(Path(arguments.output)))


if __name__ == "__main__":
    main()
