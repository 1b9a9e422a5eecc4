# SPDX-License-Identifier: Apache-2.0
"""Ten minutes from nothing to a report: phantom volumes, pre-training, fine-tuning on two labels, scores."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from monai_cl_ext.data.phantom import write_phantom
from monai_cl_ext.study.bundles import find_bundle
from monai_cl_ext.study.stage import run_stage
from monai_cl_ext.visualize import evaluated_runs, find_runs, write_report
from monai_cl_ext.visualize.tables import comparisons, score_tables

PATIENTS = 100
DATA = {"validation_patients": 6, "test_patients": 20, "image_size": [64, 64], "pixdim": [2.5, 2.5]}
GLOBAL = {"epochs": 10, "batches_per_epoch": 100}
LOCAL = {"epochs": 2, "batches_per_epoch": 100}
FINETUNING = {"labelled_patients": 2, "draw": 0, "epochs": 2, "batches_per_epoch": 50}
STARTS = ("scratch", "pretrained")
NEXT = """With your own volumes (a folder of NIfTI files; labels of a few patients), from bundles/gcl_segmentation:
    python -m monai.bundle run --config_file configs/pretrain_global.json --dataset_dir DIR
    python -m monai.bundle run --config_file configs/pretrain_local.json --dataset_dir DIR
    python -m monai.bundle run --config_file configs/train.json --dataset_dir DIR \\
        --labelled_patients 2 --num_classes N --pretrained models/model_pretrain_local.pt
    python -m monai.bundle run --config_file "['configs/train.json','configs/evaluate.json']" --dataset_dir DIR \\
        --num_classes N"""


def run_demo(output: str | Path, seed: int = 0) -> Path:
    """Runs what is missing of the demo and writes its report; a demo that was interrupted goes on where it stopped.

    Args:
        output: folder of the demo; the folder that it made before, or a new one.
        seed: of the phantom's patients, of their split, and of every training.

    Returns:
        The report page.
    """
    logging.disable(logging.WARNING)  # the bars and the table say it
    root = Path(output).resolve()
    say(f"1/5  phantom: {PATIENTS} patients, 2 of them labelled for training")
    if not (root / "phantom" / "dataset.json").is_file():
        shutil.rmtree(root / "unfinished", ignore_errors=True)
        write_phantom(root / "unfinished", PATIENTS, seed, progress=True).rename(root / "phantom")
    bundle = find_bundle("gcl_segmentation")
    data = {**DATA, "dataset_dir": str(root / "phantom"), "seed": seed, "split_seed": seed}
    pretraining = bundle.copy(root / "pretraining")
    say("2/5  global contrast: slices of one place in the heart attract each other; no labels")
    run_stage(pretraining, ["pretrain_global"], {**data, **GLOBAL}, progress=True)
    say("3/5  local contrast: regions of a slice tell each other apart; no labels")
    run_stage(pretraining, ["pretrain_local"], {**data, **LOCAL}, progress=True)
    say("4/5  fine-tuning on the 2 labelled patients, from scratch and from the pre-trained weights")
    for start in STARTS:
        run = bundle.copy(root / start)
        weights = str(pretraining.folder / "models" / "model_pretrain_local.pt") if start == "pretrained" else ""
        settings = {**data, **FINETUNING, "pretrained": weights}
        run_stage(run, ["train"], settings, progress=True)
        run_stage(run, ["train", "evaluate"], settings, progress=True)
    say("5/5  report")
    page = write_report(root)
    say(f"{score_summary(root)}\n\nreport: {page}\n\n{NEXT}")
    return page


def score_summary(root: Path) -> str:
    """The means of both starts on the test patients, and their difference."""
    scores = {run.name: rows for run, rows in evaluated_runs(find_runs(root))}
    tables, _ = score_tables(scores, "mm")
    return "\n\n".join([*map(str, tables), *comparisons(scores)])


def say(text: str) -> None:
    """Prints at once, so that the order is right beside the bars of standard error."""
    print(f"\n{text}", flush=True)
