# SPDX-License-Identifier: Apache-2.0
"""OwnMethod: what it trains, and that it learns what its rule says; broken, it does not."""

import pytest
import torch
from monai.networks.nets import BasicUNet
from torch.utils.data import DataLoader, RandomSampler

from monai_cl_ext.data import SliceDataset, find_cases, volume_transform, write_phantom
from monai_cl_ext.metrics import PartitionProbe
from monai_cl_ext.transforms import PrepareViews, gcl_intensity_policy
from scripts.own_method import OwnMethod


def network(dims=2):
    """A small U-Net of images with ``dims`` axes."""
    return BasicUNet(dims, 1, 4, features=[8, 8, 16, 16, 32, 8], norm="batch")


@pytest.mark.parametrize("dims", [2, 3])
def test_the_encoder_is_trained_and_the_decoder_is_frozen(dims):
    """Gradients reach the encoder alone."""
    net = network(dims)
    views = [{"image": torch.rand(4, 1, *[16] * dims)} for _ in range(OwnMethod.views)]
    tags = {"volume": torch.tensor([0, 0, 1, 1]), "partition": torch.tensor([0, 1, 0, -1])}
    OwnMethod(net)(views, tags)["loss"].backward()
    trained = {name.split(".")[0] for name, parameter in net.named_parameters() if parameter.grad is not None}
    assert trained == {"conv_0", "down_1", "down_2", "down_3", "down_4"}


def test_a_collapse_of_its_projections_is_watched():
    """``project`` gives what the loss compares."""
    method, image = OwnMethod(network()), torch.rand(4, 1, 16, 16)
    compared = []
    method.head.register_forward_hook(lambda head, inputs, result: compared.append(result))
    projected = method.project(method.embed(image))
    assert torch.equal(projected, compared[0]) and method.collapse_causes


def test_what_attracts_and_what_repels():
    """Views of a slice and slices of one partition attract, all others repel."""
    tags = {"partition": torch.tensor([0, 1, 0, -1])}
    positive, negative = OwnMethod(network()).pairs([{"image": torch.rand(4, 1, 16, 16)}] * 2, tags)
    assert positive[0].tolist() == [False, False, True, False, True, False, True, False]
    assert positive[3].tolist() == [False, False, False, False, False, False, False, True]
    assert torch.equal(negative, ~positive & ~torch.eye(8, dtype=torch.bool))


class Broken(OwnMethod):
    """The same with partitions dealt out at random in each batch: what a wrong rule would learn."""

    def forward(self, views, tags):
        partition = tags["partition"]
        return super().forward(views, {**tags, "partition": partition[torch.randperm(len(partition))]})


def probe(kind, dataset, steps):
    """How well embeddings tell the partition after a short pre-training; 0.25 is chance, 1 is perfect."""
    torch.manual_seed(0)
    method = kind(network())
    prepare = PrepareViews([gcl_intensity_policy()] * method.views)
    optimizer = torch.optim.Adam(method.parameters(), lr=2e-3)
    for batch in DataLoader(dataset, 16, sampler=RandomSampler(dataset, num_samples=16 * steps)):
        views, tags, *_ = prepare(batch)
        optimizer.zero_grad()
        method(views, tags)["loss"].backward()
        optimizer.step()
        method.after_step()
    metric = PartitionProbe()
    method.eval()
    with torch.no_grad():
        for batch in DataLoader(dataset, 64):
            metric.update({"embeddings": method.project(method.embed(batch["image"])), **batch})
    return metric.compute()


def test_it_learns(tmp_path):
    """Embeddings come to tell the partition, and do not where the rule is broken."""
    write_phantom(tmp_path / "phantom", patients=6, seed=0)
    cases = find_cases(tmp_path / "phantom")
    dataset = SliceDataset(cases, volume_transform(image_size=32, pixdim=5.0), progress=False)
    right, broken = probe(OwnMethod, dataset, 80), probe(Broken, dataset, 80)
    assert right > 0.7 > 0.5 > broken
