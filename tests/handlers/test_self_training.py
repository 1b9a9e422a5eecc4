# SPDX-License-Identifier: Apache-2.0
"""Self-training: when it labels, with what, and that it disturbs nothing else."""

import pytest
import torch
from ignite.engine import Engine
from torch.utils.data import TensorDataset

from monai_cl_ext.handlers.self_training import BATCH_SIZE, SelfTraining


class Slices:
    """Stands for PseudoLabelledSlices: notes what labels it is given."""

    def __init__(self, count: int = BATCH_SIZE + 5) -> None:
        generator = torch.Generator().manual_seed(0)
        self.images = torch.randn(count, 1, 6, 5, generator=generator)
        self.unlabelled = [{"image": image} for image in self.images]
        self.given: list[torch.Tensor] = []

    def give_labels(self, label: torch.Tensor) -> None:
        self.given.append(label)


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Conv2d(1, 3, 3, padding=1), torch.nn.BatchNorm2d(3), torch.nn.Dropout(0.5))


def engine() -> Engine:
    made = Engine(lambda engine, batch: None)
    made.state.device = torch.device("cpu")
    return made


@pytest.mark.parametrize("epochs, rounds, starts", [(4, 3, [2, 3, 4]), (10, 3, [3, 5, 7]), (6, 1, [4]), (9, 2, [4, 7])])
def test_rounds_begin_with_phases_of_equal_length(epochs, rounds, starts):
    dataset, epochs_of_labels = Slices(), []
    trainer = engine()
    handler = SelfTraining(network(), dataset, epochs, rounds)
    dataset.give_labels = lambda label: epochs_of_labels.append(trainer.state.epoch)
    handler.attach(trainer)
    trainer.run([0], max_epochs=epochs)
    assert epochs_of_labels == starts


def test_labels_are_the_most_likely_classes_of_the_network_in_evaluation():
    net, dataset = network(), Slices()
    statistics = net[1].running_mean.clone()
    labels = SelfTraining(net, dataset, 4).predict(torch.device("cpu"))
    assert labels.dtype == torch.uint8 and labels.shape == (BATCH_SIZE + 5, 1, 6, 5)
    with torch.no_grad():
        expected = net.eval()(dataset.images).argmax(dim=1, keepdim=True)
    assert torch.equal(labels.long(), expected) and len(labels.unique()) > 1
    assert torch.equal(net[1].running_mean, statistics)


def test_labelling_leaves_the_mode_and_the_random_numbers_of_training_alone():
    net, dataset = network().train(), Slices()
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    SelfTraining(net, dataset, 4).predict(torch.device("cpu"))
    assert torch.equal(torch.rand(1), expected) and net.training
    assert all(module.training for module in net.modules())


def test_too_few_epochs_are_refused():
    with pytest.raises(ValueError, match="3 rounds need at least 4 epochs, found 3"):
        SelfTraining(network(), TensorDataset(torch.zeros(1)), 3)
    with pytest.raises(ValueError, match="rounds must be an integer of at least 1, found 0"):
        SelfTraining(network(), TensorDataset(torch.zeros(1)), 3, rounds=0)
