# SPDX-License-Identifier: Apache-2.0
"""The best weights by a metric that no validation volume has are told to be none."""

import warnings

import pytest
import torch
from monai.engines import SupervisedEvaluator
from monai.handlers import MeanDice, from_engine

from monai_cl_ext.handlers import SaveWeights


def evaluate(labels, folder):
    """One validation of a network that finds nothing."""
    network = torch.nn.Conv2d(1, 2, 1)
    torch.nn.init.zeros_(network.weight)
    batches = [{"image": torch.rand(1, 1, 4, 4), "label": label} for label in labels]

    def one_hot(data):
        data["pred"] = torch.stack([torch.ones(4, 4), torch.zeros(4, 4)])
        data["label"] = torch.cat([1 - data["label"], data["label"]])
        return data

    metric = MeanDice(include_background=False, output_transform=from_engine(["pred", "label"]))
    evaluator = SupervisedEvaluator(
        torch.device("cpu"), batches, network, postprocessing=one_hot, key_val_metric={"mean_dice": metric},
        val_handlers=[SaveWeights(network, str(folder / "model.pt"), "best")],
    )  # fmt: skip
    evaluator.run()


def test_labels_that_hold_no_class_are_warned_of_and_others_are_not(tmp_path):
    empty, full = torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 4, 4)
    with pytest.warns(UserWarning, match="no label of the validation volumes holds a class, so no epoch is better"):
        evaluate([empty, empty], tmp_path)
    assert (tmp_path / "model.pt").is_file()
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="no label of the validation")
        evaluate([empty, full], tmp_path)
