# SPDX-License-Identifier: Apache-2.0
"""Ten minutes from nothing to a report: a small study of pre-training against scratch on phantom volumes."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from monai_cl_ext.data.phantom import write_phantom
from monai_cl_ext.study.cells import tasks
from monai_cl_ext.study.collection import write_tables
from monai_cl_ext.study.commands import keep_plan
from monai_cl_ext.study.report.lead import findings, numbers
from monai_cl_ext.study.report.page import write_study_report
from monai_cl_ext.study.report.records import read_study
from monai_cl_ext.study.report.tables import metric_tables
from monai_cl_ext.study.scheduler import alone
from monai_cl_ext.study.task import Task, run_task, write_task

PATIENTS = 100
PLAN = {
    "methods": {"scratch": "scratch", "pre-trained": "gcl_segmentation"},
    "labelled": [2],
    "draws": 4,
    "validation": 6,
    "test": 20,
    "scratch_learning_rates": [],
    "settings": {"image_size": [64, 64], "pixdim": [2.5, 2.5], "batches_per_epoch": 100},
    "pretrain_settings": {"amp": True},
    "stage_settings": {"pretrain_global": {"epochs": 20}, "pretrain_local": {"epochs": 2}},
    "train_settings": {"epochs": 4, "val_interval": 2, "batches_per_epoch": 50},
}
STAGES = {
    "pretrain_global": "global contrast: slices of one place in the heart attract each other; no labels",
    "pretrain_local": "local contrast: regions of a slice tell each other apart; no labels",
}
NEXT = """With your own volumes (a folder of NIfTI files; labels of a few patients), in a folder of your own:
    python -m monai_cl_ext bundle copy gcl_segmentation --output .
    cd gcl_segmentation
    python -m monai.bundle run --config_file configs/pretrain_global.json --dataset_dir DIR
    python -m monai.bundle run --config_file configs/pretrain_local.json --dataset_dir DIR
    python -m monai.bundle run --config_file configs/train.json --dataset_dir DIR \\
        --labelled_patients 2 --num_classes N --pretrained models/model_pretrain_local.pt
    python -m monai.bundle run --config_file "['configs/train.json','configs/evaluate.json']" --dataset_dir DIR \\
        --num_classes N
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
    logging.disable(logging.WARNING)  # the bars and the table say it
    root = Path(output).resolve()
    say(f"phantom: {PATIENTS} patients")
    if not (root / "phantom" / "dataset.json").is_file():
        shutil.rmtree(root / "unfinished", ignore_errors=True)
        write_phantom(root / "unfinished", PATIENTS, seed, progress=True).rename(root / "phantom")
    cells = tasks(keep_plan(root, {**PLAN, "dataset_dir": str(root / "phantom"), "split_seed": seed}), root)
    with alone(root):
        for number, cell in enumerate(cells, start=1):
            say(f"{number}/{len(cells)}  {told(cell)}")
            run_task(write_task(cell, root), progress=True)
        write_tables(cells, root)
    page = write_study_report(root)
    say(f"{score_summary(root)}\n\nreport: {page}\n\n{NEXT}")
    return page


def told(cell: Task) -> str:
    """What a cell does."""
    if not cell.facts:
        return STAGES[cell.runs[0].stage]
    method, draw = cell.facts["method"], cell.facts["draw"] + 1
    return f"fine-tuning on two labeled patients, draw {draw} of {PLAN['draws']}: {method}"


def score_summary(root: Path) -> str:
    """The mean Dice of both starts on the test patients, and their difference."""
    study = read_study(root)
    return "\n\n".join([*map(str, metric_tables(study, "dice")), *findings(study), *numbers(study)])


def say(text: str) -> None:
    """Prints at once, so that the order is right beside the bars of standard error."""
    print(f"\n{text}", flush=True)
