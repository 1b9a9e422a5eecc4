# SPDX-License-Identifier: Apache-2.0
"""Three minutes from nothing to a report: what unlabeled images buy with one labeled patient, on phantom volumes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from monai_cl_ext.data.phantom import write_phantom
from monai_cl_ext.screen import logged_to
from monai_cl_ext.study.cells import tasks
from monai_cl_ext.study.collection import write_tables
from monai_cl_ext.study.commands import keep_plan
from monai_cl_ext.study.layout import LOG
from monai_cl_ext.study.pool import run_in_pool
from monai_cl_ext.study.report.page import write_study_report
from monai_cl_ext.study.report.records import Study, read_study
from monai_cl_ext.study.scheduler import alone
from monai_cl_ext.study.task import Task

PATIENTS = 50
SUPERVISED, SEMI_SUPERVISED, CHAIN = "supervised", "semi-supervised", "pre-trained + semi-supervised"
PLAN: dict[str, Any] = {
    "methods": {
        SUPERVISED: "scratch > supervised_segmentation",
        SEMI_SUPERVISED: "scratch > bcp_segmentation",
        CHAIN: "gcl_segmentation+no_local > bcp_segmentation",
    },
    "labelled": [1],
    "draws": 1,
    "validation": 2,  # the least; with one validation, after the last epoch, they choose nothing
    "test": 16,
    "scratch_learning_rates": [],
    "settings": {"image_size": [48, 48], "pixdim": [3.3, 3.3], "network_def#features": [8, 16, 32, 32, 32, 8]},
    "pretrain_settings": {"epochs": 3, "batches_per_epoch": 100},
    "train_settings": {
        "epochs": 6,
        "val_interval": 6,
        "batches_per_epoch": 100,
        "batch_size": 8,
        "learning_rate": 0.002,
    },
}
TOLD = {
    SUPERVISED: "training on one labeled patient alone",
    SEMI_SUPERVISED: "the same label, and pseudo-labels of the patients without (copy-paste)",
    CHAIN: "the same again, from the pre-trained encoder",
}
PRETRAINING = "pre-training without labels: slices of one place in the heart attract each other"
NEXT = """With your own volumes (a folder of NIfTI files, labels of a few patients), nothing to choose:
    python -m monai_cl_ext train DIR --output RUN
    python -m monai_cl_ext predict RUN IMAGES --output OUT
The demo was a study of one number of labeled patients; one of your own, with every method here:
    python -m monai_cl_ext study run --help"""


def run_demo(output: str | Path, seed: int = 0) -> Path:
    """Runs what is missing of the demo and writes its report; a demo that was interrupted goes on where it stopped.

    Args:
        output: folder of the demo; the folder that it made before, or a new one.
        seed: of the phantom's patients and of their split.

    Returns:
        The report page.
    """
    root = Path(output).resolve()
    root.mkdir(parents=True, exist_ok=True)
    with alone(root), logged_to(root / LOG) as say:
        say(f"{PATIENTS} phantom patients")
        if not (root / "phantom" / "dataset.json").is_file():
            shutil.rmtree(root / "unfinished", ignore_errors=True)
            write_phantom(root / "unfinished", PATIENTS, seed, progress=True).rename(root / "phantom")
        cells = tasks(keep_plan(root, {**PLAN, "dataset_dir": str(root / "phantom"), "split_seed": seed}), root)
        say("\n".join(["two at a time:", *(f"  {_told(cell)}" for cell in cells)]))
        run_in_pool(cells, root)
        write_tables(cells, root)
        page = write_study_report(root)
        say(f"\n{gains(read_study(root))}\n\nreport: {page}\n\n{NEXT}")
    return page


def _told(cell: Task) -> str:
    """What a cell does."""
    return TOLD[cell.facts["method"]] if cell.facts else PRETRAINING


def gains(study: Study) -> str:
    """The mean Dice of each arm on the test patients, and what it gains on the one before."""
    means = study.primary.summary.set_index("method")["mean"]
    lines = [f"mean Dice of {study.scores['patient'].nunique()} test patients"]
    before: float | None = None
    for name in PLAN["methods"]:
        told = "" if before is None else f"   {means[name] - before:+.3f}"
        lines.append(f"  {name:30} {means[name]:.3f}{told}")
        before = means[name]
    return "\n".join(lines)
