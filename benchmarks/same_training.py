# SPDX-License-Identifier: Apache-2.0
"""Do short runs of every stage give the weights that an earlier commit gave?

    python benchmarks/same_training.py --before COMMIT

Each stage of pre-training and training runs two epochs of six steps on a phantom, seeded, once by the code of this
checkout and once by that of the commit, in a process of its own each. The largest difference of a weight is told. The
first steps of Adam have the size of the learning rate whatever the gradient's: a last bit of a gradient near zero may
show as twice that.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

SMALL = {
    "image_size": [32, 32], "pixdim": [5.0, 5.0], "network_def#features": [4, 8, 8, 8, 8, 4], "epochs": 2,
    "batches_per_epoch": 6, "validation_patients": 2, "test_patients": 2, "seed": 3,
}  # fmt: skip
PAIRS, ROWS = {"volumes_per_batch": 2}, {"batch_size": 8}
RUNS = {
    "GCL G^D": ("gcl_segmentation", ["pretrain_global"], PAIRS),
    "GCL G^R": ("gcl_segmentation+strategy_gr", ["pretrain_global"], PAIRS),
    "GCL G^D-": ("gcl_segmentation+strategy_gd_minus", ["pretrain_global"], PAIRS),
    "GCL L^R": ("gcl_segmentation", ["pretrain_global", "pretrain_local"], PAIRS),
    "GCL L^D": ("gcl_segmentation+local_strategy_ld", ["pretrain_global", "pretrain_local"], PAIRS),
    "PCL": ("pcl_segmentation", ["pretrain"], ROWS),
    "PCL by partition": ("pcl_segmentation+positives_partition", ["pretrain"], ROWS),
    "PCL by view": ("pcl_segmentation+positives_view", ["pretrain"], ROWS),
    "WCL": ("wcl_segmentation", ["pretrain"], ROWS),
    "SuperCL": ("supercl_segmentation", ["pretrain"], ROWS),
    "SuperCL with WCL": ("supercl_segmentation+instance_wcl", ["pretrain"], ROWS),
    "rotation": ("pretext_segmentation+pretext_rotation", ["pretrain"], ROWS),
    "inpainting": ("pretext_segmentation+pretext_inpainting", ["pretrain"], ROWS),
    "context restoration": ("pretext_segmentation+pretext_context_restoration", ["pretrain"], ROWS),
    "DINO": ("dino_segmentation", ["pretrain"], {**ROWS, "out_dim": 32, "head_width": 32, "bottleneck": 16}),
    "supervised": ("gcl_segmentation", ["train"], ROWS),
    "Mixup": ("gcl_segmentation+mixup", ["train"], ROWS),
    "self-training": ("gcl_segmentation+self_training", ["train"], {**ROWS, "rounds": 1, "labelled_patients": 2}),
}


def run_all(data: Path, output: Path) -> None:
    """Every run by the package that this process imports; writes the weights of each last stage."""
    from monai_cl_ext.study.bundles import find_bundle
    from monai_cl_ext.study.stage import run_stage

    for name, (bundle, stages, more) in RUNS.items():
        made = find_bundle(bundle).copy(output / name.replace(" ", "_"))
        for stage in stages:
            run_stage(made, [stage], {**SMALL, **more, "dataset_dir": str(data)})
        file = "model_final.pt" if stages == ["train"] else f"model_{stages[-1]}.pt"
        torch.save(torch.load(made.folder / "models" / file, weights_only=True), output / f"{name}.pt")


def run_by(checkout: Path, data: Path, output: Path) -> None:
    """The runs by the code of a checkout, with one thread."""
    environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "--data", str(data), "--output", str(output)]
    with (output / "log.txt").open("w") as log:
        subprocess.run(command, cwd=checkout, env=environment, check=True, stdout=log, stderr=log)


def difference(first: Path, second: Path) -> str:
    """How the weights of two files differ."""
    one, other = (torch.load(path, weights_only=True) for path in (first, second))
    if one.keys() != other.keys():
        return "other names of weights"
    if all(torch.equal(one[name], other[name]) for name in one):
        return "equal bit for bit"
    return (
        f"largest difference {max((one[name].double() - other[name].double()).abs().max().item() for name in one):.1e}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", help="commit to compare with")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    if arguments.output:
        return run_all(arguments.data, arguments.output)
    if not arguments.before:
        parser.error("give the commit to compare with, --before COMMIT")
    from monai_cl_ext.data import write_phantom

    here = Path(__file__).resolve().parents[1]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        data = write_phantom(root / "phantom", patients=10, seed=0)
        tree = str(root / "tree")
        subprocess.run(["git", "-C", str(here), "worktree", "add", "--detach", tree, arguments.before], check=True)
        try:
            for name, checkout in (("before", root / "tree"), ("now", here)):
                (root / name).mkdir()
                run_by(checkout, data, root / name)
            for name in RUNS:
                print(f"{name:20s} {difference(root / 'before' / f'{name}.pt', root / 'now' / f'{name}.pt')}")
        finally:
            subprocess.run(["git", "-C", str(here), "worktree", "remove", "--force", tree], check=True)


if __name__ == "__main__":
    main()
