# SPDX-License-Identifier: Apache-2.0
"""A training that a choice among learning rates has done already is not done again."""

from __future__ import annotations

import shutil
from pathlib import Path

from monai_cl_ext.files import atomic, write_text
from monai_cl_ext.study.layout import REUSED


def reuse_training(name: str, source: Path, folder: Path) -> None:
    """Takes over the training of a cell for another cell, whose training is the same.

    The cells of the first draw are trained once for each learning rate and scored on validation patients; the one that
    is scored on test patients has the training of the best of them. Its weights and what lies beside them, its record
    and its time are copied, which a file notes. Nothing happens where the other cell has not kept its weights.

    Args:
        name: of the run, such as "train".
        source: folder of the cell that has trained.
        folder: of the other cell.
    """
    done = f"{name}.done"
    kept = [path for path in sorted((source / "models").glob("*")) if path.is_file()]
    if not kept or not (source / done).is_file() or (folder / done).exists():
        return
    records = [path for path in sorted((source / "eval").glob("*")) if path.is_file()]
    write_text(folder / f"{name}{REUSED}", source.name)
    for path in [*kept, *records, source / done]:  # what tells that it is done comes last
        target = folder / path.relative_to(source)
        target.parent.mkdir(exist_ok=True)
        with atomic(target) as part:
            shutil.copyfile(path, part)
