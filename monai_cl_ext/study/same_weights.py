# SPDX-License-Identifier: Apache-2.0
"""Pre-trainings that were told apart and ended in the same network."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

from monai_cl_ext.files import sha256_of
from monai_cl_ext.study.cells import weights
from monai_cl_ext.study.task import Kind, Task


def warn_of_same_weights(tasks: Sequence[Task], root: Path) -> None:
    """Warns of pre-trainings of a fold whose weights are the same, byte for byte: what they differ in had no effect.

    Those of two folds are the same by right where pre-training sees all patients.

    Args:
        tasks: cells of the study; those that have written their network are compared.
        root: folder of the study.
    """
    trained: dict[tuple[str, str], list[str]] = {}
    for task in tasks:
        if task.kind == Kind.PRETRAIN and (path := Path(weights(task, root))).is_file():
            stage_and_fold = task.name.rpartition("/")[2]
            trained.setdefault((stage_and_fold, sha256_of(path)), []).append(task.name)
    for names in trained.values():
        if len(names) > 1:
            warnings.warn(
                f"these pre-trainings ended in the same weights, so what they differ in had no effect: "
                f"{', '.join(names)}; see whether an overlay overrules the setting",
                stacklevel=2,
            )
