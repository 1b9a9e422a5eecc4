# SPDX-License-Identifier: Apache-2.0
"""A setting that changes nothing is found by the weights that it leaves."""

import warnings
from pathlib import Path

import pytest
import torch

from monai_cl_ext.study.cells import weights
from monai_cl_ext.study.same_weights import warn_of_same_weights
from monai_cl_ext.study.task import Kind, Run, Task


def trained(root: Path, fold: int = 0, **values: float) -> list[Task]:
    """Pre-trainings that ended in networks of such values, and one that has not ended."""
    names = [f"pretrain/{name}/pretrain_fold_{fold}" for name in [*values, "open"]]
    tasks = [Task(name, "", [], [Run(["pretrain"])], kind=Kind.PRETRAIN) for name in names]
    for task, value in zip(tasks, values.values(), strict=False):
        file = Path(weights(task, root))
        file.parent.mkdir(parents=True)
        torch.save({"weight": torch.full((4, 4), value)}, file)
    return tasks


def test_two_pretrainings_with_the_same_weights_are_named(tmp_path):
    tasks = trained(tmp_path, weak=1.0, strong=1.0, scaled=2.0)
    with pytest.warns(UserWarning, match="pretrain/weak/pretrain_fold_0, pretrain/strong/pretrain_fold_0; see") as seen:
        warn_of_same_weights(tasks, tmp_path)
    assert len(seen) == 1 and "scaled" not in str(seen[0].message)


def test_different_weights_and_two_folds_pass_in_silence(tmp_path):
    tasks = trained(tmp_path, weak=1.0, strong=1.0001) + trained(tmp_path, fold=1, weak=1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_same_weights(tasks, tmp_path)
