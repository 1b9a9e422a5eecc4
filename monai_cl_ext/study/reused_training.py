# SPDX-License-Identifier: Apache-2.0
"""A training that a choice among learning rates has done already is not done again."""

from __future__ import annotations

import shutil
from pathlib import Path

from monai_cl_ext.files import atomic
from monai_cl_ext.study.task import Run


def reuse_training(run: Run, other: Run, source: Path, folder: Path) -> None:
    """Takes over a cell's training for another cell, where both train alike.

    The cells of the first draw are trained once for each learning rate and scored on validation patients; the one that
    is scored on test patients has the training of the best of them. Its weights, its record and its time are copied.
    Nothing happens where the trainings differ, or the other cell has not kept its weights.

    Args:
        run: the training of the cell, with what was chosen.
        other: the training of the other cell.
        source: folder of the other cell.
        folder: of the cell.
    """
    done = f"{run.name}.done"
    weights = sorted((source / "models").glob("model*.pt"))
    if run != other or not weights or not (source / done).is_file() or (folder / done).exists():
        return
    records = [path for path in sorted((source / "eval").glob("*")) if path.is_file()]
    for path in [*weights, *records, source / done]:  # what tells that it is done comes last
        target = folder / path.relative_to(source)
        target.parent.mkdir(exist_ok=True)
        with atomic(target) as part:
            shutil.copyfile(path, part)
