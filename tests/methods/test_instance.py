# SPDX-License-Identifier: Apache-2.0
"""SimCLR, PCL, contrast by partition and WCL: what they compute, what they train, and that they learn."""

import pytest
import torch
from monai.networks.nets import BasicUNet
from torch.utils.data import DataLoader, RandomSampler

from monai_cl_ext.data import SliceDataset, find_cases, volume_transform, write_phantom
from monai_cl_ext.losses import (
    NTXentLoss,
    PositionContrastiveLoss,
    SupervisedContrastiveLoss,
    WeakGraphContrastiveLoss,
)
from monai_cl_ext.methods import PCL, WCL, PartitionContrast, SimCLR
from monai_cl_ext.methods.partition_contrast import partition_labels
from monai_cl_ext.metrics import PartitionProbe
from monai_cl_ext.transforms import PrepareViews, gcl_intensity_policy

TAGS = {
    "volume": torch.tensor([0, 0, 0, 1, 1, 1]),
    "position": torch.tensor([0.25, 0.5, 1.0, 0.3, 0.6, 0.9], dtype=torch.float64),
    "partition": torch.tensor([0, 1, 3, 1, -1, -1]),
}


def network(dims: int = 2) -> BasicUNet:
    return BasicUNet(dims, 1, 4, features=[8, 8, 16, 16, 32, 8], norm="batch")


def views(count: int = 2, size: tuple[int, ...] = (32, 32)) -> list[dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [{"image": torch.rand(6, 1, *size, generator=generator)} for _ in range(count)]


def pooled(method) -> torch.Tensor:
    joined = torch.cat([view["image"] for view in views()])
    return method.stages.encode(joined)[-1].mean(dim=(2, 3))


@pytest.mark.parametrize("kind", [SimCLR, PCL, PartitionContrast])
def test_the_loss_is_that_of_the_positives_on_the_projected_average(kind):
    options = {
        SimCLR: {"base_temperature": 0.07},
        PCL: {"threshold": 0.35, "base_temperature": 0.07},
        PartitionContrast: {"base_temperature": 0.07},
    }
    method = kind(network(), temperature=0.2, features=8, **options[kind])
    first, _, last = method.head
    z = (pooled(method) @ first.weight.T + first.bias).relu() @ last.weight.T + last.bias
    if kind is PCL:
        expected = PositionContrastiveLoss(0.35, 0.2, 0.07)(*z.chunk(2), TAGS["position"])
    elif kind is PartitionContrast:
        labels = torch.tensor([0, 1, 3, 1, 11, 12]).repeat(2)  # the two without a partition have only themselves
        expected = SupervisedContrastiveLoss(0.2, 0.07)(z, labels)
    else:
        expected = NTXentLoss(0.2, 0.07)(*z.chunk(2))
    assert method(views(), TAGS)["loss"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_wcl_adds_nt_xent_and_the_graph_loss_of_two_heads():
    method = WCL(network(), temperature=0.2, graph_weight=0.3, features=8)
    features = pooled(method)
    view = NTXentLoss(0.2)(*method.head(features).chunk(2)).item()
    graph = WeakGraphContrastiveLoss(0.2)(*method.graph_head(features).chunk(2)).item()
    found = {name: value.item() for name, value in method(views(), TAGS).items()}
    assert found == pytest.approx({"loss": view + 0.3 * graph, "view": view, "graph": graph}, rel=1e-4)


@pytest.mark.parametrize("kind", [SimCLR, PCL, PartitionContrast, WCL])
def test_the_encoder_and_the_heads_get_gradients_and_the_decoder_is_frozen(kind):
    net = network()
    method = kind(net, features=8)
    method(views(), TAGS)["loss"].backward()
    trained = {name for name, parameter in net.named_parameters() if parameter.grad is not None}
    assert trained == {name for name, _ in net.named_parameters() if name.startswith(("conv_0", "down_"))}
    heads = [parameter for name, parameter in method.named_parameters() if "head" in name]
    assert heads and all(parameter.grad is not None for parameter in heads)


@pytest.mark.parametrize("kind", [SimCLR, PCL, PartitionContrast, WCL])
def test_three_dimensions(kind):
    method = kind(network(3), features=4)
    seen = views(2, (16, 16, 16))
    assert torch.isfinite(method(seen, TAGS)["loss"]) and method.embed(seen[0]["image"]).shape == (6, 32)


@pytest.mark.parametrize("kind", [SimCLR, PCL, PartitionContrast, WCL])
def test_pairs_are_those_of_the_loss(kind):
    method = kind(network(), features=8, **({"threshold": 0.3} if kind is PCL else {}))
    positive, negative = method.pairs(views(), TAGS)
    for a in range(12):
        for b in range(12):
            i, j = a % 6, b % 6
            attracts = i == j
            if kind is PCL:
                attracts |= bool((TAGS["position"][i] - TAGS["position"][j]).abs() < 0.3 - 1e-6)
            if kind is PartitionContrast:
                attracts |= bool(TAGS["partition"][i] == TAGS["partition"][j] >= 0)
            assert positive[a, b] == (attracts and a != b) and negative[a, b] == (not attracts), (a, b)


def test_mistakes_are_named():
    with pytest.raises(ValueError, match=r"WCL takes 2 view\(s\) of an image, found 3"):
        WCL(network())(views(3), TAGS)


class Unplaced(PCL):
    """Positions shuffled within each batch: what a broken rule would learn."""

    def forward(self, views, tags):
        return super().forward(views, {**tags, "position": tags["position"][torch.randperm(len(tags["position"]))]})


def trained_probe(kind: type[PCL], dataset: SliceDataset) -> float:
    """The partition probe on the projections after a short pre-training."""
    torch.manual_seed(0)
    method = kind(network(), threshold=0.2, features=32)
    prepare = PrepareViews([gcl_intensity_policy()] * 2)
    optimizer = torch.optim.Adam(method.parameters(), lr=2e-3)
    sampler = RandomSampler(dataset, num_samples=200 * 16)
    for batch in DataLoader(dataset, 16, sampler=sampler):
        images, tags, *_ = prepare(batch)
        optimizer.zero_grad()
        method(images, tags)["loss"].backward()
        optimizer.step()
    metric = PartitionProbe()
    method.eval()
    with torch.no_grad():
        for part in DataLoader(dataset, batch_size=64):
            metric.update({"embeddings": method.head(method.embed(part["image"])), **part})
    return metric.compute()


@pytest.mark.slow
def test_pcl_brings_slices_of_one_place_together(tmp_path):
    write_phantom(tmp_path / "phantom", patients=8, seed=0)
    transform = volume_transform(image_size=(32, 32), pixdim=(5.0, 5.0))
    dataset = SliceDataset(find_cases(tmp_path / "phantom"), transform, progress=False)
    right, broken = trained_probe(PCL, dataset), trained_probe(Unplaced, dataset)
    assert right > 0.7 > 0.55 > broken


@pytest.mark.parametrize("kind, tag", [(PCL, "position"), (PartitionContrast, "partition")])
def test_a_tag_that_the_batch_lacks_is_named(kind, tag):
    with pytest.raises(KeyError, match=rf"needs the tag '{tag}' of each image, found \['volume'\]: give"):
        kind(network(), features=8)(views(), {"volume": TAGS["volume"]})


@pytest.mark.parametrize("kind", [SimCLR, PCL, PartitionContrast])
def test_a_batch_of_one_image_has_no_negatives_in_training(kind):
    method, single = kind(network(), features=8), [{"image": view["image"][:1]} for view in views()]
    tags = {name: tag[:1] for name, tag in TAGS.items()}
    with pytest.raises(ValueError, match=f"{kind.__name__} contrasts the images .* found one image: raise batch_size"):
        method(single, tags)
    assert method.eval()(single, tags)["loss"] == 0


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64, torch.float32, torch.float64])
def test_slices_without_a_partition_differ_on_every_rank(dtype):
    samples = torch.arange(4) + (7 << 32)  # as rank 7 counts them
    found = partition_labels(torch.tensor([2, -1, -1, -1], dtype=dtype), samples)
    assert found.dtype == torch.int64 and found[0] == 2 and len(set(found.tolist())) == 4
