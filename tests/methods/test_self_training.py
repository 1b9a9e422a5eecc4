# SPDX-License-Identifier: Apache-2.0
"""Self-training: when it labels, with what, and that it disturbs nothing else."""

import pytest
import torch
from torch import nn

from monai_cl_ext.engines import MethodTrainer
from monai_cl_ext.methods import SelfTraining, Supervised
from monai_cl_ext.methods.self_training import BATCH_SIZE
from monai_cl_ext.transforms import PrepareViews, identity_policy


class Slices:
    """Stands for MixedSlices: notes what labels it is given."""

    def __init__(self, count: int = BATCH_SIZE + 5) -> None:
        generator = torch.Generator().manual_seed(0)
        self.images = torch.randn(count, 1, 6, 5, generator=generator)
        self.unlabelled = [{"image": image} for image in self.images]
        self.predicted = torch.empty(0, 1, 6, 5, dtype=torch.uint8)

    def give_labels(self, label: torch.Tensor) -> None:
        self.predicted = label


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.Dropout(0.5))


def method(
    net: nn.Module | None = None, dataset: Slices | None = None, epochs: int = 4, rounds: int = 3
) -> SelfTraining:
    supervised = Supervised(net or network(), nn.CrossEntropyLoss())
    return SelfTraining(supervised, dataset or Slices(), epochs, rounds)


class Counted(Supervised):
    """Notes the step of each batch and of each that it is told of, and holds an optimizer."""

    def __init__(self) -> None:
        super().__init__(network(), nn.CrossEntropyLoss())
        self.seen, self.told = [], []
        self.own = torch.optim.SGD([nn.Parameter(torch.zeros(()))], 0.1)

    @property
    def optimizers(self):
        return {"own": self.own}

    def target_of(self, view, tags):
        return super().target_of(view, tags)[:, 0]

    def forward(self, views, tags):
        self.seen.append(self.iteration)
        return super().forward(views, tags)

    def after_step(self) -> None:
        self.told.append(self.iteration)


def test_what_trains_on_the_labels_is_told_of_every_step():
    inner = Counted()
    outer = SelfTraining(inner, Slices(), epochs=4)
    batch = {"image": torch.rand(2, 1, 6, 5), "label": torch.randint(3, (2, 1, 6, 5))}
    prepare = PrepareViews([identity_policy()])
    optimizer = torch.optim.SGD(outer.parameters(), 0.1)
    MethodTrainer("cpu", 1, [batch] * 5, outer, optimizer, prepare, accumulation_steps=2).run()
    assert inner.seen == [0, 0, 1, 1, 2] and inner.told == [0, 1, 2] and outer.iteration == 2
    assert outer.optimizers == {"supervised.own": inner.own}


@pytest.mark.parametrize("epochs, rounds, starts", [(4, 3, [2, 3, 4]), (10, 3, [3, 5, 7]), (6, 1, [4]), (9, 2, [4, 7])])
def test_rounds_begin_with_phases_of_equal_length(epochs, rounds, starts):
    dataset = Slices()
    made = method(dataset=dataset, epochs=epochs, rounds=rounds)
    labeled = []
    dataset.give_labels = lambda label: labeled.append(epoch)
    for epoch in range(1, epochs + 1):
        made.set_epoch(epoch)
    assert labeled == starts


def test_labels_are_the_most_likely_classes_of_the_network_in_evaluation():
    net, dataset = network(), Slices()
    statistics = net[1].running_mean.clone()
    labels = method(net, dataset).predict()
    assert labels.dtype == torch.uint8 and labels.shape == (BATCH_SIZE + 5, 1, 6, 5)
    with torch.no_grad():
        expected = net.eval()(dataset.images).argmax(dim=1, keepdim=True)
    assert torch.equal(labels.long(), expected) and len(labels.unique()) > 1
    assert torch.equal(net[1].running_mean, statistics)


def test_as_many_large_patches_are_predicted_at_once_as_memory_takes():
    """32 of 96 x 96 x 96 voxels, as many as there are slices at once, would fill it many times."""
    dataset, seen = Slices(7), []
    dataset.unlabelled = [{"image": torch.zeros(1, 96, 96, 96)}] * 7
    net = nn.Conv3d(1, 2, 1)
    net.register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0])))
    assert method(net, dataset).predict().shape == (7, 1, 96, 96, 96)
    assert seen == [2, 2, 2, 1]


def test_labeling_leaves_the_mode_and_the_random_numbers_of_training_alone():
    net = network().train()
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    method(net).predict()
    assert torch.equal(torch.rand(1), expected) and all(module.training for module in net.modules())


def test_the_labels_are_part_of_the_state(tmp_path):
    first, second = method(), method(dataset=(given := Slices()))
    torch.save(first.state_dict(), tmp_path / "before.pt")
    first.set_epoch(2)
    torch.save(first.state_dict(), tmp_path / "after.pt")
    second.load_state_dict(torch.load(tmp_path / "before.pt", weights_only=True))
    assert not len(given.predicted)
    second.load_state_dict(torch.load(tmp_path / "after.pt", weights_only=True))
    assert torch.equal(given.predicted, first._dataset.predicted) and len(given.predicted)
    assert set(first.predictor.state_dict()) == set(network().state_dict())


def test_too_few_epochs_are_refused():
    with pytest.raises(ValueError, match="3 rounds need at least 4 epochs, found 3"):
        method(epochs=3)
    with pytest.raises(ValueError, match="rounds must be an integer of at least 1, found 0"):
        method(rounds=0)
