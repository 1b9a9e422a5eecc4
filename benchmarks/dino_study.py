# SPDX-License-Identifier: Apache-2.0
"""Nearest neighbors beside the networks of a study of photographs: what do the pre-trained features tell by themselves?

    python -m monai_cl_ext study run --output runs/dino --dataset_dir DIR --methods "{...}" ...
    python benchmarks/dino_study.py runs/dino

Every fine-tuning of the study that is done is evaluated once more, by the stage ``evaluate`` of its bundle, which
classifies each test photograph by its nearest neighbors among the labeled ones. With the bundle's linear probe the
features are those of the pre-training; after fine-tuning they are the fine-tuned ones. The scores go to OUTPUT, by
default STUDY/nearest_neighbors, as scores.csv in the rows of a study, and their tables with intervals and tests, as
the study's report computes them, as table.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from monai_cl_ext.csv_files import read_table, write_table
from monai_cl_ext.files import write_text
from monai_cl_ext.metrics.metric import METRICS
from monai_cl_ext.study.bundles import Bundle
from monai_cl_ext.study.cells import tasks
from monai_cl_ext.study.comparison import BEST, Comparison
from monai_cl_ext.study.layout import PLAN, SCORES
from monai_cl_ext.study.picture_scores import score_pictures
from monai_cl_ext.study.plan import Plan
from monai_cl_ext.study.problems import PROBLEMS, Classification
from monai_cl_ext.study.recipe import SCRATCH
from monai_cl_ext.study.report.text_tables import markdown_table
from monai_cl_ext.study.stage import run_stage
from monai_cl_ext.study.task import Kind, Task, is_done

PREDICTIONS = "eval/predictions_nearest_neighbors.csv"


def evaluate(plan: Plan, task: Task, study: Path, folder: Path) -> pd.DataFrame:
    """Scores of a cell's features by nearest neighbors, in the columns of scores.csv."""
    bundle, run = Bundle(Path(task.bundle), tuple(task.overlays)).copy(folder), task.runs[0]
    tested = PROBLEMS[plan.problem].handed(task.scored, plan.classes)
    data = {**run.data, "split": {**run.data["split"], "test": tested}, "ckpt_dir": str(study / task.name / "models")}
    run_stage(bundle, ["train", "evaluate"], run.settings, data)
    names = list(plan.classes.values())
    table = read_table(folder / PREDICTIONS, dtype={"image": str, "patient": str, "class": str}).set_index("image")
    probabilities = table.loc[[case["image"] for case in task.scored], names].to_numpy(float)
    return score_pictures(task.scored, probabilities, plan.classes).assign(**task.facts)


def main() -> None:
    """Evaluates what is missing, and writes scores.csv and table.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, help="folder of a study of photographs")
    parser.add_argument("--output", type=Path, help="by default STUDY/nearest_neighbors")
    arguments = parser.parse_args()
    study = arguments.study.resolve()
    output = (arguments.output or study / "nearest_neighbors").resolve()
    plan = Plan.read(study / PLAN)
    if plan.problem != Classification.name:
        parser.error(f"{study} is a study of {plan.problem}, expected one of {Classification.name}")
    done = [task for task in tasks(plan, study) if task.kind == Kind.FINETUNE and is_done(study / task.name)]
    if not done:
        parser.error(f"{study}: no fine-tuning is done; run the study first")
    scores = pd.concat([evaluate(plan, task, study, output / task.name) for task in done], ignore_index=True)
    write_table(output / SCORES, scores)
    scratch = [name for name, bundle in plan.methods.items() if bundle.split("+")[0] == SCRATCH]
    reference = next((name for name in scratch if name in set(scores["method"])), BEST)
    found = [name for name in METRICS if name in set(scores["metric"])]
    tables = [markdown_table(Comparison(scores, name, reference), "of the study") for name in found]
    write_text(output / "table.md", "\n".join(["# Nearest neighbors in the features of each network\n", *tables]))
    print(f"scores of {len(done)} networks are in {output}")


if __name__ == "__main__":
    main()
