# SPDX-License-Identifier: Apache-2.0
"""BYOL, SimSiam and SimTriplet: what they compute, what they train, a resume, and that they learn."""

import copy

import pytest
import torch
from stripes import SEEDS, neighbors_agree, network, over_seeds, seen_through, stripes
from torch import nn

from monai_cl_ext.losses import BYOLLoss, SimSiamLoss
from monai_cl_ext.methods import BYOL, MoCo, MoCoV3, SimSiam, SimTriplet

MAKE = {
    BYOL: lambda dims=2, **options: BYOL(network(dims), hidden=12, features=8, **options),
    SimSiam: lambda dims=2: SimSiam(network(dims), features=8, hidden=4),
    SimTriplet: lambda dims=2: SimTriplet(network(dims), features=8, hidden=4),
}
KINDS = pytest.mark.parametrize("kind", MAKE)


def views(dims=2, rows=4):
    generator = torch.Generator().manual_seed(0)
    return [{"image": torch.rand(rows, 1, *[16] * dims, generator=generator)} for _ in range(2)]


def heads_applied(method):
    """Projections and predictions of both views, each head by its layers."""
    pooled = method.stages.encode(torch.cat([view["image"] for view in views()]))[-1].mean((2, 3))
    z = method.projection_head(pooled)
    return z.chunk(2), method.prediction_head(z).chunk(2)


def trained(method, steps):
    optimizer = torch.optim.SGD([each for each in method.parameters() if each.requires_grad], 0.1, momentum=0.9)
    for _ in range(steps):
        optimizer.zero_grad()
        method(views(), {})["loss"].backward()
        optimizer.step()
        method.after_step()


def test_byols_loss_is_that_of_predictions_and_the_teachers_projections():
    method = MAKE[BYOL]()
    for parameter in method.teacher.parameters():
        nn.init.normal_(parameter, std=0.3)  # a teacher that is not the student
    teacher = copy.deepcopy(method.teacher)
    z1, z2 = teacher(torch.cat([view["image"] for view in views()])).chunk(2)
    _, (p1, p2) = heads_applied(method)
    torch.testing.assert_close(method(views(), {})["loss"], BYOLLoss()(p1, z2, p2, z1))


def test_simsiams_loss_is_that_of_predictions_and_the_other_views_projections():
    method = MAKE[SimSiam]()
    (z1, z2), (p1, p2) = heads_applied(method)
    torch.testing.assert_close(method(views(), {})["loss"], SimSiamLoss()(p1, z2, p2, z1))


@pytest.mark.parametrize(
    "make", [MAKE[BYOL], MAKE[SimSiam], MAKE[SimTriplet], lambda: MoCoV3(network(), hidden=12, features=8)]
)
def test_one_image_is_no_training_batch_where_heads_normalize_over_it(make):
    method = make()
    message = f"{type(method).__name__} normalizes its heads .* found one image: raise batch_size"
    with pytest.raises(ValueError, match=message):
        method(views(rows=1), {})
    assert method.eval().embed(views(rows=1)[0]["image"]).shape[0] == 1
    larger = [{"image": torch.rand(1, 1, 32, 32)} for _ in range(2)]  # whose bottleneck is more than a pixel
    assert MoCo(network(), features=8, queue_size=4)(larger, {})["loss"].isfinite()  # its head does not


def test_simtriplet_adds_the_second_view_of_the_neighbor():
    method = MAKE[SimTriplet]()
    (z1, z2), (p1, p2) = heads_applied(method)
    neighbor = [1, 0, 3, 2]
    expected = SimSiamLoss()(p1, z2, p2, z1) + SimSiamLoss()(p1, z2[neighbor], p2[neighbor], z1)
    torch.testing.assert_close(method(views(), {"volume": torch.tensor([3, 3, 5, 5])})["loss"], expected)


def test_simtriplet_refuses_what_is_no_pair():
    method = MAKE[SimTriplet]()
    with pytest.raises(ValueError, match="an even number of rows, found 3: give the loader .*NeighborBatchSampler"):
        method(views(rows=3), {})
    with pytest.raises(ValueError, match="found 1 of 2 pairs of two volumes: give the loader"):
        method(views(), {"volume": torch.tensor([3, 3, 3, 5])})


def test_the_papers_widths_are_the_defaults():
    byol, simsiam = BYOL(network()), SimTriplet(network())
    widths = [[layer.out_features for layer in head if isinstance(layer, nn.Linear)] for head in (
        byol.projection_head, byol.prediction_head, simsiam.projection_head, simsiam.prediction_head
    )]  # fmt: skip
    assert widths == [[4096, 256], [4096, 256], [32, 32, 2048], [512, 2048]]
    norms = [layer for layer in simsiam.projection_head if isinstance(layer, nn.BatchNorm1d)]
    assert [norm.affine for norm in norms] == [True, True, False]
    assert not isinstance(byol.projection_head[-1], nn.BatchNorm1d) and byol.momentum == 0.996


@KINDS
def test_the_encoder_and_the_heads_are_trained_and_the_decoder_is_frozen(kind):
    method = MAKE[kind]()
    method(views(), {})["loss"].backward()
    net = method.predictor
    moved = {name for name, parameter in net.named_parameters() if parameter.grad is not None}
    assert moved == {name for name, _ in net.named_parameters() if name.startswith(("conv_0", "down_"))}
    heads = [*method.projection_head.parameters(), *method.prediction_head.parameters()]
    assert all(parameter.grad is not None for parameter in heads)


def test_byols_teacher_follows_network_and_projection_head():
    method = MAKE[BYOL](momentum=0.75)
    start = copy.deepcopy(method.teacher.network.state_dict())
    trained(method, 1)
    student = dict(nn.Sequential(method.stages, method.projection_head).named_parameters())
    for name, parameter in method.teacher.network.named_parameters():
        torch.testing.assert_close(parameter, 0.75 * start[name] + 0.25 * student[name])
        assert not parameter.requires_grad and parameter.grad is None


@KINDS
def test_training_goes_on_from_a_saved_state_bit_for_bit(kind, tmp_path):
    torch.manual_seed(0)
    whole = MAKE[kind]()
    halves = copy.deepcopy(whole)
    for method, steps in ((whole, 2), (halves, 2)):
        trained(method, steps)
    torch.save(halves.state_dict(), tmp_path / "saved.pt")
    resumed = MAKE[kind]()
    resumed.load_state_dict(torch.load(tmp_path / "saved.pt", weights_only=True))
    for method in (whole, resumed):
        trained(method, 2)
    assert all(torch.equal(value, resumed.state_dict()[name]) for name, value in whole.state_dict().items())


@KINDS
def test_three_dimensions(kind):
    method = MAKE[kind](3)
    embedding = method.embed(views(3)[0]["image"])
    assert method(views(3), {})["loss"].isfinite()
    assert embedding.shape == (4, 32) and method.project(embedding).shape == (4, 8)


@KINDS
def test_a_prediction_head_may_be_replaced(kind):
    method = MAKE[kind]()
    method.prediction_head = nn.Identity()
    assert method(views(), {})["loss"].isfinite()


LEARNING = {
    BYOL: lambda: BYOL(network(), hidden=64, features=32, momentum=0.98),
    SimSiam: lambda: SimSiam(network(), features=64, hidden=16),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", LEARNING)
def test_it_learns_what_crops_of_an_image_share(kind):
    start, right, broken = over_seeds(LEARNING[kind])
    assert right > 0.95 and start < 0.75 and right - broken > 0.08


def with_neighbors(kind, paired=True, steps=100, seed=1):
    """How well neighbors agree where both views show one crop, so that the pairs alone tell what matters.

    The rows 2k and 2k + 1 have stripes of one direction; if not ``paired``, of both.
    """
    generator = torch.Generator().manual_seed(seed)
    image, label = stripes(200, generator)
    image = seen_through(image, 24, generator)
    torch.manual_seed(seed)
    method = kind(network(), features=64, hidden=16)
    optimizer = torch.optim.AdamW([each for each in method.parameters() if each.requires_grad], 1e-3)
    for _ in range(steps):
        batch, _ = stripes(32, generator)
        if paired:
            batch = batch.unflatten(0, (-1, 2, 2)).transpose(1, 2).flatten(0, 2)
        crop = seen_through(batch, 24, generator)
        noisy = [crop + 0.1 * torch.randn(crop.shape, generator=generator) for _ in range(2)]
        optimizer.zero_grad()
        method([{"image": each} for each in noisy], {})["loss"].backward()
        optimizer.step()
    with torch.no_grad():
        return neighbors_agree(method.eval().embed(image), label)


@pytest.mark.slow
def test_simtriplet_learns_what_neighbors_share():
    right, broken, without = (
        sum(with_neighbors(*of, seed=seed) for seed in SEEDS) / len(SEEDS)
        for of in ((SimTriplet,), (SimTriplet, False), (SimSiam,))
    )
    assert right > 0.95 and right - max(broken, without) > 0.05
