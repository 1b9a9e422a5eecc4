# SPDX-License-Identifier: Apache-2.0
"""Folders of studies, made by hand: plan, scores, cells with their records, volumes and predictions."""

import json
from dataclasses import asdict
from pathlib import Path

import fabricated
import nibabel as nib
import numpy as np
import pandas as pd
import torch

from monai_cl_ext.study.plan import Plan
from monai_cl_ext.study.task import Kind, Run, Task

CLASSES = {1: "RV", 2: "myocardium", 3: "LV"}
METRICS = ("dice", "jaccard", "hd95", "asd", "surface_dice")
THREE = {"scratch": "scratch", "gd": "gcl_segmentation+strategy_gd", "gr": "gcl_segmentation+strategy_gr"}


def make_plan(root: Path, methods=None, labelled=(1, 2), draws=2, seeds=1, patients=6, folds=1, **more) -> Plan:
    """Patients p000, p001, ... are tested, in folds; t0, t1, ... are trained on, v0 and v1 are selected with."""
    names = [f"p{number:03}" for number in range(patients)]
    trained = [f"t{number}" for number in range(max(labelled) + 2)]
    splits = [
        {
            "pretrain": _cases(root, trained), "train": _cases(root, trained), "validation": _cases(root, ["v0", "v1"]),
            "test": _cases(root, names[fold::folds]),
        }
        for fold in range(folds)
    ]  # fmt: skip
    return Plan(methods or THREE, list(labelled), draws, seeds, splits, CLASSES, {"image_size": [32, 32]},
                {"epochs": 2}, train_settings={"epochs": 3}, **more)  # fmt: skip


def make_scores(plan: Plan, gain: float = 0.08, noise: float = 0.02) -> pd.DataFrame:
    """Dice that rises with labels and by ``gain`` with the number of the method; the first patient lacks the class RV.

    In draw 0 of the first method the last patient's RV is missed.
    """
    generator = np.random.default_rng(0)
    rows = []
    for fold, split in enumerate(plan.splits):
        patients = [case["patient"] for case in split["test"]]
        of_patient = generator.normal(0, 0.06, (len(patients), len(CLASSES)))
        for labelled in plan.labelled:
            for draw in range(plan.draws):
                of_draw = generator.normal(0, 0.02)
                for number, method in enumerate(plan.methods):
                    for seed in range(plan.seeds):
                        base = 0.55 + 0.07 * np.log2(labelled) + gain * number / labelled + of_draw
                        found = base + of_patient + generator.normal(0, noise, of_patient.shape) + [-0.1, -0.05, 0.05]
                        for patient, values in zip(patients, np.clip(found, 0.02, 0.97), strict=True):
                            missed = number == draw == 0 and patient == patients[-1]
                            absent = patient == patients[0] and len(patients) > 1
                            facts = (method, labelled, fold, draw, seed, f"{patient}_frame01", patient)
                            rows += _rows(facts, values, missed, absent)
    columns = ["method", "labelled", "fold", "draw", "seed", "volume", "patient", "class", "metric", "value", "missed"]
    return pd.DataFrame(rows, columns=columns)


def _rows(facts, values, missed, absent):
    for label, dice in zip(CLASSES.values(), values, strict=True):
        lost, nothing = missed and label == "RV", absent and label == "RV"
        dice = 0.0 if lost else dice
        scores = (dice, dice / (2 - dice), 150.0 if lost else 40 * (1 - dice), 12 * (1 - dice), dice**2)
        for metric, value in zip(METRICS, scores, strict=True):
            yield (*facts, label, metric, np.nan if nothing else value, lost)


def write_study(root: Path, plan: Plan, scores: pd.DataFrame, size: int = 24, slices: int = 3) -> Path:
    """The folder of a study with its cells; pre-training takes 600 s and 4 GiB, fine-tuning 60 s and 2 GiB."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "plan.json").write_text(plan.to_json())
    (root / "scores.csv").write_text(scores.to_csv(index=False))
    (root / "data_card.csv").write_text("fold,part,patients,volumes,spacing\n0,test,6,6,1.2 x 1.2 x 8\n")
    environment = {"versions": {"python": "3.11.7", "torch": "2.13.0"}, "commit": "abc123", "changed_files": "",
                   "bundles": {"gcl_segmentation": "9a53" * 16}, "cpu_count": 2}  # fmt: skip
    (root / "environment.json").write_text(json.dumps(environment))
    cells = scores[["method", "labelled", "fold", "draw", "seed"]].drop_duplicates()
    for row in cells.itertuples(index=False):
        pretraining = []
        if plan.methods[row.method] != "scratch":
            pretraining = [f"pretrain/{plan.methods[row.method]}/pretrain_global_fold_{row.fold}"]
            first = Task(pretraining[0], "b", [], [Run(["pretrain_global"])], kind=Kind.PRETRAIN)
            write_cell(root, first, {"pretrain_global": 600.0}, 4)
        name = f"finetune/{row.method}/labelled_{row.labelled}_draw_{row.draw}_seed_{row.seed}_fold_{row.fold}"
        facts = {key: value if key == "method" else int(value) for key, value in row._asdict().items()}
        task = Task(
            name, "b", [], [Run(["train"]), Run(["inference"])], pretraining, facts, plan.splits[row.fold]["test"]
        )
        write_cell(root, task, {"inference": 10.0, "train": 50.0}, 2)
    for split in plan.splits:
        for number, case in enumerate(split["test"]):
            _write_volumes(root, case, number, list(plan.methods), size, slices)
    return root


def write_cell(root: Path, task: Task, seconds: dict[str, float], memory: int) -> None:
    folder = root / task.name
    (folder / "eval").mkdir(parents=True, exist_ok=True)
    (folder / "task.json").write_text(json.dumps(asdict(task)))
    for stage, value in seconds.items():
        (folder / f"{stage}.done").write_text(f"{value:.1f}\n")
        if stage != "inference":
            record = {"stage": stage, "trains": True, "begun": 1000.0, "seconds": 0.8 * value,
                      "images_per_second": 10.0 * memory, "peak_memory_bytes": memory * 2**30,
                      "data_wait_seconds": 0.2 * value}  # fmt: skip
            (folder / "eval" / f"run_{stage}.json").write_text(json.dumps(record))
        if stage.startswith("pretrain"):
            torch.save(fabricated.batch(), folder / "eval" / "batch.pt")
            torch.save(fabricated.embeddings(), folder / "eval" / "embeddings.pt")


def _cases(root: Path, patients: list[str]) -> list[dict]:
    return [
        {"image": f"{root}/data/{name}_frame01.nii.gz", "label": f"{root}/data/{name}_frame01_label.nii.gz",
         "patient": name}
        for name in patients
    ]  # fmt: skip


def _write_volumes(root: Path, case: dict, number: int, methods: list[str], size: int, slices: int) -> None:
    """Three discs on noise; the prediction of each method is the label, moved by two voxels less than its number."""
    across, up = np.meshgrid(np.arange(size), np.arange(size), indexing="ij")
    label = np.zeros((size, size, slices), np.uint8)
    for value, (x, y, radius) in enumerate(((0.3, 0.5, 0.14), (0.62, 0.5, 0.22), (0.62, 0.5, 0.13)), start=1):
        inside = (across / size - x) ** 2 + (up / size - y - 0.02 * number % 0.1) ** 2 < radius**2
        label[inside, : slices - 1] = value
    noise = np.random.default_rng(number).normal(0, 8, label.shape)
    image = np.array([40, 160, 90, 180])[label] + noise + across[..., None] / size * 30
    affine = np.diag([1.2, 1.2, 8.0, 1.0])
    Path(case["image"]).parent.mkdir(exist_ok=True)
    nib.save(nib.Nifti1Image(image.astype(np.float32), affine), case["image"])
    nib.save(nib.Nifti1Image(label, affine), case["label"])
    name = Path(case["image"]).name.removesuffix(".nii.gz")
    for path in root.glob("finetune/*/*/task.json"):
        task = json.loads(path.read_text())
        if case["patient"] in [scored["patient"] for scored in task["scored"]]:
            moved = np.roll(label, (len(methods) - methods.index(task["facts"]["method"])) * size // 24, axis=0)
            target = path.parent / "eval" / name
            target.mkdir(exist_ok=True)
            nib.save(nib.Nifti1Image(moved, affine), target / f"{name}_trans.nii.gz")
